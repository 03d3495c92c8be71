//! One entity's resource, and the series that it is the sum of.
//!
//! A round of a sum ends when every series has reported once, or when one reports again: then the
//! sum of the latest value of each series that is not stale is one sample. So series may come in
//! different requests and with slightly different times, as senders that shard their queues and
//! exporters that stamp each container by itself send them.

use std::{sync::Arc, time::Duration};

use foreshadow_shadow::Observation;
use foreshadow_types::{EntityId, Timestamp};

/// The most series of one sum.
pub(crate) const MOST_MEMBERS: usize = 4_096;

/// A series that was silent for longer is not counted any more, as in Prometheus.
const STALE_AFTER: Duration = Duration::from_mins(5);

/// A series as its sum knows it.
#[derive(Debug, Clone, Copy)]
struct Member {
    series: u32,
    /// The latest value; none of a counter that was seen once.
    value: Option<f64>,
    at: Timestamp,
    round: u32,
}

/// An entity's resource.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) entity: EntityId,
    pub(crate) resource: Arc<str>,
    members: Vec<Member>,
    round: u32,
    reported: usize,
    at: Timestamp,
    /// Whether it is known which series there are: a round has ended.
    settled: bool,
}

impl Target {
    pub(crate) fn new(entity: EntityId, resource: Arc<str>) -> Self {
        Self {
            entity,
            resource,
            members: Vec::new(),
            round: 1,
            reported: 0,
            at: Timestamp::MIN,
            settled: false,
        }
    }

    /// A sample by itself.
    pub(crate) fn observation(&self, at: Timestamp, value: f64) -> Observation {
        Observation {
            entity: self.entity.clone(),
            metric: self.resource.clone(),
            at,
            value,
        }
    }

    /// Whether it takes no further series.
    pub(crate) fn is_full(&self) -> bool {
        self.members.len() >= MOST_MEMBERS
    }

    /// Whether it has no series.
    pub(crate) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Takes a series in; gives its place among the members.
    pub(crate) fn join(&mut self, series: u32, at: Timestamp) -> u32 {
        self.members.push(Member {
            series,
            value: None,
            at,
            round: 0,
        });
        (self.members.len() - 1) as u32
    }

    /// Lets a member go; the series that takes its place, if one does.
    pub(crate) fn leave(&mut self, member: u32) -> Option<u32> {
        if (member as usize) < self.members.len() {
            let left = self.members.swap_remove(member as usize);
            self.reported -= usize::from(left.round == self.round);
        }
        self.members.get(member as usize).map(|moved| moved.series)
    }

    /// Takes note of a member's value; the sum, where this ends a round.
    pub(crate) fn add(&mut self, member: u32, at: Timestamp, value: f64) -> Option<Observation> {
        let again = self.members.get(member as usize)?.round == self.round;
        let ended = again.then(|| self.end_round()).flatten();
        let round = self.round;
        let member = &mut self.members[member as usize];
        (member.value, member.at, member.round) = (Some(value), at, round);
        self.reported += 1;
        self.at = self.at.max(at);
        if ended.is_none() && self.settled && self.reported == self.members.len() {
            return self.end_round();
        }
        ended
    }

    /// Takes note that a counter was seen for the first time: with all counters seen so, the series
    /// there are are known.
    pub(crate) fn begin(&mut self) {
        self.settled = true;
    }

    fn end_round(&mut self) -> Option<Observation> {
        let latest = self.at;
        let fresh = |member: &&Member| latest.since(member.at) <= STALE_AFTER;
        let values = self.members.iter().filter(fresh);
        let mut any = false;
        let sum: f64 = values
            .filter_map(|member| member.value)
            .inspect(|_| any = true)
            .sum();
        self.round = self.round.wrapping_add(1).max(1);
        self.reported = 0;
        self.settled = true;
        (any && sum.is_finite()).then(|| self.observation(latest, sum))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(members: u32) -> Target {
        let mut target = Target::new(EntityId::new("db").unwrap(), "cpu".into());
        for series in 0..members {
            assert_eq!(target.join(series, Timestamp::MIN), series);
        }
        target
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    #[test]
    fn a_sum_is_given_once_in_each_round_as_soon_as_it_is_whole() {
        let mut target = target(3);
        target.begin();
        let mut sums = Vec::new();
        for round in 0..3 {
            for series in 0..3 {
                let value = f64::from(round * 10 + 1);
                let sum = target.add(series, at(i64::from(round) * 15), value);
                sums.extend(sum.map(|sum| (series, sum.value)));
            }
        }
        assert_eq!(sums, [(2, 3.0), (2, 33.0), (2, 63.0)]);
    }

    #[test]
    fn a_series_that_is_late_counts_with_its_latest_value_until_it_is_stale() {
        let mut target = target(2);
        target.begin();
        target.add(0, at(0), 1.0);
        target.add(1, at(0), 5.0);
        assert!(target.add(0, at(15), 2.0).is_none());
        let sum = target.add(0, at(30), 3.0).unwrap();
        assert_eq!((sum.at, sum.value), (at(15), 7.0));
        let sum = target.add(0, at(600), 4.0).unwrap();
        assert_eq!(sum.value, 8.0);
        let sum = target.add(0, at(615), 4.0).unwrap();
        assert_eq!(sum.value, 4.0, "the other is stale");
    }

    #[test]
    fn a_series_that_leaves_is_not_waited_for() {
        let mut target = target(2);
        target.begin();
        assert_eq!(target.leave(1), None);
        assert_eq!(target.add(0, at(0), 1.0).unwrap().value, 1.0);
        assert_eq!(target.leave(0), None);
        assert!(target.is_empty());
    }

    #[test]
    fn the_last_takes_the_place_of_one_that_leaves() {
        let mut target = target(3);
        target.begin();
        assert_eq!(target.leave(0), Some(2));
        assert!(target.add(0, at(0), 1.0).is_none());
        assert_eq!(target.add(1, at(0), 2.0).unwrap().value, 3.0);
    }
}
