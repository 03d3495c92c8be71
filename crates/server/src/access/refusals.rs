//! What the gate refuses: counted, told in the log as often as somebody can read, and bounded by where
//! it comes from.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use foreshadow_access::{CallRate, Meter};
use foreshadow_types::Timestamp;

/// Failed tries of one address: so many a second, and so many at once after a pause.
const TRIES: CallRate = CallRate::constant(10, 100);
/// Lines in the log, of all refusals together.
const LINES: CallRate = CallRate::constant(1, 10);
/// Addresses that are kept apart; those beyond share one allowance.
const ADDRESSES: usize = 4_096;

/// Why calls were refused at the gate, as it is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// Nobody is known by what was shown.
    Unauthenticated,
    /// The caller is known and may not.
    Forbidden,
    /// The caller calls more often than it may, or an address fails more often than it may.
    TooOften,
    /// More calls are under way than the server keeps up with.
    Busy,
}

/// What the gate has refused so far.
#[derive(Debug)]
pub(crate) struct Refusals {
    counts: [AtomicU64; 4],
    tries: Mutex<HashMap<IpAddr, Meter>>,
    others: Meter,
    lines: Meter,
    untold: AtomicU64,
}

impl Default for Refusals {
    fn default() -> Self {
        Self {
            counts: Default::default(),
            tries: Mutex::default(),
            others: Meter::new(TRIES),
            lines: Meter::new(LINES),
            untold: AtomicU64::new(0),
        }
    }
}

impl Why {
    pub(crate) const ALL: [Self; 4] = [
        Self::Unauthenticated,
        Self::Forbidden,
        Self::TooOften,
        Self::Busy,
    ];

    /// As a label.
    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::TooOften => "too_often",
            Self::Busy => "busy",
        }
    }
}

impl Refusals {
    /// How often so far.
    pub(crate) fn count(&self, why: Why) -> u64 {
        self.counts[why as usize].load(Ordering::Relaxed)
    }

    /// Counts a refusal, and tells of it unless too many were told of lately.
    pub(super) fn note(&self, why: Why, peer: Option<SocketAddr>, said: &str, now: Timestamp) {
        self.counts[why as usize].fetch_add(1, Ordering::Relaxed);
        // Who calls too often is told so, and is seen by the count.
        if why == Why::TooOften || self.lines.take(now).is_err() {
            self.untold.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let untold = self.untold.swap(0, Ordering::Relaxed);
        let peer = peer.map(tracing::field::display);
        tracing::warn!(
            peer,
            reason = why.key(),
            untold,
            "a call was refused: {said}"
        );
    }

    /// Counts a try that nobody is known by against its address. Those who are known are not bounded by
    /// it: behind a proxy one caller with a wrong token would shut out all others.
    ///
    /// # Errors
    /// The delay after which the next may come.
    pub(super) fn take_try(
        &self,
        peer: Option<SocketAddr>,
        now: Timestamp,
    ) -> Result<(), Duration> {
        let Some(address) = peer.map(|peer| network(peer.ip())) else {
            return self.others.take(now);
        };
        let mut tries = self.tries.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(meter) = tries.get(&address) {
            return meter.take(now);
        }
        if tries.len() >= ADDRESSES {
            tries.retain(|_, meter| !meter.is_rested(now));
        }
        if tries.len() >= ADDRESSES {
            return self.others.take(now);
        }
        tries
            .entry(address)
            .or_insert_with(|| Meter::new(TRIES))
            .take(now)
    }
}

/// Whoever has an address of IPv6 has the other 2^64 of its network too.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millis(1_000_000 + ms)
    }

    fn passed(refusals: &Refusals, address: &str, times: usize) -> usize {
        let peer = Some(SocketAddr::new(address.parse().unwrap(), 1));
        let tries = (0..times).map(|_| refusals.take_try(peer, at(0)));
        tries.flatten().count()
    }

    #[test]
    fn an_address_has_its_own_tries_and_a_network_of_ipv6_has_them_together() {
        let refusals = Refusals::default();
        assert_eq!(passed(&refusals, "192.0.2.1", 150), 100);
        assert_eq!(passed(&refusals, "192.0.2.2", 150), 100);
        assert_eq!(passed(&refusals, "2001:db8::1", 60), 60);
        assert_eq!(passed(&refusals, "2001:db8::2", 60), 40);
        assert_eq!(passed(&refusals, "::ffff:192.0.2.1", 1), 0);
        let peer = Some("192.0.2.1:9".parse().unwrap());
        assert!(refusals.take_try(peer, at(1_000)).is_ok());
    }

    #[test]
    fn addresses_beyond_the_limit_share_their_tries_until_others_are_quiet() {
        let refusals = Refusals::default();
        for n in 0..ADDRESSES as u32 {
            let address = std::net::Ipv4Addr::from_bits(n);
            let _ = refusals.take_try(Some((address, 1).into()), at(0));
        }
        assert_eq!(passed(&refusals, "198.51.100.1", 80), 80);
        assert_eq!(passed(&refusals, "198.51.100.2", 80), 20);
        let peer = Some("198.51.100.2:1".parse().unwrap());
        assert!(refusals.take_try(peer, at(200)).is_ok());
        assert_eq!(refusals.tries.lock().unwrap().len(), 1);
    }

    #[test]
    fn every_refusal_is_counted_by_its_reason() {
        let refusals = Refusals::default();
        for _ in 0..50 {
            refusals.note(Why::Forbidden, None, "no", at(0));
        }
        refusals.note(Why::TooOften, None, "no", at(0));
        assert_eq!(Why::ALL.map(|why| refusals.count(why)), [0, 50, 1, 0]);
        let untold = refusals.untold.load(Ordering::Relaxed);
        assert_eq!(untold, 41, "ten lines are told");
    }
}
