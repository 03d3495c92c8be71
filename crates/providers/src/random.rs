//! The one place of this crate where chance comes from.

use std::hash::{BuildHasher, RandomState};

/// A number that nobody else has. The standard library seeds its hashers from the operating system.
pub(crate) fn random() -> u64 {
    RandomState::new().hash_one(0)
}
