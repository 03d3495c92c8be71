//! Ending what is there and nobody knows.

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
    time::Duration,
};

use foreshadow_types::InstanceId;
use tokio::time::Instant;

/// How often instances are looked for that nobody knows, and how long one is left alone of which it
/// has just become unclear who knows it.
const SWEEP_EVERY: Duration = Duration::from_secs(30);

/// Ends instances that are there and that nobody knows.
pub(crate) trait Sweep: Send + Sync + 'static {
    fn sweep(self: Arc<Self>) -> impl Future<Output = ()> + Send;
}

/// Sweeps every half minute, as long as there is somebody to sweep for.
pub(crate) async fn sweep_regularly(shared: Weak<impl Sweep>) {
    loop {
        tokio::time::sleep(SWEEP_EVERY).await;
        let Some(shared) = shared.upgrade() else {
            return;
        };
        shared.sweep().await;
    }
}

/// Which instances a sweep may end, should nobody know them.
///
/// Another replica may have taken over without this one knowing it yet. Ids rise, so that all that the
/// other starts is above what was known here; and what it made anew of an instance that ended here is
/// left alone for longer than it takes to learn of the other.
#[derive(Debug, Default)]
pub(crate) struct Reach {
    /// The highest that was known when this run began, or that it has looked after.
    highest: Option<InstanceId>,
    /// Instances that are left alone for now, and until when.
    spared: BTreeMap<InstanceId, Instant>,
}

impl Reach {
    pub(crate) fn extend_to(&mut self, id: InstanceId) {
        self.highest = self.highest.max(Some(id));
    }

    /// Leaves an instance alone for a while: long enough for whoever knows it to look after it.
    pub(crate) fn spare(&mut self, id: InstanceId, now: Instant) {
        self.extend_to(id);
        self.spared.insert(id, now + SWEEP_EVERY);
    }

    /// Forgets what was left alone for long enough.
    pub(crate) fn expire(&mut self, now: Instant) {
        self.spared.retain(|_, until| now < *until);
    }

    pub(crate) fn has(&self, id: InstanceId, now: Instant) -> bool {
        let spared = self.spared.get(&id);
        Some(id) <= self.highest && spared.is_none_or(|until| now >= *until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_above_all_that_was_known_is_of_another_and_the_rest_is_spared_for_a_while() {
        let now = Instant::now();
        let later = now + SWEEP_EVERY;
        let mut reach = Reach::default();
        let has = |reach: &Reach, now| -> Vec<u64> {
            let all = (4..=7).filter(|id| reach.has(InstanceId(*id), now));
            all.collect()
        };
        assert!(has(&reach, now).is_empty(), "nothing is known yet");
        reach.spare(InstanceId(5), now);
        assert_eq!(has(&reach, now), [4]);
        assert_eq!(has(&reach, later), [4, 5]);
        reach.extend_to(InstanceId(6));
        assert_eq!(has(&reach, now), [4, 6]);
        reach.expire(now);
        assert_eq!(reach.spared.len(), 1);
        reach.expire(later);
        assert!(reach.spared.is_empty());
        assert_eq!(has(&reach, now), [4, 5, 6]);
    }
}
