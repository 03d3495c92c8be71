//! An ordered set that also knows the rank of each key, in logarithmic time: a treap whose
//! priorities are hashed from insertion numbers, so that it is the same on every run.

use std::cmp::Ordering;

/// An ordered set with ranks.
#[derive(Debug, Clone)]
pub(crate) struct Ranked<K> {
    nodes: Vec<Node<K>>,
    free: Vec<u32>,
    root: Link,
    inserted: u64,
}

type Link = Option<u32>;

#[derive(Debug, Clone)]
struct Node<K> {
    key: K,
    weight: u64,
    size: u32,
    left: Link,
    right: Link,
}

impl<K> Default for Ranked<K> {
    fn default() -> Self {
        Self {
            nodes: Vec::new(),
            free: Vec::new(),
            root: None,
            inserted: 0,
        }
    }
}

impl<K: Ord + Clone> Ranked<K> {
    /// How many keys there are.
    pub(crate) fn len(&self) -> u32 {
        self.size(self.root)
    }

    /// The key of this rank, from 0.
    pub(crate) fn nth(&self, mut rank: u32) -> Option<&K> {
        let mut at = self.root;
        while let Some(index) = at {
            let node = self.node(index);
            let before = self.size(node.left);
            match rank.cmp(&before) {
                Ordering::Less => at = node.left,
                Ordering::Equal => return Some(&node.key),
                Ordering::Greater => {
                    rank -= before + 1;
                    at = node.right;
                }
            }
        }
        None
    }

    /// How many keys are smaller than this one, which need not be in the set.
    pub(crate) fn rank(&self, key: &K) -> u32 {
        let mut rank = 0;
        let mut at = self.root;
        while let Some(index) = at {
            let node = self.node(index);
            if node.key < *key {
                rank += self.size(node.left) + 1;
                at = node.right;
            } else {
                at = node.left;
            }
        }
        rank
    }

    /// The smallest key that is not smaller than this one.
    pub(crate) fn at_or_after(&self, key: &K) -> Option<&K> {
        self.nth(self.rank(key))
    }

    /// Adds a key that is not in the set.
    pub(crate) fn insert(&mut self, key: K) {
        debug_assert!(self.at_or_after(&key) != Some(&key), "a key is added once");
        let (smaller, larger) = self.split(self.root, &key);
        let node = self.new_node(key);
        let left = self.merge(smaller, Some(node));
        self.root = self.merge(left, larger);
    }

    /// Takes a key out; whether it was there.
    pub(crate) fn remove(&mut self, key: &K) -> bool {
        if self.at_or_after(key) != Some(key) {
            return false;
        }
        let (smaller, rest) = self.split(self.root, key);
        let (found, larger) = self.split_first(rest);
        self.root = self.merge(smaller, larger);
        self.free.extend(found);
        true
    }

    /// All keys, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &K> {
        let mut path = Vec::new();
        let mut at = self.root;
        std::iter::from_fn(move || {
            while let Some(index) = at {
                path.push(index);
                at = self.node(index).left;
            }
            let node = self.node(path.pop()?);
            at = node.right;
            Some(&node.key)
        })
    }

    fn node(&self, index: u32) -> &Node<K> {
        &self.nodes[index as usize]
    }

    fn size(&self, link: Link) -> u32 {
        link.map_or(0, |index| self.node(index).size)
    }

    fn new_node(&mut self, key: K) -> u32 {
        self.inserted += 1;
        let node = Node {
            key,
            weight: scrambled(self.inserted),
            size: 1,
            left: None,
            right: None,
        };
        if let Some(index) = self.free.pop() {
            self.nodes[index as usize] = node;
            return index;
        }
        self.nodes.push(node);
        self.nodes.len() as u32 - 1
    }

    fn resize(&mut self, index: u32) {
        let node = self.node(index);
        let size = self.size(node.left) + self.size(node.right) + 1;
        self.nodes[index as usize].size = size;
    }

    /// Keys smaller than `key`, and the others.
    fn split(&mut self, link: Link, key: &K) -> (Link, Link) {
        let Some(index) = link else {
            return (None, None);
        };
        let parts = if self.node(index).key < *key {
            let (left, right) = self.split(self.node(index).right, key);
            self.nodes[index as usize].right = left;
            (Some(index), right)
        } else {
            let (left, right) = self.split(self.node(index).left, key);
            self.nodes[index as usize].left = right;
            (left, Some(index))
        };
        self.resize(index);
        parts
    }

    /// The smallest node, and the others.
    fn split_first(&mut self, link: Link) -> (Link, Link) {
        let Some(index) = link else {
            return (None, None);
        };
        if self.node(index).left.is_none() {
            return (Some(index), self.node(index).right);
        }
        let (first, rest) = self.split_first(self.node(index).left);
        self.nodes[index as usize].left = rest;
        self.resize(index);
        (first, Some(index))
    }

    fn merge(&mut self, left: Link, right: Link) -> Link {
        let (Some(a), Some(b)) = (left, right) else {
            return left.or(right);
        };
        let top = if self.node(a).weight >= self.node(b).weight {
            let merged = self.merge(self.node(a).right, right);
            self.nodes[a as usize].right = merged;
            a
        } else {
            let merged = self.merge(left, self.node(b).left);
            self.nodes[b as usize].left = merged;
            b
        };
        self.resize(top);
        Some(top)
    }
}

/// `SplitMix64`: consecutive numbers come out as if drawn by lot.
fn scrambled(number: u64) -> u64 {
    let mut mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn it_agrees_with_a_sorted_set_at_every_step() {
        let mut ranked = Ranked::default();
        let mut sorted = BTreeSet::new();
        for step in 0..2_000_u64 {
            let key = scrambled(step) % 300;
            if sorted.insert(key) {
                ranked.insert(key);
            } else {
                sorted.remove(&key);
                assert!(ranked.remove(&key));
                assert!(!ranked.remove(&key));
            }
            assert_eq!(ranked.len() as usize, sorted.len());
            assert_eq!(ranked.rank(&150) as usize, sorted.range(..150).count());
            assert_eq!(ranked.nth(0), sorted.first());
        }
        assert!(ranked.iter().eq(sorted.iter()));
    }
}
