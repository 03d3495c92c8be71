//! How many instances a pool has in use at once.

use std::{cmp::Reverse, collections::BinaryHeap, time::Duration};

use super::PoolTrace;
use crate::backtest::{
    fleet::Claim,
    sharing::{Guest, Sharing, Slot},
};

/// Instances that requests hold.
struct InUse {
    sharing: Option<Sharing>,
    /// When each is given back, unless others still hold it then.
    ends_ms: BinaryHeap<Reverse<(i64, Slot)>>,
}

impl PoolTrace {
    /// The most instances that requests hold or wait for at one moment, where each is served within a
    /// start-up time; where the log says nothing of holding, it counts for nothing.
    pub fn most_in_use(&self, startup: Duration) -> u32 {
        let startup_ms = i64::try_from(startup.as_millis()).unwrap_or(i64::MAX);
        let mut in_use = InUse {
            sharing: self.sharing(),
            ends_ms: BinaryHeap::new(),
        };
        let counts = (0..self.len()).map(|index| in_use.with(&self.guest(index), startup_ms));
        u32::try_from(counts.max().unwrap_or(0)).unwrap_or(u32::MAX)
    }
}

impl InUse {
    /// How many there are once the request has come.
    fn with(&mut self, guest: &Guest, startup_ms: i64) -> usize {
        let sharing = self.sharing.as_mut();
        let shares = sharing.is_some_and(|sharing| sharing.serve(guest, || false).is_some());
        self.give_back(guest.at_ms);
        if !shares {
            let claim = Claim::of_its_own(guest.at_ms.saturating_add(startup_ms));
            let sharing = self.sharing.as_mut();
            let slot = sharing.map_or(0, |sharing| sharing.take(guest, &claim));
            let end_ms = claim.served_ms.saturating_add(guest.hold_ms);
            self.ends_ms.push(Reverse((end_ms, slot)));
        }
        self.ends_ms.len()
    }

    /// What nobody holds any more is given back.
    fn give_back(&mut self, now_ms: i64) {
        while let Some(&Reverse((end_ms, slot))) = self.ends_ms.peek() {
            if end_ms > now_ms {
                return;
            }
            self.ends_ms.pop();
            let sharing = self.sharing.as_ref();
            let until_ms = sharing.and_then(|sharing| sharing.until_ms(slot));
            if let Some(until_ms) = until_ms.filter(|&until_ms| until_ms > now_ms) {
                self.ends_ms.push(Reverse((until_ms, slot)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backtest::tests::log;

    /// Of one pool with requests at (second, seconds held, key) and a start-up time of 90 s.
    fn most_in_use(share: u32, requests: &[(i64, u64, u64)]) -> u32 {
        let requests = requests.iter();
        let requests = requests.map(|&(at, held, key)| (at * 1_000, Some(held * 1_000), key));
        log(share, requests).pools()[0].most_in_use(Duration::from_secs(90))
    }

    #[test]
    fn who_shares_an_instance_needs_none() {
        let requests = [(0, 60, 0), (10, 60, 0), (20, 60, 0), (400, 60, 0)];
        assert_eq!(most_in_use(1, &requests), 3);
        assert_eq!(most_in_use(2, &requests), 2);
        assert_eq!(most_in_use(3, &requests), 1);
        let keyed = requests.map(|(at, held, _)| (at, held, 7));
        assert_eq!(most_in_use(1, &keyed), 1);
    }

    #[test]
    fn an_instance_is_in_use_until_the_last_of_those_who_share_it_leaves() {
        // Ready at 90 and left at 100; or at 190 by the second.
        let both = [(0, 10, 7), (80, 100, 7), (189, 1, 0)];
        assert_eq!(most_in_use(1, &both), 2);
        let gone = [(0, 10, 7), (80, 100, 7), (190, 1, 0)];
        assert_eq!(most_in_use(1, &gone), 1);
        let first = [(0, 10, 7), (100, 1, 0)];
        assert_eq!(most_in_use(1, &first), 1);
    }

    #[test]
    fn a_hold_that_is_not_known_counts_for_nothing() {
        let unknown = log(1, [(0, None, 0), (89_999, None, 0), (90_000, None, 0)]);
        assert_eq!(unknown.pools()[0].most_in_use(Duration::from_secs(90)), 2);
    }
}
