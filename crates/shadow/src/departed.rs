//! Compact records of entities that gave way to others: enough to know them when they come back.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use foreshadow_types::{EntityId, Timestamp};

/// What is kept of an entity.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Departed {
    pub(crate) last_seen: Timestamp,
    /// The mean of each metric.
    pub(crate) means: Box<[(Arc<str>, f32)]>,
}

/// The records, at most so many; the ones that departed first go first.
#[derive(Debug, Default)]
pub(crate) struct DepartedStore {
    records: BTreeMap<EntityId, (u64, Departed)>,
    /// In the order of departure; a name whose number is not that of its record came back since.
    order: VecDeque<(u64, EntityId)>,
    next: u64,
}

impl DepartedStore {
    pub(crate) fn insert(&mut self, entity: EntityId, record: Departed, most: usize) {
        self.next += 1;
        self.order.push_back((self.next, entity.clone()));
        self.records.insert(entity, (self.next, record));
        while self.order.len() > most {
            let Some((number, entity)) = self.order.pop_front() else {
                return;
            };
            if self
                .records
                .get(&entity)
                .is_some_and(|(of, _)| *of == number)
            {
                self.records.remove(&entity);
            }
        }
    }

    pub(crate) fn get(&self, entity: &EntityId) -> Option<&Departed> {
        self.records.get(entity).map(|(_, record)| record)
    }

    pub(crate) fn remove(&mut self, entity: &EntityId) -> Option<Departed> {
        self.records.remove(entity).map(|(_, record)| record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_bounded_and_the_first_to_depart_go_first() {
        let mut store = DepartedStore::default();
        let entity = |number: i64| EntityId::new(&format!("e{number}")).unwrap();
        let record = |number| Departed {
            last_seen: Timestamp::from_millis(number),
            means: Box::default(),
        };
        for number in 0..5 {
            store.insert(entity(number), record(number), 3);
        }
        assert!(store.get(&entity(1)).is_none());
        assert!(store.remove(&entity(2)).is_some());
        store.insert(entity(2), record(9), 3);
        store.insert(entity(6), record(6), 3);
        assert_eq!(store.get(&entity(2)), Some(&record(9)), "it departed again");
        assert!(store.records.len() <= 3 && store.order.len() <= 3);
    }
}
