//! What sharing makes of the requests of a pool: which of them are demand.

use std::num::NonZeroU32;

use super::Times;
use crate::backtest::{
    fleet::Claim,
    sharing::{Guest, Sharing},
};

/// Which requests of a pool share instances that others hold, if all are served at once.
#[derive(Debug, Clone)]
pub(super) struct Shared {
    /// At most so many requests share an instance by room.
    most: NonZeroU32,
    /// Whether each request shares.
    merged: Vec<bool>,
    /// The times of the others.
    demand_ms: Times,
}

impl Shared {
    /// Serves all requests at once, in order of time.
    pub(super) fn of(most: NonZeroU32, guests: impl Iterator<Item = Guest>) -> Self {
        let mut sharing = Sharing::new(most);
        let (mut merged, mut demand_ms) = (Vec::new(), Times::default());
        for guest in guests {
            let shares = sharing.serve(&guest, || true).is_some();
            merged.push(shares);
            if !shares {
                demand_ms.push(guest.at_ms);
                sharing.take(&guest, &Claim::of_instance(guest.at_ms, guest.at_ms));
            }
        }
        Self {
            most,
            merged,
            demand_ms,
        }
    }

    /// Who shares instances with whom, before the first request.
    pub(super) fn sharing(&self) -> Sharing {
        Sharing::new(self.most)
    }

    pub(super) fn most(&self) -> NonZeroU32 {
        self.most
    }

    pub(super) fn is_merged(&self, index: usize) -> bool {
        self.merged[index]
    }

    /// The times of the requests that take an instance.
    pub(super) fn demand_ms(&self) -> &Times {
        &self.demand_ms
    }
}
