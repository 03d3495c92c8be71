//! Providers start, hold, thaw and stop real resources.
