//! Resource shadows as they are answered.

use foreshadow_shadow::{
    AccessSummary, Assignment, AssignmentSource, Dependency, MetricSummary, ResourceClass,
    ShadowSnapshot, TRACKED_LEVELS,
};

use crate::{
    timestamp_to_proto,
    v1::{self, resource_shadow},
};

/// The profile part of a resource shadow; what the engine knows beside it is left empty.
pub fn shadow_to_proto(shadow: ShadowSnapshot) -> v1::ResourceShadow {
    v1::ResourceShadow {
        entity_id: shadow.entity.to_string(),
        as_of: Some(timestamp_to_proto(shadow.as_of)),
        last_seen: Some(timestamp_to_proto(shadow.last_seen)),
        metrics: shadow.metrics.iter().map(metric).collect(),
        dependencies: shadow.dependencies.iter().map(dependency).collect(),
        access: shadow.access.as_ref().map(access),
        category: shadow.category.map(category),
        ..v1::ResourceShadow::default()
    }
}

fn metric(summary: &MetricSummary) -> resource_shadow::Metric {
    let quantiles = TRACKED_LEVELS.iter().zip(summary.quantiles);
    resource_shadow::Metric {
        metric: summary.metric.to_string(),
        class: class(summary.class).into(),
        latest: summary.latest,
        latest_at: Some(timestamp_to_proto(summary.latest_at)),
        mean: summary.mean,
        deviation: summary.deviation,
        quantiles: quantiles
            .map(|(&level, value)| resource_shadow::Quantile { level, value })
            .collect(),
        trend_per_hour: summary.trend_per_hour,
        samples: summary.samples,
    }
}

fn class(class: ResourceClass) -> resource_shadow::ResourceClass {
    match class {
        ResourceClass::Cpu => resource_shadow::ResourceClass::Cpu,
        ResourceClass::Memory => resource_shadow::ResourceClass::Memory,
        ResourceClass::StorageIo => resource_shadow::ResourceClass::StorageIo,
        ResourceClass::Network => resource_shadow::ResourceClass::Network,
        ResourceClass::Other => resource_shadow::ResourceClass::Other,
    }
}

fn dependency(dependency: &Dependency) -> resource_shadow::Dependency {
    resource_shadow::Dependency {
        entity_id: dependency.entity.to_string(),
        share: dependency.share,
        last_used: Some(timestamp_to_proto(dependency.last_used)),
    }
}

fn access(access: &AccessSummary) -> resource_shadow::Access {
    resource_shadow::Access {
        total: access.total,
        latest: Some(timestamp_to_proto(access.latest)),
        hour_of_week: access.hour_of_week.to_vec(),
        next_expected: access.next_expected.map(timestamp_to_proto),
    }
}

fn category(assignment: Assignment) -> resource_shadow::Category {
    resource_shadow::Category {
        id: assignment.id.to_string(),
        label: assignment.label,
        confidence: assignment.confidence,
        from_application: assignment.source == AssignmentSource::Application,
    }
}
