//! The one place where this crate draws from the system's randomness.

use rand::{TryRngCore as _, rngs::OsRng};

/// A share of one, from 0 up to but not including 1.
pub(crate) fn share() -> f64 {
    // Without randomness nothing is spread, and nothing else goes wrong.
    OsRng
        .try_next_u32()
        .map_or(0.5, |drawn| f64::from(drawn) / (f64::from(u32::MAX) + 1.0))
}

/// A key that nobody else has: 128 random bits in hexadecimal.
pub(crate) fn key() -> String {
    let mut bits = [0; 16];
    OsRng
        .try_fill_bytes(&mut bits)
        .expect("a system that gives TLS its randomness gives it here");
    format!("{:032x}", u128::from_le_bytes(bits))
}
