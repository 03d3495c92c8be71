//! The profile of one entity.

use std::sync::Arc;

use foreshadow_types::{EntityId, Timestamp};

use crate::{
    access::AccessProfile,
    category::Assignment,
    departed::Departed,
    dependencies::Dependencies,
    fingerprint::Fingerprint,
    metric::MetricProfile,
    snapshot::{AccessSummary, Dependency, ShadowSnapshot},
};

/// With fewer samples and accesses than this an entity is new: its own behaviour says little.
const SETTLED: u64 = 24;

#[derive(Debug, Clone)]
pub(crate) struct ResourceShadow {
    metrics: Vec<MetricProfile>,
    access: Option<Box<AccessProfile>>,
    dependencies: Dependencies,
    last_seen: Timestamp,
    /// The category of the last clustering, by index.
    pub(crate) category: Option<(u32, f32)>,
}

impl ResourceShadow {
    pub(crate) fn new(at: Timestamp) -> Self {
        Self {
            metrics: Vec::new(),
            access: None,
            dependencies: Dependencies::default(),
            last_seen: at,
            category: None,
        }
    }

    /// One that came back, as far as its record knows it.
    pub(crate) fn returned(departed: &Departed) -> Self {
        let mut shadow = Self::new(departed.last_seen);
        for (metric, mean) in &departed.means {
            let mut profile = MetricProfile::new(metric.clone());
            profile.add(departed.last_seen, f64::from(*mean));
            shadow.metrics.push(profile);
        }
        shadow
    }

    /// The record to know it again by.
    pub(crate) fn departed(&self) -> Departed {
        let means = self.metrics.iter();
        Departed {
            last_seen: self.last_seen,
            means: means
                .map(|profile| (profile.name().clone(), profile.mean() as f32))
                .collect(),
        }
    }

    /// Takes a sample; false if it is of a metric beyond the limit.
    pub(crate) fn observe(
        &mut self,
        metric: &Arc<str>,
        at: Timestamp,
        value: f64,
        max_metrics: usize,
    ) -> bool {
        self.last_seen = self.last_seen.max(at);
        let known = self
            .metrics
            .iter()
            .position(|profile| profile.name() == metric);
        let index = match known {
            Some(index) => index,
            None if self.metrics.len() >= max_metrics => return false,
            None => {
                self.metrics.push(MetricProfile::new(metric.clone()));
                self.metrics.len() - 1
            }
        };
        self.metrics[index].add(at, value);
        true
    }

    pub(crate) fn access(&mut self, partner: Option<&EntityId>, at: Timestamp) {
        self.last_seen = self.last_seen.max(at);
        match &mut self.access {
            Some(profile) => profile.add(at),
            None => self.access = Some(Box::new(AccessProfile::new(at))),
        }
        if let Some(partner) = partner {
            self.dependencies.add(partner, at);
        }
    }

    pub(crate) fn forget_partner(&mut self, partner: &EntityId) {
        self.dependencies.forget(partner);
    }

    /// Whether the entity is known well enough to be clustered by its own behaviour.
    pub(crate) fn is_settled(&self) -> bool {
        let samples: u64 = self
            .metrics
            .iter()
            .map(MetricProfile::samples)
            .max()
            .unwrap_or(0);
        samples.max(self.access.as_ref().map_or(0, |access| access.total())) >= SETTLED
    }

    /// The partner met most often.
    pub(crate) fn main_partner(&self) -> Option<EntityId> {
        self.dependencies
            .shares()
            .into_iter()
            .next()
            .map(|(entity, ..)| entity)
    }

    pub(crate) fn fingerprint(&self, now: Timestamp) -> Fingerprint {
        let rates = self.access.as_ref().map(|access| access.hourly_rates(now));
        Fingerprint::of(&self.metrics, rates.as_ref())
    }

    pub(crate) fn snapshot(
        &self,
        entity: &EntityId,
        now: Timestamp,
        category: Option<Assignment>,
    ) -> ShadowSnapshot {
        let mut metrics: Vec<_> = self.metrics.iter().map(MetricProfile::summary).collect();
        metrics.sort_by(|a, b| a.metric.cmp(&b.metric));
        ShadowSnapshot {
            entity: entity.clone(),
            as_of: now,
            last_seen: self.last_seen,
            metrics,
            dependencies: self
                .dependencies
                .shares()
                .into_iter()
                .map(|(entity, share, last_used)| Dependency {
                    entity,
                    share,
                    last_used,
                })
                .collect(),
            access: self.access.as_ref().map(|access| AccessSummary {
                total: access.total(),
                latest: access.latest(),
                hour_of_week: access.hourly_rates(now),
                next_expected: access.next_expected(now),
            }),
            fingerprint: self.fingerprint(now),
            category,
        }
    }
}
