//! How the queue ranks a request: a weighted sum of what it states, of the predicted usage of whoever
//! asks, of the pool that serves it and of where that pool is.

use std::collections::BTreeMap;

use foreshadow_types::{EntityId, PoolName};

use crate::{AllocationRequest, PoolSpec};

/// The highest share of usage, in percent.
pub const MAX_USAGE: u8 = 100;

/// The weights. By default the stated priority alone counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PriorityWeights {
    /// Of one step of the stated priority.
    pub stated: i32,
    /// Of one percent of predicted usage; see [`crate::Input::PredictUsage`].
    pub usage: i32,
    /// Added for a pool.
    pub pools: BTreeMap<PoolName, i32>,
    /// Added for each label that the pool has, by key and value.
    pub labels: BTreeMap<(String, String), i32>,
}

impl Default for PriorityWeights {
    fn default() -> Self {
        Self {
            stated: 1,
            usage: 0,
            pools: BTreeMap::new(),
            labels: BTreeMap::new(),
        }
    }
}

impl PriorityWeights {
    /// The rank of a request in the queue of a pool: the higher is served first.
    pub(crate) fn rank(
        &self,
        request: &AllocationRequest,
        spec: &PoolSpec,
        usage: &BTreeMap<EntityId, u8>,
    ) -> i32 {
        let stated = self.stated.saturating_mul(request.priority());
        let predicted = if self.usage == 0 {
            0
        } else {
            let known = request
                .entities()
                .find_map(|entity| usage.get(&entity).copied());
            self.usage
                .saturating_mul(known.unwrap_or(0).min(MAX_USAGE).into())
        };
        let pool = self.pools.get(&spec.name).copied().unwrap_or(0);
        let place = self
            .labels
            .iter()
            .filter(|((key, value), _)| spec.labels.get(key) == Some(value))
            .fold(0_i32, |sum, (_, &weight)| sum.saturating_add(weight));
        stated
            .saturating_add(predicted)
            .saturating_add(pool)
            .saturating_add(place)
    }
}

#[cfg(test)]
mod tests {
    use foreshadow_types::{TenantId, UserId};

    use super::*;
    use crate::Target;

    #[test]
    fn each_part_counts_by_its_weight() {
        let name = PoolName::new("gpu").unwrap();
        let mut spec = PoolSpec::new(name.clone());
        spec.labels.insert("zone".to_owned(), "a".to_owned());
        let request =
            AllocationRequest::builder(TenantId::new("t").unwrap(), Target::Pool(name.clone()))
                .user(UserId::new("ada").unwrap())
                .priority(2)
                .build()
                .unwrap();
        let usage = BTreeMap::from([(EntityId::new("ada").unwrap(), 30)]);
        let weights = PriorityWeights {
            stated: 100,
            usage: 2,
            pools: BTreeMap::from([(name, 7)]),
            labels: BTreeMap::from([(("zone".to_owned(), "a".to_owned()), -4)]),
        };
        assert_eq!(weights.rank(&request, &spec, &usage), 200 + 60 + 7 - 4);
        assert_eq!(PriorityWeights::default().rank(&request, &spec, &usage), 2);
    }
}
