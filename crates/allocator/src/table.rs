//! Tables whose keys are numbers handed out in turn: a shelf of neighbours is found in a very small
//! tree, the page on the shelf and the place on the page by counting. Iteration is in order of the
//! keys.

use std::{collections::BTreeMap, marker::PhantomData, ops::Index};

use foreshadow_types::{AllocationId, InstanceId};

/// Places on one page.
const PAGE: u64 = 16;
/// Pages on one shelf.
const SHELF: u64 = 4_096;

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
    shelves: BTreeMap<u64, Shelf<V>>,
    keys: PhantomData<K>,
}

/// Pages side by side; a page that is empty is not there.
#[derive(Debug)]
struct Shelf<V> {
    used: u32,
    pages: Box<[Option<Box<Page<V>>>]>,
}

#[derive(Debug)]
struct Page<V> {
    used: u32,
    places: [Option<V>; PAGE as usize],
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self {
            shelves: BTreeMap::new(),
            keys: PhantomData,
        }
    }
}

impl<V> Default for Shelf<V> {
    fn default() -> Self {
        Self {
            used: 0,
            pages: (0..SHELF).map(|_| None).collect(),
        }
    }
}

impl<V> Default for Page<V> {
    fn default() -> Self {
        Self {
            used: 0,
            places: [const { None }; PAGE as usize],
        }
    }
}

/// Shelf, page and place of a key.
fn spot_of(key: impl Numbered) -> (u64, usize, usize) {
    let number = key.number();
    let (page, place) = (number / PAGE, number % PAGE);
    (page / SHELF, (page % SHELF) as usize, place as usize)
}

impl<K: Numbered, V> Table<K, V> {
    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        let (shelf, page, place) = spot_of(*key);
        let page = self.shelves.get(&shelf)?.pages[page].as_deref()?;
        page.places[place].as_ref()
    }

    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let (shelf, page, place) = spot_of(*key);
        let page = self.shelves.get_mut(&shelf)?.pages[page].as_deref_mut()?;
        page.places[place].as_mut()
    }

    pub(crate) fn contains_key(&self, key: &K) -> bool {
        self.get(key).is_some()
    }

    pub(crate) fn insert(&mut self, key: K, value: V) {
        let (shelf, page, place) = spot_of(key);
        let shelf = self.shelves.entry(shelf).or_default();
        let page = shelf.pages[page].get_or_insert_with(|| {
            shelf.used += 1;
            Box::default()
        });
        if page.places[place].replace(value).is_none() {
            page.used += 1;
        }
    }

    /// Takes a value out that is to be put back: its page stays.
    pub(crate) fn take(&mut self, key: &K) -> Option<V> {
        let (shelf, page, place) = spot_of(*key);
        let page = self.shelves.get_mut(&shelf)?.pages[page].as_deref_mut()?;
        let value = page.places[place].take()?;
        page.used -= 1;
        Some(value)
    }

    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        let value = self.take(key)?;
        let (number, page, _) = spot_of(*key);
        let shelf = self.shelves.get_mut(&number)?;
        if shelf.pages[page]
            .as_ref()
            .is_some_and(|page| page.used == 0)
        {
            shelf.pages[page] = None;
            shelf.used -= 1;
            if shelf.used == 0 {
                self.shelves.remove(&number);
            }
        }
        Some(value)
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &V> {
        let pages = self.shelves.values().flat_map(|shelf| shelf.pages.iter());
        pages
            .flatten()
            .flat_map(|page| page.places.iter().flatten())
    }

    /// The values from this key on.
    pub(crate) fn values_from(&self, key: K) -> impl Iterator<Item = &V> {
        let (first, page, place) = spot_of(key);
        self.shelves
            .range(first..)
            .flat_map(move |(&number, shelf)| {
                let from = if number == first { page } else { 0 };
                let pages = shelf.pages.iter().enumerate().skip(from);
                pages.flat_map(move |(at, content)| {
                    let partial = number == first && at == page;
                    let skipped = if partial { place } else { 0 };
                    let places = content.as_deref().map_or(&[][..], |page| &page.places[..]);
                    places.iter().skip(skipped).flatten()
                })
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
        for number in [700, 3, 64, 65, 4, 1 << 40] {
            table.insert(InstanceId(number), number);
        }
        assert_eq!(table.get(&InstanceId(64)), Some(&64));
        assert_eq!(table.get(&InstanceId(66)), None);
        assert_eq!(table.remove(&InstanceId(700)), Some(700));
        assert_eq!(table.remove(&InstanceId(700)), None);
        assert_eq!(table.remove(&InstanceId(1 << 40)), Some(1 << 40));
        assert_eq!(table.shelves.len(), 1, "an empty shelf is given back");
        assert_eq!(table.shelves[&0].used, 2, "an empty page is given back");
        assert!(table.values().eq(&[3, 4, 64, 65]));
        assert!(table.values_from(InstanceId(4)).eq(&[4, 64, 65]));
        assert!(table.values_from(InstanceId(65)).eq(&[65]));
    }
}
