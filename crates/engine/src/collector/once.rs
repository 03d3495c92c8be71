//! What was taken of late, so that a report which is sent again is not taken twice.

use std::hash::BuildHasher as _;

use foldhash::quality::RandomState;
use foreshadow_shadow::Observation;
use foreshadow_types::EntityId;
use hashbrown::HashSet;

/// Of so many observations it is remembered at the least that they were taken, and of twice as many at
/// the most: some 20 MB.
const REMEMBERED: usize = 1 << 19;

/// Bits of a mark that are of the entity alone.
const OF_ENTITY: u64 = !(u64::MAX >> 20);

/// The observations that were taken latest, each by a mark of 64 bits: 20 of its entity and 44 of all of
/// it. That another one of the same entity has the same is once in ten million million.
#[derive(Debug, Default)]
pub(super) struct Taken {
    hasher: RandomState,
    latest: HashSet<u64, RandomState>,
    before: HashSet<u64, RandomState>,
}

impl Taken {
    /// Keeps those that were not taken yet, each once; gives how many were, and the marks of the others in
    /// their order.
    pub(super) fn sift(&self, observations: &mut Vec<Observation>) -> (u64, Vec<u64>) {
        let before = observations.len();
        let mut fresh = HashSet::with_capacity_and_hasher(before, self.hasher.clone());
        let mut marks = Vec::with_capacity(before);
        observations.retain(|one| {
            let mark = self.mark(one);
            let new = !self.latest.contains(&mark) && !self.before.contains(&mark);
            let new = new && fresh.insert(mark);
            if new {
                marks.push(mark);
            }
            new
        });
        ((before - observations.len()) as u64, marks)
    }

    /// Remembers what was taken.
    pub(super) fn remember(&mut self, marks: Vec<u64>) {
        for mark in marks {
            if self.latest.len() >= REMEMBERED {
                self.before = std::mem::take(&mut self.latest);
            }
            self.latest.insert(mark);
        }
    }

    /// Knows nothing any more of an entity, so that what is sent of it again is taken; nor, of others, of
    /// one in a million.
    pub(super) fn forget(&mut self, entity: &EntityId) {
        let gone = self.of_entity(entity);
        for marks in [&mut self.latest, &mut self.before] {
            marks.retain(|mark| mark & OF_ENTITY != gone);
        }
    }

    fn mark(&self, one: &Observation) -> u64 {
        let value = one.value.to_bits();
        let all = (&one.entity, &one.metric, one.at.as_millis(), value);
        self.of_entity(&one.entity) | (self.hasher.hash_one(all) & !OF_ENTITY)
    }

    fn of_entity(&self, entity: &EntityId) -> u64 {
        self.hasher.hash_one(entity) & OF_ENTITY
    }
}

#[cfg(test)]
mod tests {
    use foreshadow_types::Timestamp;

    use super::*;

    fn seen(entity: &str, second: i64, value: f64) -> Observation {
        Observation {
            entity: EntityId::new(entity).unwrap(),
            metric: "cpu".into(),
            at: Timestamp::from_millis(second * 1000),
            value,
        }
    }

    #[test]
    fn only_the_same_value_of_the_same_time_and_entity_was_taken_before() {
        let mut taken = Taken::default();
        let mut all = vec![
            seen("ada", 1, 2.0),
            seen("ada", 1, 2.0),
            seen("ada", 2, 2.0),
        ];
        let (again, marks) = taken.sift(&mut all);
        assert_eq!((again, all.len(), marks.len()), (1, 2, 2));
        let mut not_remembered = all.clone();
        assert_eq!(taken.sift(&mut not_remembered).0, 0);
        taken.remember(marks);
        let mut later = vec![
            seen("ada", 2, 2.0),
            seen("ada", 2, 3.0),
            seen("bob", 2, 2.0),
            seen("ada", 3, 2.0),
        ];
        assert_eq!(taken.sift(&mut later).0, 1);
        assert_eq!(later.len(), 3);
    }

    #[test]
    fn of_an_entity_that_is_forgotten_the_same_is_taken_again() {
        let mut taken = Taken::default();
        let all = || vec![seen("ada", 1, 2.0), seen("bob", 1, 2.0)];
        let (_, marks) = taken.sift(&mut all());
        taken.remember(marks);
        taken.forget(&EntityId::new("ada").unwrap());
        let mut again = all();
        assert_eq!(taken.sift(&mut again).0, 1);
        assert_eq!(again, [seen("ada", 1, 2.0)]);
    }

    #[test]
    fn what_is_long_past_is_forgotten_and_memory_is_bounded() {
        let mut taken = Taken::default();
        let count = REMEMBERED as i64;
        let take = |taken: &mut Taken, from: i64, until: i64| {
            let mut all: Vec<_> = (from..until).map(|at| seen("ada", at, 1.0)).collect();
            let (again, marks) = taken.sift(&mut all);
            taken.remember(marks);
            again
        };
        assert_eq!(take(&mut taken, 0, 2 * count + 1), 0);
        assert!(taken.latest.len() + taken.before.len() <= 2 * REMEMBERED);
        assert_eq!(take(&mut taken, count, 2 * count + 1), count as u64 + 1);
        assert_eq!(take(&mut taken, 0, 9), 0, "these were taken longest ago");
    }
}
