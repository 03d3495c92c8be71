//! All shadows, bounded.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use foldhash::fast::RandomState;
use foreshadow_types::{EntityId, Timestamp};

use crate::{
    category::{Assignment, AssignmentSource, Category, CategoryId, categories},
    departed::DepartedStore,
    fingerprint::Fingerprint,
    kmeans::Clusters,
    observation::{Access, Observation},
    recency::Recency,
    shadow::ResourceShadow,
    snapshot::ShadowSnapshot,
};

/// How many entities at most take part in finding categories; the rest are only assigned.
const CLUSTER_SAMPLE: usize = 4096;
const SEED: u64 = 0x5EED;
/// A category taken over from an application is worth half of one's own.
const BORROWED_CONFIDENCE: f64 = 0.5;

/// What a store may grow to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreLimits {
    /// Entities kept; beyond it the one heard of longest ago gives way, and a compact record of it
    /// is kept. Of those there are at most as many again.
    pub max_entities: usize,
    /// Metrics kept for each entity; samples of further ones are refused.
    pub max_metrics_per_entity: usize,
    /// Different metric names over all entities; samples of further ones are refused.
    pub max_metric_names: usize,
    /// Categories at most.
    pub max_categories: usize,
}

impl Default for StoreLimits {
    fn default() -> Self {
        Self {
            max_entities: 1_000_000,
            max_metrics_per_entity: 16,
            max_metric_names: 1024,
            max_categories: 8,
        }
    }
}

/// What a store has done so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StoreCounts {
    /// Samples taken.
    pub observed: u64,
    /// Accesses taken.
    pub accesses: u64,
    /// Samples refused because of a limit on metrics or because they are not finite.
    pub refused: u64,
    /// Entities dropped to make room.
    pub evicted: u64,
}

#[derive(Debug)]
struct Slot {
    entity: EntityId,
    shadow: ResourceShadow,
}

/// The resource shadows of all entities.
#[derive(Debug, Default)]
pub struct ShadowStore {
    limits: StoreLimits,
    /// Looked up and never gone through, so that its order does not matter.
    index: HashMap<EntityId, u32, RandomState>,
    slots: Vec<Option<Slot>>,
    free: Vec<u32>,
    recency: Recency,
    departed: DepartedStore,
    metric_names: BTreeSet<Arc<str>>,
    clusters: Clusters,
    categories: Vec<Category>,
    counts: StoreCounts,
}

impl ShadowStore {
    /// An empty store.
    pub fn new(limits: StoreLimits) -> Self {
        Self {
            limits,
            ..Self::default()
        }
    }

    /// Takes one sample; false if a limit or a value that is not finite refuses it.
    pub fn observe(&mut self, observation: &Observation) -> bool {
        let taken = observation.value.is_finite() && self.take(observation);
        if taken {
            self.counts.observed += 1;
        } else {
            self.counts.refused += 1;
        }
        taken
    }

    fn take(&mut self, observation: &Observation) -> bool {
        let Some(metric) = self.interned(&observation.metric) else {
            return false;
        };
        let max_metrics = self.limits.max_metrics_per_entity;
        self.touched(&observation.entity, observation.at).observe(
            &metric,
            observation.at,
            observation.value,
            max_metrics,
        )
    }

    /// Takes one access of a user, which is one of its application too.
    pub fn access(&mut self, access: &Access) {
        self.counts.accesses += 1;
        let user = EntityId::from(&access.user);
        let application = access.application.as_ref().map(EntityId::from);
        self.touched(&user, access.at)
            .access(application.as_ref(), access.at);
        if let Some(application) = application {
            self.touched(&application, access.at)
                .access(Some(&user), access.at);
        }
    }

    /// The shadow of an entity as it stands at `now`.
    pub fn snapshot(&self, entity: &EntityId, now: Timestamp) -> Option<ShadowSnapshot> {
        let Some(slot) = self.slot(entity) else {
            let departed = ResourceShadow::returned(self.departed.get(entity)?);
            return Some(departed.snapshot(entity, now, None));
        };
        let category = self.assignment(&slot.shadow);
        Some(slot.shadow.snapshot(entity, now, category))
    }

    /// The category of an entity: its own, or while it is new that of its main application.
    pub fn category_of(&self, entity: &EntityId) -> Option<Assignment> {
        self.assignment(&self.slot(entity)?.shadow)
    }

    /// Forgets an entity and its traces in its partners; false if it is unknown.
    pub fn remove(&mut self, entity: &EntityId) -> bool {
        let departed = self.departed.remove(entity).is_some();
        let slot = self.index.get(entity).copied();
        if let Some(number) = slot {
            self.drop_slot(number);
        }
        for slot in self.slots.iter_mut().flatten() {
            slot.shadow.forget_partner(entity);
        }
        departed || slot.is_some()
    }

