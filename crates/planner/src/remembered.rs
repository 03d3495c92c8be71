//! Making a planner anew from what was seen, when a start-up time turns out otherwise.

use std::{collections::VecDeque, time::Duration};

use foreshadow_types::Timestamp;

use crate::{
    known::KnownDemand,
    planner::PoolPlanner,
    policy::{Arrival, Fared, Inventory},
};

/// How many requests are remembered.
const REMEMBERED: usize = 262_144;

/// A planner is made anew when start-up times differ from those it knows by this factor.
const STARTUP_DRIFT: f64 = 1.5;

/// The same while what it was last made anew from has not grown by [`GROWTH`]: a few starts that happen to
/// be slow must not have it made anew again and again, which takes longer the more it remembers.
const GREAT_DRIFT: f64 = 2.25;

/// By which share of the time remembered.
const GROWTH: f64 = 0.25;

/// The most ticks that a planner made anew lives through.
const MOST_TICKS: u64 = 100_000;

/// What became of a past request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Past {
    /// It is not known, since it comes from the history.
    Unknown,
    /// It took an instance.
    Served(Fared),
    /// It shared an instance that others held.
    Merged(Fared),
}

/// The latest requests of a pool in order of time, to make a planner anew from.
#[derive(Debug, Clone, Default)]
pub struct Remembered(VecDeque<(Arrival, Past)>);

impl Remembered {
    /// Adds the latest request; the oldest is forgotten where there are too many.
    pub fn push(&mut self, arrival: Arrival, past: Past) {
        if self.0.len() >= REMEMBERED {
            self.0.pop_front();
        }
        self.0.push_back((arrival, past));
    }

    /// The requests, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &(Arrival, Past)> {
        self.0.iter()
    }

    /// When the first of them came.
    pub fn begin(&self) -> Option<Timestamp> {
        self.0.front().map(|(first, _)| first.at)
    }

    /// Those that came at this time or later, oldest first.
    pub fn since(&self, from: Timestamp) -> impl Iterator<Item = &(Arrival, Past)> {
        let first = self.0.partition_point(|(arrival, _)| arrival.at < from);
        self.0.range(first..)
    }

    /// Whether a planner that knows a start-up time, and was made anew at `made` if ever, must be made
    /// anew at `now`, since starts take as long as `measured`.
    pub fn has_drifted(
        &self,
        known: Duration,
        measured: Duration,
        made: Option<Timestamp>,
        now: Timestamp,
    ) -> bool {
        let first = self.0.front().map_or(now, |(first, _)| first.at);
        let wait = now.since(first).mul_f64(GROWTH);
        let factor = if made.is_none_or(|made| now.since(made) >= wait) {
            STARTUP_DRIFT
        } else {
            GREAT_DRIFT
        };
        let ratio = measured.as_secs_f64().max(1e-3) / known.as_secs_f64().max(1e-3);
        !(1.0 / factor..=factor).contains(&ratio)
    }

    /// Work has ended of `user`, who came at `came` and whose hold was [`Arrival::UNTIL_RELEASED`]:
    /// gives what became of the request, if it is remembered.
    pub fn end(&mut self, came: Timestamp, user: u64, ended: Timestamp) -> Option<Past> {
        let first = self.0.partition_point(|(past, _)| past.at < came);
        let (arrival, past) = self
            .0
            .range_mut(first..)
            .take_while(|(past, _)| past.at == came)
            .find(|(past, _)| past.hold == Some(Arrival::UNTIL_RELEASED) && past.user == user)?;
        arrival.hold = Some(ended.since(came));
        Some(*past)
    }

    /// Shows a planner the requests, with the ticks between them as they would have been. Takes up to
    /// seconds.
    pub fn live_through(&self, planner: &mut PoolPlanner, now: Timestamp) {
        let tick = planner.settings().tick;
        let Some((first, _)) = self.0.front() else {
            return;
        };
        let longest = Duration::from_millis((tick.as_millis() as u64).saturating_mul(MOST_TICKS));
        let begin = first.at.max(now - longest).floor_to(tick);
        let mut next_tick = begin;
        let known = KnownDemand::default();
        for (arrival, past) in self.0.iter().filter(|(arrival, _)| arrival.at >= begin) {
            while next_tick <= arrival.at {
                let _ = planner.plan(next_tick, &Inventory::default(), &known);
                next_tick = next_tick + tick;
            }
            match *past {
                Past::Served(fared) => planner.observe(arrival, fared),
                Past::Merged(fared) => planner.observe_merged(arrival, fared),
                Past::Unknown => planner.observe_past(arrival),
            }
        }
        while next_tick < now {
            let _ = planner.plan(next_tick, &Inventory::default(), &known);
            next_tick = next_tick + tick;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Outcome;

    fn arrival(at_ms: i64, user: u64) -> Arrival {
        Arrival {
            at: Timestamp::from_millis(at_ms),
            user,
            application: 0,
            hold: Some(Arrival::UNTIL_RELEASED),
        }
    }

    #[test]
    fn only_half_as_long_again_or_two_thirds_is_a_drift() {
        let now = Timestamp::from_millis(0);
        let drifted = |known_s, measured_s| {
            let seconds = Duration::from_secs;
            let remembered = Remembered::default();
            remembered.has_drifted(seconds(known_s), seconds(measured_s), None, now)
        };
        assert!(!drifted(60, 60) && !drifted(0, 0));
        assert!(!drifted(60, 90) && drifted(60, 91));
        assert!(!drifted(60, 40) && drifted(60, 39));
    }

    #[test]
    fn a_planner_just_made_anew_is_made_anew_again_for_a_great_drift_alone() {
        let mut remembered = Remembered::default();
        remembered.push(arrival(0, 1), Past::Unknown);
        let hour = |hour: i64| Timestamp::from_millis(3_600_000 * hour);
        let drifted = |measured_s, now| {
            let (known, measured) = (Duration::from_mins(1), Duration::from_secs(measured_s));
            remembered.has_drifted(known, measured, Some(hour(6)), now)
        };
        assert!(!drifted(100, hour(7)), "an hour of seven");
        assert!(drifted(136, hour(7)));
        assert!(drifted(100, hour(8)), "two hours of eight");
    }

    #[test]
    fn a_use_ends_when_it_was_told_to_and_of_him_who_asked() {
        let mut remembered = Remembered::default();
        let past = Past::Served(Outcome::Miss.into());
        for user in [1, 2] {
            remembered.push(arrival(1_000, user), past);
        }
        let at = Timestamp::from_millis;
        assert_eq!(remembered.end(at(1_000), 2, at(9_000)), Some(past));
        assert_eq!(remembered.end(at(1_000), 2, at(9_000)), None, "once");
        assert_eq!(remembered.end(at(2_000), 1, at(9_000)), None);
        let holds: Vec<_> = remembered.iter().map(|(one, _)| one.hold).collect();
        let eight = Some(Duration::from_secs(8));
        assert_eq!(holds, [Some(Arrival::UNTIL_RELEASED), eight]);
    }

    #[test]
    fn no_more_are_remembered_than_the_limit() {
        let mut remembered = Remembered::default();
        for ms in 0..REMEMBERED as i64 + 7 {
            remembered.push(arrival(ms, 1), Past::Unknown);
        }
        let first = remembered.iter().next().map(|(one, _)| one.at.as_millis());
        assert_eq!((remembered.iter().count(), first), (REMEMBERED, Some(7)));
    }
}
