//! Tokens that were verified: a signature costs tens of microseconds, a look here one.

use std::{
    collections::HashMap,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use foreshadow_types::Timestamp;

use crate::{principal::Principal, token::TokenHash};

/// Tokens that are remembered at most.
const MOST: usize = 10_000;

#[derive(Debug, Default)]
pub(super) struct Verified {
    by_hash: RwLock<HashMap<TokenHash, Entry>>,
    /// Counts how often the keys were replaced.
    epoch: AtomicU64,
}

#[derive(Debug)]
struct Entry {
    principal: Arc<Principal>,
    expires: f64,
}

impl Verified {
    pub(super) fn get(&self, hash: TokenHash, now: Timestamp) -> Option<Arc<Principal>> {
        let known = self.by_hash.read().unwrap_or_else(PoisonError::into_inner);
        let entry = known
            .get(&hash)
            .filter(|entry| entry.expires >= seconds(now))?;
        Some(Arc::clone(&entry.principal))
    }

    /// The number under which something that is being verified now may be remembered.
    pub(super) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Remembers a token, unless the keys were replaced since it was looked at.
    pub(super) fn remember(
        &self,
        hash: TokenHash,
        principal: &Arc<Principal>,
        expires: f64,
        now: Timestamp,
        epoch: u64,
    ) {
        let mut known = self.by_hash.write().unwrap_or_else(PoisonError::into_inner);
        if self.epoch() != epoch {
            return;
        }
        if known.len() >= MOST {
            known.retain(|_, entry| entry.expires >= seconds(now));
        }
        if known.len() >= MOST {
            known.clear();
        }
        let principal = Arc::clone(principal);
        known.insert(hash, Entry { principal, expires });
    }

    /// Forgets everything.
    pub(super) fn forget(&self) {
        let mut known = self.by_hash.write().unwrap_or_else(PoisonError::into_inner);
        self.epoch.fetch_add(1, Ordering::AcqRel);
        known.clear();
    }
}

fn seconds(at: Timestamp) -> f64 {
    at.as_millis() as f64 / 1_000.0
}
