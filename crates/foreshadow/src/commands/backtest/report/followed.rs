//! What a report remembers of the replays while they run.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use foreshadow_simulation::backtest::{PolicyKind, ReplayName, Setting, TickRecord, Times, Trace};
use foreshadow_types::{PoolName, Timestamp};

/// The most moments kept for the chart.
const MOST_MOMENTS: u128 = 40_000;

const DAY: Duration = Duration::from_hours(24);

/// The busiest pool under one policy over time, and how large each pool was planned.
pub(in super::super) struct Followed {
    pub(super) policy: PolicyKind,
    pub(super) target_hit_rate: f64,
    pub(super) pool: PoolName,
    pub(super) from: Timestamp,
    /// The time between two moments.
    pub(super) step: Duration,
    pub(super) moments: Vec<Moment>,
    /// The busiest day, counted from the start of scoring.
    pub(super) busiest_day: u32,
    /// Demand of the last ticks, as many as make a lead time.
    recent: VecDeque<u32>,
    lead_ticks: usize,
    planned: Vec<Planned>,
}

/// One tick, or the extremes of a few that follow one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Moment {
    /// The largest target.
    pub(super) target: u32,
    /// The fewest ready instances.
    pub(super) ready: u32,
    /// The most requests in a lead time.
    pub(super) demand: u32,
    /// Requests that waited.
    pub(super) waits: u32,
    ticks: u32,
}

/// The largest target of each pool at one target hit rate of the production planner.
struct Planned {
    target_hit_rate: f64,
    largest: BTreeMap<PoolName, u32>,
}

impl Followed {
    /// Follows `policy` at `target_hit_rate` on the pool with the most scored requests.
    pub(in super::super) fn new(
        trace: &Trace,
        setting: &Setting,
        policy: PolicyKind,
        target_hit_rate: f64,
    ) -> Option<Self> {
        let from_ms = setting.from().as_millis();
        let scored = |times: &Times| times.len() - times.before(from_ms);
        let pool = trace
            .pools()
            .iter()
            .max_by_key(|pool| scored(pool.times_ms()))?;
        let times = pool.times_ms();
        let lead_ticks = setting.lead_time().as_millis() / setting.tick().as_millis();
        let span_ms = setting.to().since(setting.from()).as_millis();
        let ticks = span_ms / setting.tick().as_millis() + 1;
        let together = ticks.div_ceil(MOST_MOMENTS) as u32;
        Some(Self {
            policy,
            target_hit_rate,
            pool: pool.name().clone(),
            from: setting.from(),
            step: setting.tick() * together,
            moments: vec![Moment::default(); ticks.div_ceil(u128::from(together)) as usize],
            busiest_day: busiest_day(times, times.before(from_ms), setting),
            recent: VecDeque::new(),
            lead_ticks: (lead_ticks as usize).max(1),
            planned: Vec::new(),
        })
    }

    /// Takes a tick of any replay.
    pub(in super::super) fn tick(&mut self, replay: &ReplayName<'_>, record: &TickRecord) {
        if record.at < self.from {
            return;
        }
        if replay.policy == PolicyKind::Foreshadow {
            self.plan(replay, record.target);
        }
        let followed = replay.policy == self.policy
            && replay.target_hit_rate == self.target_hit_rate
            && *replay.pool.name() == self.pool;
        if followed {
            self.follow(record);
        }
    }

    /// The largest target that the production planner set for each pool at this target hit rate.
    pub(super) fn largest_targets(&self, target_hit_rate: f64) -> Option<&BTreeMap<PoolName, u32>> {
        self.planned
            .iter()
            .find(|planned| planned.target_hit_rate == target_hit_rate)
            .map(|planned| &planned.largest)
    }

    fn plan(&mut self, replay: &ReplayName<'_>, target: u32) {
        let rate = replay.target_hit_rate;
        let known = self
            .planned
            .iter()
            .position(|one| one.target_hit_rate == rate);
        let at = known.unwrap_or_else(|| {
            self.planned.push(Planned {
                target_hit_rate: rate,
                largest: BTreeMap::new(),
            });
            self.planned.len() - 1
        });
        let largest = &mut self.planned[at].largest;
        match largest.get_mut(replay.pool.name()) {
            Some(most) => *most = target.max(*most),
            None => {
                largest.insert(replay.pool.name().clone(), target);
            }
        }
    }

    fn follow(&mut self, record: &TickRecord) {
        self.recent.push_back(record.demand);
        if self.recent.len() > self.lead_ticks {
            self.recent.pop_front();
        }
        let demand = self.recent.iter().sum();
        let at = record.at.since(self.from).as_millis() / self.step.as_millis();
        if let Some(moment) = self.moments.get_mut(at as usize) {
            moment.add(record, demand);
        }
    }
}

impl Moment {
    fn add(&mut self, record: &TickRecord, demand: u32) {
        self.target = self.target.max(record.target);
        self.ready = if self.ticks == 0 {
            record.ready
        } else {
            self.ready.min(record.ready)
        };
        self.demand = self.demand.max(demand);
        self.waits += record.joins + record.misses;
        self.ticks += 1;
    }
}

/// The day, counted from the start of scoring, with the most of the requests from `first` on.
fn busiest_day(times_ms: &Times, first: usize, setting: &Setting) -> u32 {
    let from_ms = setting.from().as_millis();
    let day_ms = DAY.as_millis() as i64;
    let mut days = BTreeMap::<i64, u64>::new();
    for at_ms in times_ms.walk().skip(first) {
        *days.entry((at_ms - from_ms) / day_ms).or_default() += 1;
    }
    let busiest = days.into_iter().max_by_key(|&(_, requests)| requests);
    let busiest = busiest.map_or(0, |(day, _)| day);
    u32::try_from(busiest).unwrap_or(0)
}
