//! Holding a hit rate by what is realised.

/// The part of the misses allowed that feedback may add or take.
const REACH_UP: f64 = 0.8;
const REACH_DOWN: f64 = 1.0;

/// Sums how far the realised hits stray from those wanted, and aims so as to make it up.
#[derive(Debug, Clone)]
pub(crate) struct Feedback {
    wanted: f64,
    hits: f64,
    requests: f64,
    /// Hits short of those wanted, fading.
    short: f64,
    /// Those of the requests that took nothing from the pool.
    merged: f64,
    /// Those of them that waited.
    merged_waits: f64,
}

impl Feedback {
    pub(crate) fn new(wanted: f64) -> Self {
        Self {
            wanted,
            hits: 0.0,
            requests: 0.0,
            short: 0.0,
            merged: 0.0,
            merged_waits: 0.0,
        }
    }

    /// A request that was or was not bound without a wait.
    pub(crate) fn count(&mut self, hit: bool) {
        let hit = f64::from(u8::from(hit));
        self.hits += hit;
        self.requests += 1.0;
        self.short += self.wanted - hit;
    }

    /// A request that shares an instance which others hold.
    pub(crate) fn count_merged(&mut self, hit: bool) {
        self.count(hit);
        self.merged += 1.0;
        self.merged_waits += f64::from(u8::from(!hit));
    }

    /// Fades the record by `keep`.
    pub(crate) fn fade(&mut self, keep: f64) {
        self.hits *= keep;
        self.requests *= keep;
        self.short *= keep;
        self.merged *= keep;
        self.merged_waits *= keep;
    }

    /// The hit rate of the record; none before the first request.
    pub(crate) fn achieved(&self) -> Option<f64> {
        (self.requests > 0.0).then(|| self.hits / self.requests)
    }

    /// The hit rate that requests which take an instance must have for all to have the one wanted.
    ///
    /// Whoever shares an instance waits only with one who waits for it, so that waits of the former are
    /// in proportion to those of the latter, as in the record; both together are what is allowed.
    pub(crate) fn needed(&self) -> f64 {
        let taking = self.requests - self.merged;
        if self.merged <= 0.0 || taking <= 0.0 {
            return self.wanted;
        }
        let waits = self.requests - self.hits;
        // One more, so that a record without waits says nothing.
        let of_takers = (waits - self.merged_waits + 1.0) / (waits + 1.0);
        let allowed = (1.0 - self.wanted) * self.requests * of_takers;
        (1.0 - allowed / taking).max(0.0)
    }

    /// The hit rate to aim at, of requests that take an instance, so that the shortfall is made up
    /// within `horizon` of them.
    pub(crate) fn aim(&self, horizon: f64) -> f64 {
        let needed = self.needed();
        let room = 1.0 - needed;
        let correction = self.short / horizon.max(1.0);
        (needed + correction.clamp(-REACH_DOWN * room, REACH_UP * room)).max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misses_raise_the_aim_and_hits_lower_it_within_limits() {
        let mut feedback = Feedback::new(0.9);
        assert_eq!(feedback.aim(100.0), 0.9);
        assert_eq!(feedback.achieved(), None, "nobody has asked yet");
        feedback.count(false);
        assert_eq!(feedback.achieved(), Some(0.0));
        assert!((feedback.aim(100.0) - 0.909).abs() < 1e-9);
        for _ in 0..1000 {
            feedback.count(false);
        }
        assert!((feedback.aim(100.0) - 0.98).abs() < 1e-9);
        for _ in 0..100_000 {
            feedback.count(true);
        }
        assert!((feedback.aim(100.0) - 0.8).abs() < 1e-9);
    }

    #[test]
    fn requests_that_share_an_instance_leave_their_misses_to_the_others() {
        let mut feedback = Feedback::new(0.9);
        for hit in [true, true, true, true, false] {
            feedback.count(hit);
        }
        for _ in 0..5 {
            feedback.count_merged(true);
        }
        // One miss of ten is what is wanted, and it is one of the five that take an instance.
        assert!((feedback.needed() - 0.8).abs() < 1e-9);
        assert!((feedback.aim(100.0) - 0.8).abs() < 1e-9);
        feedback.fade(0.5);
        assert!((feedback.needed() - 0.8).abs() < 1e-9);
        for _ in 0..1000 {
            feedback.count_merged(true);
        }
        assert_eq!(feedback.needed(), 0.0);
        assert_eq!(feedback.aim(100.0), 0.0);
    }

    #[test]
    fn requests_that_wait_with_those_whose_instance_they_share_are_reckoned_with() {
        let mut feedback = Feedback::new(0.9);
        for request in 0..50 {
            feedback.count(request >= 10);
            feedback.count_merged(request >= 5);
        }
        // Ten of a hundred may wait: with eleven in sixteen of them, about seven of the fifty.
        let allowed = 10.0 * 11.0 / 16.0 / 50.0;
        assert!((feedback.needed() - (1.0 - allowed)).abs() < 1e-9);
    }
}
