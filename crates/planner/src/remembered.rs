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

/// The most ticks that a planner made anew lives through.
const MOST_TICKS: u64 = 100_000;

/// Whether measured start-up times are so far from the one a planner knows that it must be made anew.
pub fn startup_drifted(known: Duration, measured: Duration) -> bool {
    let ratio = measured.as_secs_f64().max(1e-3) / known.as_secs_f64().max(1e-3);
    !(1.0 / STARTUP_DRIFT..=STARTUP_DRIFT).contains(&ratio)
}

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
        let known = Duration::from_mins(1);
        assert!(!startup_drifted(known, known));
        assert!(!startup_drifted(known, Duration::from_secs(90)));
        assert!(startup_drifted(known, Duration::from_secs(91)));
        assert!(!startup_drifted(known, Duration::from_secs(40)));
        assert!(startup_drifted(known, Duration::from_secs(39)));
        assert!(!startup_drifted(Duration::ZERO, Duration::ZERO));
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
