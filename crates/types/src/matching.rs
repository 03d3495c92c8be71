//! What a resource offers and what a request asks for.

use std::collections::{BTreeMap, BTreeSet};

use crate::{Bytes, Vcpus};

/// Labels of a pool or an instance, such as `zone = "a"`.
pub type Labels = BTreeMap<String, String>;

/// What one instance of a pool offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Shape {
    /// Virtual CPUs.
    pub vcpus: Vcpus,
    /// Memory.
    pub memory: Bytes,
}

impl Shape {
    /// Whether an instance of this shape can hold `asked`.
    pub fn fits(&self, asked: &Self) -> bool {
        asked.vcpus <= self.vcpus && asked.memory <= self.memory
    }
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
}

impl Requirements {
    /// Whether a pool with this shape, these dependencies and labels can serve the request.
    pub fn met_by(&self, shape: &Shape, dependencies: &BTreeSet<String>, labels: &Labels) -> bool {
        shape.fits(&self.shape)
            && self.dependencies.is_subset(dependencies)
            && self
                .labels
                .iter()
                .all(|(key, value)| labels.get(key) == Some(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_meets_what_it_covers() {
        let small = Shape {
            vcpus: Vcpus::new(1.0).unwrap(),
            memory: Bytes(1 << 30),
        };
        let large = Shape {
            vcpus: Vcpus::new(4.0).unwrap(),
            memory: Bytes(1 << 32),
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