    /// Finds categories anew from the fingerprints of all settled entities and assigns every one.
    pub fn recluster(&mut self, now: Timestamp) {
        let settled: Vec<(u32, Fingerprint)> = self
            .slots
            .iter()
            .enumerate()
            .filter_map(|(number, slot)| Some((number as u32, slot.as_ref()?)))
            .filter(|(_, slot)| slot.shadow.is_settled())
            .map(|(number, slot)| (number, slot.shadow.fingerprint(now)))
            .collect();
        let stride = settled.len().div_ceil(CLUSTER_SAMPLE).max(1);
        let sample: Vec<Fingerprint> = settled.iter().step_by(stride).map(|(_, f)| *f).collect();
        let k = category_count(sample.len(), self.limits.max_categories);
        self.clusters = Clusters::fit(&sample, k, &self.clusters.centres, SEED);
        self.categories = categories(&self.clusters);
        for slot in self.slots.iter_mut().flatten() {
            slot.shadow.category = None;
        }
        for (number, fingerprint) in settled {
            if let Some(slot) = &mut self.slots[number as usize] {
                slot.shadow.category = self
                    .clusters
                    .nearest(&fingerprint)
                    .map(|(index, confidence)| (index as u32, confidence as f32));
            }
        }
    }

    /// The categories of the last clustering.
    pub fn categories(&self) -> &[Category] {
        &self.categories
    }

    /// The entities whose own behaviour puts them in a category.
    pub fn members(&self, category: CategoryId) -> impl Iterator<Item = &EntityId> {
        self.slots
            .iter()
            .flatten()
            .filter(move |slot| matches!(slot.shadow.category, Some((id, _)) if id == category.0))
            .map(|slot| &slot.entity)
    }

    /// All entities, in no order that means anything.
    pub fn entities(&self) -> impl Iterator<Item = &EntityId> {
        self.slots.iter().flatten().map(|slot| &slot.entity)
    }

    /// How many entities there are.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether there is no entity.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// What the store has done so far.
    pub fn counts(&self) -> StoreCounts {
        self.counts
    }

    fn slot(&self, entity: &EntityId) -> Option<&Slot> {
        let number = *self.index.get(entity)?;
        self.slots.get(number as usize)?.as_ref()
    }

    fn assignment(&self, shadow: &ResourceShadow) -> Option<Assignment> {
        if let Some((index, confidence)) = shadow.category {
            return self.assigned(index, f64::from(confidence), AssignmentSource::Behaviour);
        }
        let partner = self.slot(&shadow.main_partner()?)?;
        let (index, confidence) = partner.shadow.category?;
        let borrowed = f64::from(confidence) * BORROWED_CONFIDENCE;
        self.assigned(index, borrowed, AssignmentSource::Application)
    }

    fn assigned(
        &self,
        index: u32,
        confidence: f64,
        source: AssignmentSource,
    ) -> Option<Assignment> {
        let category = self.categories.get(index as usize)?;
        Some(Assignment {
            id: category.id,
            label: category.label.clone(),
            confidence,
            source,
        })
    }

    /// The shadow of an entity, made if it is new, as the one heard of last.
    fn touched(&mut self, entity: &EntityId, at: Timestamp) -> &mut ResourceShadow {
        let number = if let Some(&number) = self.index.get(entity) {
            self.recency.touch(number);
            number
        } else {
            self.make_room();
            self.insert(entity, at)
        };
        let slot = self.slots[number as usize].get_or_insert_with(|| Slot {
            entity: entity.clone(),
            shadow: ResourceShadow::new(at),
        });
        &mut slot.shadow
    }

    fn insert(&mut self, entity: &EntityId, at: Timestamp) -> u32 {
        let departed = self.departed.remove(entity);
        let shadow = departed.map_or_else(
            || ResourceShadow::new(at),
            |departed| ResourceShadow::returned(&departed),
        );
        let slot = Some(Slot {
            entity: entity.clone(),
            shadow,
        });
        let number = if let Some(number) = self.free.pop() {
            self.slots[number as usize] = slot;
            number
        } else {
            self.slots.push(slot);
            (self.slots.len() - 1) as u32
        };
        self.index.insert(entity.clone(), number);
        self.recency.insert(number);
        number
    }

    fn make_room(&mut self) {
        while self.index.len() >= self.limits.max_entities.max(1) {
            let Some(oldest) = self.recency.oldest() else {
                return;
            };
            if let Some(slot) = &self.slots[oldest as usize] {
                let most = self.limits.max_entities;
                let record = slot.shadow.departed();
                self.departed.insert(slot.entity.clone(), record, most);
            }
            self.drop_slot(oldest);
            self.counts.evicted += 1;
        }
    }

    fn drop_slot(&mut self, number: u32) {
        if let Some(slot) = self.slots[number as usize].take() {
            self.index.remove(&slot.entity);
        }
        self.recency.remove(number);
        self.free.push(number);
    }

    fn interned(&mut self, metric: &Arc<str>) -> Option<Arc<str>> {
        if let Some(known) = self.metric_names.get(metric) {
            return Some(known.clone());
        }
        if self.metric_names.len() >= self.limits.max_metric_names {
            return None;
        }
        self.metric_names.insert(metric.clone());
        Some(metric.clone())
    }
}

/// The square root of half the points, the usual rule of thumb, within the limit.
fn category_count(points: usize, max: usize) -> usize {
    ((points as f64 / 2.0).sqrt().round() as usize).clamp(1, max.max(1))
}
