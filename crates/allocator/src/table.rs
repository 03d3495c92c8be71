//! Tables whose keys are numbers handed out in turn: a page of neighbours is found in a small tree,
//! the place on the page by counting. Iteration is in order of the keys.

use std::{collections::BTreeMap, marker::PhantomData, ops::Index};

use foreshadow_types::{AllocationId, InstanceId};

/// Places on one page.
const PAGE: u64 = 64;

/// A key that is a number.
pub(crate) trait Numbered: Copy {
    fn number(self) -> u64;
}

impl Numbered for AllocationId {
    fn number(self) -> u64 {
        self.0
    }
}

impl Numbered for InstanceId {
    fn number(self) -> u64 {
        self.0
    }
}

/// A map from ids to values.
#[derive(Debug)]
pub(crate) struct Table<K, V> {
    pages: BTreeMap<u64, Page<V>>,
    keys: PhantomData<K>,
}

#[derive(Debug)]
struct Page<V> {
    used: u32,
    places: Box<[Option<Box<V>>]>,
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self {
            pages: BTreeMap::new(),
            keys: PhantomData,
        }
    }
}

fn place_of(key: impl Numbered) -> (u64, usize) {
    let number = key.number();
    (number / PAGE, (number % PAGE) as usize)
}

impl<K: Numbered, V> Table<K, V> {
    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        let (page, place) = place_of(*key);
        self.pages.get(&page)?.places[place].as_deref()
    }

    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let (page, place) = place_of(*key);
        self.pages.get_mut(&page)?.places[place].as_deref_mut()
    }

    pub(crate) fn contains_key(&self, key: &K) -> bool {
        self.get(key).is_some()
    }

    pub(crate) fn insert(&mut self, key: K, value: V) {
        self.put(key, Box::new(value));
    }

    /// Puts back what [`Self::take`] took, or something new.
    pub(crate) fn put(&mut self, key: K, value: Box<V>) {
        let (page, place) = place_of(key);
        let page = self.pages.entry(page).or_insert_with(|| Page {
            used: 0,
            places: (0..PAGE).map(|_| None).collect(),
        });
        if page.places[place].replace(value).is_none() {
            page.used += 1;
        }
    }

    /// Takes a value out that is to be put back: its page stays.
    pub(crate) fn take(&mut self, key: &K) -> Option<Box<V>> {
        let (page, place) = place_of(*key);
        let page = self.pages.get_mut(&page)?;
        let value = page.places[place].take()?;
        page.used -= 1;
        Some(value)
    }

    pub(crate) fn remove(&mut self, key: &K) -> Option<Box<V>> {
        let value = self.take(key)?;
        let (page, _) = place_of(*key);
        if self.pages.get(&page).is_some_and(|page| page.used == 0) {
            self.pages.remove(&page);
        }
        Some(value)
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &V> {
        self.pages
            .values()
            .flat_map(|page| page.places.iter().filter_map(Option::as_deref))
    }

    /// The values from this key on.
    pub(crate) fn values_from(&self, key: K) -> impl Iterator<Item = &V> {
        let (first, place) = place_of(key);
        self.pages.range(first..).flat_map(move |(&page, content)| {
            let skipped = if page == first { place } else { 0 };
            content
                .places
                .iter()
                .skip(skipped)
                .filter_map(Option::as_deref)
        })
    }
}

impl<K: Numbered, V> Index<&K> for Table<K, V> {
    type Output = V;

    fn index(&self, key: &K) -> &V {
        self.get(key)
            .expect("the caller knows that the id is in the table")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_map_in_order_of_its_keys() {
        let mut table = Table::default();
        for number in [700, 3, 64, 65, 4] {
            table.insert(InstanceId(number), number);
        }
        assert_eq!(table.get(&InstanceId(64)), Some(&64));
        assert_eq!(table.get(&InstanceId(66)), None);
        assert_eq!(table.remove(&InstanceId(700)).as_deref(), Some(&700));
        assert_eq!(table.remove(&InstanceId(700)), None);
        assert_eq!(table.pages.len(), 2, "an empty page is given back");
        assert!(table.values().eq(&[3, 4, 64, 65]));
        assert!(table.values_from(InstanceId(4)).eq(&[4, 64, 65]));
    }
}
