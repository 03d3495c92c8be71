//! Resource shadows: live profiles of users and applications, their fingerprints and categories.
