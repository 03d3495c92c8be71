//! What a resource offers and what a request asks for.

use std::collections::{BTreeMap, BTreeSet};

use crate::{Bytes, Vcpus};

/// Labels of a pool or an instance, such as `zone = "a"`.
pub type Labels = BTreeMap<String, String>;

/// What one instance of a pool offers. Shapes are compared in the order of the fields, the scarcest
/// first: the best fit for a request without GPUs has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Shape {
    /// Whole GPUs.
    pub gpus: u32,
    /// Virtual CPUs.
    pub vcpus: Vcpus,
    /// Memory.
    pub memory: Bytes,
    /// Operations of its storage a second.
    pub storage_iops: u64,
    /// Megabits of its network a second.
    pub network_mbps: u64,
}

impl Shape {
    /// Whether an instance of this shape can hold `asked`.
    pub fn fits(&self, asked: &Self) -> bool {
        self.less(asked).is_some()
    }

    /// What is left of this shape beside `taken`; `None` if that is more than there is of something.
    pub fn less(&self, taken: &Self) -> Option<Self> {
        let vcpus = self.vcpus.thousandths();
        Some(Self {
            gpus: self.gpus.checked_sub(taken.gpus)?,
            vcpus: Vcpus::from_thousandths(vcpus.checked_sub(taken.vcpus.thousandths())?),
            memory: Bytes(self.memory.0.checked_sub(taken.memory.0)?),
            storage_iops: self.storage_iops.checked_sub(taken.storage_iops)?,
            network_mbps: self.network_mbps.checked_sub(taken.network_mbps)?,
        })
    }

    /// Both together, each at most the largest number there is.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        let vcpus = self.vcpus.thousandths();
        Self {
            gpus: self.gpus.saturating_add(other.gpus),
            vcpus: Vcpus::from_thousandths(vcpus.saturating_add(other.vcpus.thousandths())),
            memory: Bytes(self.memory.0.saturating_add(other.memory.0)),
            storage_iops: self.storage_iops.saturating_add(other.storage_iops),
            network_mbps: self.network_mbps.saturating_add(other.network_mbps),
        }
    }

    /// How many of this shape offer `amount` together; `None` if it offers nothing of something that is
    /// asked for.
    pub fn needed_for(&self, amount: &Self) -> Option<u32> {
        let each = [
            (u64::from(self.gpus), u64::from(amount.gpus)),
            (self.vcpus.thousandths(), amount.vcpus.thousandths()),
            (self.memory.0, amount.memory.0),
            (self.storage_iops, amount.storage_iops),
            (self.network_mbps, amount.network_mbps),
        ];
        each.into_iter().try_fold(0, |most, (offered, asked)| {
            let count = match (offered, asked) {
                (_, 0) => 0,
                (0, _) => return None,
                (offered, asked) => asked.div_ceil(offered),
            };
            Some(most.max(u32::try_from(count).unwrap_or(u32::MAX)))
        })
    }

    /// Whether it has at least some of everything that is asked for.
    pub fn offers_some_of(&self, asked: &Self) -> bool {
        self.needed_for(asked).is_some()
    }

    /// An even share of it; zero shares count as one.
    #[must_use]
    pub fn share(&self, shares: u32) -> Self {
        let shares = shares.max(1);
        let many = u64::from(shares);
        Self {
            gpus: self.gpus / shares,
            vcpus: Vcpus::from_thousandths(self.vcpus.thousandths() / many),
            memory: Bytes(self.memory.0 / many),
            storage_iops: self.storage_iops / many,
            network_mbps: self.network_mbps / many,
        }
    }

    /// So many of it, each at most the largest number there is.
    #[must_use]
    pub fn times(&self, count: u32) -> Self {
        let many = u64::from(count);
        Self {
            gpus: self.gpus.saturating_mul(count),
            vcpus: Vcpus::from_thousandths(self.vcpus.thousandths().saturating_mul(many)),
            memory: Bytes(self.memory.0.saturating_mul(many)),
            storage_iops: self.storage_iops.saturating_mul(many),
            network_mbps: self.network_mbps.saturating_mul(many),
        }
    }

    /// The largest shape there is.
    pub const LARGEST: Self = Self {
        gpus: u32::MAX,
        vcpus: Vcpus::from_thousandths(u64::MAX),
        memory: Bytes(u64::MAX),
        storage_iops: u64::MAX,
        network_mbps: u64::MAX,
    };
}

