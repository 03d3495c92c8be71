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
}

impl Feedback {
    pub(crate) fn new(wanted: f64) -> Self {
        Self {
            wanted,
            hits: 0.0,
            requests: 0.0,
            short: 0.0,
        }
    }

    /// A request that was or was not bound without a wait.
    pub(crate) fn count(&mut self, hit: bool) {
        let hit = f64::from(u8::from(hit));
        self.hits += hit;
        self.requests += 1.0;
        self.short += self.wanted - hit;
    }

    /// Fades the record by `keep`.
    pub(crate) fn fade(&mut self, keep: f64) {
        self.hits *= keep;
        self.requests *= keep;
        self.short *= keep;
    }

    /// The hit rate of the record.
    pub(crate) fn achieved(&self) -> f64 {
        if self.requests > 0.0 {
            self.hits / self.requests
        } else {
            self.wanted
        }
    }

    /// The hit rate to aim at so that the shortfall is made up within `horizon` requests.
    pub(crate) fn aim(&self, horizon: f64) -> f64 {
        let room = 1.0 - self.wanted;
        let correction = self.short / horizon.max(1.0);
        self.wanted + correction.clamp(-REACH_DOWN * room, REACH_UP * room)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misses_raise_the_aim_and_hits_lower_it_within_limits() {
        let mut feedback = Feedback::new(0.9);
        assert_eq!(feedback.aim(100.0), 0.9);
        feedback.count(false);
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
}
