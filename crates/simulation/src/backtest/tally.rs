//! What is counted while a pool is replayed.

use foreshadow_planner::{MissCause, MissCounts, Outcome};

use super::Setting;

/// In how many equal parts of the scored window the hit rate is also given.
pub const QUARTERS: usize = 4;

/// Counts over the scored window of one pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tally {
    from_ms: i64,
    to_ms: i64,
    quarter_ends_ms: [i64; QUARTERS - 1],
    requests_by_quarter: [u64; QUARTERS],
    hits_by_quarter: [u64; QUARTERS],
    joins: u64,
    misses: u64,
    merged: u64,
    starts: u64,
    idle_ms: u64,
    /// The waits of the requests that were no hits; `None` when they are not kept.
    waits_ms: Option<Vec<u32>>,
    /// What became of each request, in order, where waits are kept.
    outcomes: Vec<Outcome>,
    /// Why requests waited, where waits are kept.
    causes: MissCounts,
}

impl Tally {
    /// Counts for the setting's scored window, without keeping waits.
    pub(crate) fn new(setting: &Setting) -> Self {
        let (from_ms, to_ms) = (setting.from().as_millis(), setting.to().as_millis());
        let part = |quarter: i64| {
            from_ms + ((to_ms - from_ms) as i128 * quarter as i128 / QUARTERS as i128) as i64
        };
        Self {
            from_ms,
            to_ms,
            quarter_ends_ms: [part(1), part(2), part(3)],
            requests_by_quarter: [0; QUARTERS],
            hits_by_quarter: [0; QUARTERS],
            joins: 0,
            misses: 0,
            merged: 0,
            starts: 0,
            idle_ms: 0,
            waits_ms: None,
            outcomes: Vec::new(),
            causes: MissCounts::default(),
        }
    }

    /// Counts that also keep each wait, for percentiles.
    pub(crate) fn keeping_waits(setting: &Setting) -> Self {
        Self {
            waits_ms: Some(Vec::new()),
            ..Self::new(setting)
        }
    }

    /// A request came at `now` and waits until `served_ms`.
    #[inline]
    pub(crate) fn request(&mut self, now_ms: i64, served_ms: i64, outcome: Outcome) {
        if now_ms < self.from_ms {
            return;
        }
        let quarter: usize = self
            .quarter_ends_ms
            .iter()
            .map(|&end| usize::from(now_ms >= end))
            .sum();
        self.requests_by_quarter[quarter] += 1;
        if self.waits_ms.is_some() {
            self.outcomes.push(outcome);
        }
        match outcome {
            Outcome::Hit => {
                self.hits_by_quarter[quarter] += 1;
                return;
            }
            Outcome::Join => self.joins += 1,
            Outcome::Miss => self.misses += 1,
        }
        if let Some(waits) = &mut self.waits_ms {
            waits.push(u32::try_from(served_ms - now_ms).unwrap_or(u32::MAX));
        }
    }

    /// The request that came at `now` shares an instance that others hold; it counts where that is ready.
    #[inline]
    pub(crate) fn shared(&mut self, now_ms: i64, outcome: Outcome) {
        self.merged += u64::from(now_ms >= self.from_ms && outcome == Outcome::Hit);
    }

    /// Whether it keeps waits and their causes.
    pub(crate) fn keeps_waits(&self) -> bool {
        self.waits_ms.is_some()
    }

    /// The request that came at `now` waits for this cause.
    pub(crate) fn cause(&mut self, now_ms: i64, cause: MissCause) {
        if now_ms >= self.from_ms {
            self.causes.add(cause);
        }
    }

    /// An instance was started.
    #[inline]
    pub(crate) fn start(&mut self, now_ms: i64) {
        self.starts += u64::from(now_ms >= self.from_ms);
    }

    /// An instance was idle from `since_ms` to `until_ms`.
    #[inline]
    pub(crate) fn idle(&mut self, since_ms: i64, until_ms: i64) {
        let clipped = until_ms.min(self.to_ms) - since_ms.max(self.from_ms);
        self.idle_ms += clipped.max(0) as u64;
    }

    /// How long requests waited, added up, if waits were kept.
    pub(crate) fn waited_s(&self) -> f64 {
        let waited_ms: u64 = self.waits_ms().iter().copied().map(u64::from).sum();
        waited_ms as f64 / 1e3
    }

    /// Requests in the scored window.
    pub fn requests(&self) -> u64 {
        self.requests_by_quarter.iter().sum()
    }

    /// Requests that found a ready instance.
    pub fn hits(&self) -> u64 {
        self.hits_by_quarter.iter().sum()
    }

    /// Requests that waited for an instance that was already starting.
    pub fn joins(&self) -> u64 {
        self.joins
    }

    /// Requests that had to start their own instance.
    pub fn misses(&self) -> u64 {
        self.misses
    }

    /// Hits on an instance that others held already.
    pub fn merged(&self) -> u64 {
        self.merged
    }

    /// Instances started within the window.
    pub fn starts(&self) -> u64 {
        self.starts
    }

    /// Instance-milliseconds of idle time within the window.
    pub fn idle_ms(&self) -> u64 {
        self.idle_ms
    }

    /// Requests and hits in each quarter of the window.
    pub fn by_quarter(&self) -> [(u64, u64); QUARTERS] {
        std::array::from_fn(|i| (self.requests_by_quarter[i], self.hits_by_quarter[i]))
    }

    /// Hits ÷ requests; `None` without requests.
    pub fn hit_rate(&self) -> Option<f64> {
        ratio(self.hits(), self.requests())
    }

    /// What became of each request of the window, in order, if waits were kept.
    pub fn outcomes(&self) -> &[Outcome] {
        &self.outcomes
    }

    /// Why requests of the window waited, from what the pool held, if waits were kept.
    pub fn causes(&self) -> &MissCounts {
        &self.causes
    }

    /// The waits of the requests that were no hits, if they were kept.
    pub fn waits_ms(&self) -> &[u32] {
        self.waits_ms.as_deref().unwrap_or_default()
    }
}

/// `part` ÷ `whole`, `None` where that has no value.
pub(crate) fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}
