//! What is counted while a pool is replayed.

use foreshadow_planner::{MissCause, MissCounts, Outcome};

use super::{Setting, shares::Users, waits::Waits};

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
    /// What more is noted of each request.
    detail: Detail,
    /// Why requests waited, where waits are kept.
    causes: MissCounts,
}

/// What is noted of requests beyond counts.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Detail {
    Nothing,
    /// What became of each, in order, and the waits of those that were no hits.
    Each {
        outcomes: Vec<Outcome>,
        waits_ms: Vec<u32>,
    },
    /// Waits by their length, and what each user got.
    Summed {
        waits: Waits,
        users: Users,
    },
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
            detail: Detail::Nothing,
            causes: MissCounts::default(),
        }
    }

    /// Counts that also keep what became of each request.
    pub(crate) fn keeping_waits(setting: &Setting) -> Self {
        let detail = Detail::Each {
            outcomes: Vec::new(),
            waits_ms: Vec::new(),
        };
        Self {
            detail,
            ..Self::new(setting)
        }
    }

    /// Counts that also sum up waits and what users get, for a row.
    pub(crate) fn summing_up(setting: &Setting) -> Self {
        let detail = Detail::Summed {
            waits: Waits::default(),
            users: Users::default(),
        };
        Self {
            detail,
            ..Self::new(setting)
        }
    }

    /// A request came at `now` and waits until `served_ms`; `who` asked.
    #[inline]
    pub(crate) fn request(
        &mut self,
        now_ms: i64,
        served_ms: i64,
        outcome: Outcome,
        who: impl FnOnce() -> u64,
    ) {
        if now_ms < self.from_ms {
            return;
        }
        let quarter: usize = self
            .quarter_ends_ms
            .iter()
            .map(|&end| usize::from(now_ms >= end))
            .sum();
        self.requests_by_quarter[quarter] += 1;
        match outcome {
            Outcome::Hit => self.hits_by_quarter[quarter] += 1,
            Outcome::Join => self.joins += 1,
            Outcome::Miss => self.misses += 1,
        }
        let wait_ms = || u32::try_from(served_ms - now_ms).unwrap_or(u32::MAX);
        self.detail.note(outcome, wait_ms, who);
    }

    /// The request that came at `now` shares an instance that others hold; it counts where that is ready.
    #[inline]
    pub(crate) fn shared(&mut self, now_ms: i64, outcome: Outcome) {
        self.merged += u64::from(now_ms >= self.from_ms && outcome == Outcome::Hit);
    }

    /// Whether it keeps waits and their causes.
    pub(crate) fn keeps_waits(&self) -> bool {
        !matches!(self.detail, Detail::Nothing)
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
        let waited_ms: u64 = match &self.detail {
            Detail::Nothing => 0,
            Detail::Each { waits_ms, .. } => waits_ms.iter().copied().map(u64::from).sum(),
            Detail::Summed { waits, .. } => waits.total_ms(),
        };
        waited_ms as f64 / 1e3
    }

    /// Waits by their length and what users got, where these were summed up.
    pub(crate) fn summed(&self) -> Option<(&Waits, &Users)> {
        match &self.detail {
            Detail::Summed { waits, users } => Some((waits, users)),
            Detail::Nothing | Detail::Each { .. } => None,
        }
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

    /// What became of each request of the window, in order, if that was kept.
    pub fn outcomes(&self) -> &[Outcome] {
        match &self.detail {
            Detail::Each { outcomes, .. } => outcomes,
            Detail::Nothing | Detail::Summed { .. } => &[],
        }
    }

    /// Why requests of the window waited, from what the pool held, if waits were kept.
    pub fn causes(&self) -> &MissCounts {
        &self.causes
    }

    /// The waits of the requests that were no hits, in order, if each was kept.
    pub fn waits_ms(&self) -> &[u32] {
        match &self.detail {
            Detail::Each { waits_ms, .. } => waits_ms,
            Detail::Nothing | Detail::Summed { .. } => &[],
        }
    }
}

impl Detail {
    #[inline]
    fn note(&mut self, outcome: Outcome, wait_ms: impl FnOnce() -> u32, who: impl FnOnce() -> u64) {
        let hit = outcome == Outcome::Hit;
        match self {
            Self::Nothing => {}
            Self::Each { outcomes, waits_ms } => {
                outcomes.push(outcome);
                if !hit {
                    waits_ms.push(wait_ms());
                }
            }
            Self::Summed { waits, users } => {
                let wait_ms = if hit { 0 } else { wait_ms() };
                if !hit {
                    waits.add(wait_ms);
                }
                users.served(who(), outcome, wait_ms);
            }
        }
    }
}

/// `part` ÷ `whole`, `None` where that has no value.
pub(crate) fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}