/// What a request needs when it does not name a pool.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Requirements {
    /// The least shape.
    pub shape: Shape,
    /// Dependencies that must be present, such as `python3.12`.
    pub dependencies: BTreeSet<String>,
    /// Labels that must be equal.
    pub labels: Labels,
    /// Labels that are preferred, such as a zone: a pool that has all of an earlier entry's comes
    /// before one that has a later entry's or none's.
    pub preferences: Vec<Labels>,
}

impl Requirements {
    /// Whether a pool with this shape, these dependencies and labels can serve the request.
    pub fn met_by(&self, shape: &Shape, dependencies: &BTreeSet<String>, labels: &Labels) -> bool {
        shape.fits(&self.shape) && self.met_but_for_shape(dependencies, labels)
    }

    /// Whether a pool with these dependencies and labels can serve the request if its shape can.
    pub fn met_but_for_shape(&self, dependencies: &BTreeSet<String>, labels: &Labels) -> bool {
        self.dependencies.is_subset(dependencies) && has_all(labels, &self.labels)
    }

    /// How well a pool with these labels is liked: the place of the first preference that it meets, or
    /// the number of preferences if it meets none. Less is better.
    pub fn preference(&self, labels: &Labels) -> usize {
        let mut met = self.preferences.iter();
        let met = met.position(|wanted| has_all(labels, wanted));
        met.unwrap_or(self.preferences.len())
    }
}

fn has_all(labels: &Labels, wanted: &Labels) -> bool {
    let mut wanted = wanted.iter();
    wanted.all(|(key, value)| labels.get(key) == Some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_a_shape_counts() {
        let offered = Shape {
            gpus: 1,
            vcpus: Vcpus::new(2.0).unwrap(),
            memory: Bytes(4),
            storage_iops: 100,
            network_mbps: 10,
        };
        assert!(offered.fits(&offered) && offered.fits(&offered.share(2)));
        for more in [
            Shape { gpus: 2, ..offered },
            Shape {
                memory: Bytes(5),
                ..offered
            },
            Shape {
                storage_iops: 101,
                ..offered
            },
            Shape {
                network_mbps: 11,
                ..offered
            },
        ] {
            assert!(!offered.fits(&more), "{more:?}");
        }
        assert!(offered.offers_some_of(&offered.times(9)));
        let without_gpu = Shape { gpus: 0, ..offered };
        assert!(!without_gpu.offers_some_of(&offered));
        assert!(offered.offers_some_of(&without_gpu.times(9)));
        assert_eq!(offered.share(2).times(2).gpus, 0, "a GPU is not shared");
        assert_eq!(offered.plus(&offered).less(&offered), Some(offered));
        assert!(
            Shape {
                gpus: 1,
                ..Shape::default()
            } > without_gpu
        );
    }

    #[test]
    fn the_first_preference_that_is_met_counts() {
        let zone = |name: &str| Labels::from([("zone".to_owned(), name.to_owned())]);
        let asked = Requirements {
            preferences: vec![zone("a"), zone("b")],
            ..Requirements::default()
        };
        let liked = |name| asked.preference(&zone(name));
        assert_eq!([liked("a"), liked("b"), liked("c")], [0, 1, 2]);
    }

    #[test]
    fn a_pool_meets_what_it_covers() {
        let small = Shape {
            vcpus: Vcpus::new(1.0).unwrap(),
            memory: Bytes(1 << 30),
            ..Shape::default()
        };
        let large = Shape {
            vcpus: Vcpus::new(4.0).unwrap(),
            memory: Bytes(1 << 32),
            ..Shape::default()
        };
        let asked = Requirements {
            shape: small,
            ..Requirements::default()
        };
        assert!(asked.met_by(&large, &BTreeSet::new(), &Labels::new()));
        let asked = Requirements {
            shape: large,
            ..Requirements::default()
        };
        assert!(!asked.met_by(&small, &BTreeSet::new(), &Labels::new()));
    }
}
