//! Resource shadows with what the engine knows beside the profile.

use foreshadow_api::{
    allocation_to_proto, shadow_to_proto, timestamp_to_proto,
    v1::{self, resource_shadow},
};
use foreshadow_engine::{Accuracy, ResourceShadowView, config::Durability};
use foreshadow_types::PoolName;

use super::{durability_to_proto, forecast_to_proto};

pub(crate) fn shadow_view_to_proto(
    view: ResourceShadowView,
    durability: Durability,
) -> v1::ResourceShadow {
    let reservations = reservations(&view);
    let durability = durability_to_proto(durability);
    v1::ResourceShadow {
        forecasts: view.forecasts.iter().map(forecast_to_proto).collect(),
        reservations,
        accuracy: view
            .accuracy
            .iter()
            .map(|(metric, accuracy)| accuracy_to_proto(metric.clone(), accuracy))
            .collect(),
        allocations: view
            .allocations
            .into_iter()
            .map(|allocation| allocation_to_proto(allocation, durability))
            .collect(),
        ..shadow_to_proto(view.shadow)
    }
}

/// What rules keep for the entity, then what administrators have set, which is among what is reserved.
fn reservations(view: &ResourceShadowView) -> Vec<resource_shadow::Reservation> {
    let set_for = |pool: &PoolName| -> u32 {
        let sets = view.overrides.iter().filter(|set| set.pool == *pool);
        sets.map(|set| set.instances).sum()
    };
    let kept = view.reserved.iter().filter_map(|(pool, count)| {
        let count = count.saturating_sub(set_for(pool));
        (count > 0).then(|| resource_shadow::Reservation {
            pool: pool.to_string(),
            count,
            ..resource_shadow::Reservation::default()
        })
    });
    let set = view
        .overrides
        .iter()
        .map(|set| resource_shadow::Reservation {
            pool: set.pool.to_string(),
            count: set.instances,
            override_name: set.name.clone(),
            until: set.until.map(timestamp_to_proto),
            reason: set.reason.clone(),
        });
    kept.chain(set).collect()
}

pub(crate) fn accuracy_to_proto(metric: String, accuracy: &Accuracy) -> resource_shadow::Accuracy {
    resource_shadow::Accuracy {
        metric,
        points: accuracy.points,
        wape: accuracy.wape,
        pinball: accuracy.pinball,
        coverage_80: accuracy.coverage_80,
    }
}
