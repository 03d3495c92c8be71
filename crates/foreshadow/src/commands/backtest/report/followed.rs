//! How a pool's target followed its demand over time.

use std::{collections::VecDeque, time::Duration};

use foreshadow_simulation::backtest::{PolicyKind, ReplayName, Setting, TickRecord, Trace};
use foreshadow_types::{PoolName, Timestamp};
use maud::{Markup, html};

use super::chart::{Axis, Line, Scale, chart, round_steps};

/// Points across a chart.
const BUCKETS: usize = 440;

const DAY: Duration = Duration::from_hours(24);

/// The busiest pool under one policy: over the scored window, and on its busiest day.
pub(in super::super) struct Levels {
    policy: PolicyKind,
    target_hit_rate: f64,
    pool: PoolName,
    /// Ticks in a lead time.
    lead_ticks: usize,
    /// Demand of the last ticks, as many as make a lead time.
    recent: VecDeque<u32>,
    window: Level,
    day: Level,
}

/// The largest values in equal parts of a stretch of time.
#[derive(Debug, Clone)]
struct Level {
    from: Timestamp,
    to: Timestamp,
    targets: Vec<u32>,
    demand: Vec<u32>,
}

impl Levels {
    /// Follows `policy` at `target_hit_rate` on the pool with the most scored requests.
    pub(in super::super) fn new(
        trace: &Trace,
        setting: &Setting,
        policy: PolicyKind,
        target_hit_rate: f64,
    ) -> Option<Self> {
        let from_ms = setting.from().as_millis();
        let scored = |times: &[i64]| times.len() - times.partition_point(|&at| at < from_ms);
        let pool = trace
            .pools()
            .iter()
            .max_by_key(|pool| scored(pool.times_ms()))?;
        let times = pool.times_ms();
        let busy = busiest_day(&times[times.len() - scored(times)..], setting);
        let ticks = setting.lead_time().as_millis() / setting.tick().as_millis();
        Some(Self {
            policy,
            target_hit_rate,
            pool: pool.name().clone(),
            lead_ticks: (ticks as usize).max(1),
            recent: VecDeque::new(),
            window: Level::new(setting.from(), setting.to()),
            day: Level::new(busy, (busy + DAY).min(setting.to())),
        })
    }

    /// Takes a tick, if it is of the replay that is followed.
    pub(in super::super) fn tick(&mut self, replay: &ReplayName<'_>, record: &TickRecord) {
        let followed = replay.policy == self.policy
            && replay.target_hit_rate == self.target_hit_rate
            && *replay.pool.name() == self.pool;
        if !followed {
            return;
        }
        self.recent.push_back(record.demand);
        if self.recent.len() > self.lead_ticks {
            self.recent.pop_front();
        }
        let demand = self.recent.iter().sum();
        self.window.add(record.at, record.target, demand);
        self.day.add(record.at, record.target, demand);
    }

    /// The pool that is followed.
    pub(super) fn pool(&self) -> &str {
        self.pool.as_str()
    }

    /// Both charts under a heading.
    pub(super) fn render(&self) -> Markup {
        html! {
            h2 { "Target and demand of pool " (self.pool) }
            p {
                "The target of " strong { (self.policy) } " at " (self.target_hit_rate)
                " beside what was asked for in the lead time (start-up and one tick) around it: \
                 the largest of each in each part of the chart."
            }
            p.legend {
                span class="key target" { "target" } " "
                span class="key demand" { "demand in a lead time" }
            }
            figure { (self.window.render()) figcaption { "The scored window" } }
            figure { (self.day.render()) figcaption { "Its busiest day, from " (self.day.from) } }
        }
    }
}

/// The start of the day, counted from the start of scoring, with the most requests.
fn busiest_day(times_ms: &[i64], setting: &Setting) -> Timestamp {
    let from_ms = setting.from().as_millis();
    let day_ms = DAY.as_millis() as i64;
    let day = |at_ms: &i64| (at_ms - from_ms) / day_ms;
    let busiest = times_ms
        .chunk_by(|one, two| day(one) == day(two))
        .max_by_key(|requests| requests.len())
        .and_then(|requests| requests.first())
        .map_or(0, day);
    setting.from() + DAY * u32::try_from(busiest).unwrap_or(0)
}

impl Level {
    fn new(from: Timestamp, to: Timestamp) -> Self {
        Self {
            from,
            to,
            targets: vec![0; BUCKETS],
            demand: vec![0; BUCKETS],
        }
    }

    fn add(&mut self, at: Timestamp, target: u32, demand: u32) {
        if at < self.from || at > self.to {
            return;
        }
        let span_ms = self.to.since(self.from).as_millis().max(1);
        let share = at.since(self.from).as_millis() * BUCKETS as u128 / span_ms;
        let bucket = (share as usize).min(BUCKETS - 1);
        self.targets[bucket] = self.targets[bucket].max(target);
        self.demand[bucket] = self.demand[bucket].max(demand);
    }

    fn render(&self) -> Markup {
        let span_h = self.to.since(self.from).as_secs_f64() / 3600.0;
        let highest = self.targets.iter().chain(&self.demand).max().copied();
        let high = f64::from(highest.unwrap_or(0).max(1)) * 1.05;
        let (unit, length) = if span_h > 48.0 {
            ("days", 24.0)
        } else {
            ("hours", 1.0)
        };
        let x = Axis {
            title: format!("{unit} since {}", self.from),
            scale: Scale::Linear,
            low: 0.0,
            high: span_h / length,
            ticks: round_steps(span_h / length),
        };
        let y = Axis {
            title: "instances".to_owned(),
            scale: Scale::Linear,
            low: 0.0,
            high,
            ticks: round_steps(high),
        };
        let line = |values: &[u32], class: &str| Line {
            points: (0..)
                .zip(values)
                .map(|(bucket, &value)| {
                    let share = (f64::from(bucket) + 0.5) / BUCKETS as f64;
                    (share * span_h / length, f64::from(value))
                })
                .collect(),
            class: format!("line {class}"),
            dots: None,
        };
        let lines = [line(&self.demand, "demand"), line(&self.targets, "target")];
        chart("Target and demand over time", &x, &y, &lines)
    }
}
