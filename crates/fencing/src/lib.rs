//! The resource's side of fencing.
//!
//! A lease can end while its holder does not know it: the holder was paused, or cut off. Every lease
//! of an instance has a higher token than the one before, and its holder sends the token with every
//! call. A resource that remembers the highest token it has seen can refuse the late caller by itself,
//! without asking the server:
//!
//! ```
//! use foreshadow_fencing::Fence;
//!
//! let fence = Fence::new();
//! assert!(fence.check(7).is_ok());  // the first holder
//! assert!(fence.check(9).is_ok());  // the next one
//! assert!(fence.check(7).is_err()); // the first one, too late
//! assert!(fence.check(9).is_ok());
//! ```
//!
//! A resource whose state outlives its process keeps [`Fence::newest`] with that state and begins with
//! [`Fence::from_newest`]. One that would rather ask the server does so with
//! `GET /fencing/{instance_id}?token=N` or `Allocations.CheckToken`: that also refuses a holder whose
//! lease has ended and was not given to anybody else yet.

use std::{
    error::Error,
    fmt,
    sync::atomic::{AtomicU64, Ordering},
};

/// Lets the newest holder pass and refuses those before. It is shared by all threads that serve.
#[derive(Debug, Default)]
pub struct Fence {
    newest: AtomicU64,
}

impl Fence {
    /// A fence that has seen nobody.
    pub const fn new() -> Self {
        Self::from_newest(0)
    }

    /// A fence that has seen this token already.
    pub const fn from_newest(token: u64) -> Self {
        Self {
            newest: AtomicU64::new(token),
        }
    }

    /// The highest token seen.
    pub fn newest(&self) -> u64 {
        self.newest.load(Ordering::Acquire)
    }

    /// Lets a caller pass unless a newer holder has called already.
    ///
    /// # Errors
    /// [`StaleToken`] if one has.
    pub fn check(&self, presented: u64) -> Result<(), StaleToken> {
        let newest = self.newest.fetch_max(presented, Ordering::AcqRel);
        if presented >= newest {
            return Ok(());
        }
        Err(StaleToken { presented, newest })
    }
}

/// The caller's lease has passed to somebody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StaleToken {
    /// The caller's token.
    pub presented: u64,
    /// The token of the newest holder seen.
    pub newest: u64,
}

impl fmt::Display for StaleToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { presented, newest } = self;
        write!(
            f,
            "fencing token {presented} is stale: the newest is {newest}"
        )
    }
}

impl Error for StaleToken {}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn a_token_passes_until_a_newer_one_is_seen() {
        let fence = Fence::from_newest(3);
        let stale = StaleToken {
            presented: 2,
            newest: 3,
        };
        assert_eq!(fence.check(2), Err(stale));
        assert_eq!(fence.check(3), Ok(()));
        assert_eq!(fence.check(5), Ok(()));
        assert_eq!(fence.check(3).map_err(|stale| stale.newest), Err(5));
        assert_eq!(fence.newest(), 5);
    }

    #[test]
    fn once_a_newer_holder_has_passed_no_thread_lets_an_older_one_pass() {
        let fence = Fence::new();
        thread::scope(|scope| {
            for start in 0..4_u64 {
                let fence = &fence;
                scope.spawn(move || {
                    for token in (start..4_000).step_by(4) {
                        let before = fence.newest();
                        let passed = fence.check(token).is_ok();
                        assert!(!passed || before <= token, "{token} passed after {before}");
                        assert!(fence.newest() >= token);
                    }
                });
            }
        });
        assert_eq!(fence.newest(), 3_999);
    }
}
