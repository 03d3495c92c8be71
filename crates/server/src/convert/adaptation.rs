//! How good forecasts are, and the models there are.

use foreshadow_api::{
    duration_to_proto, timestamp_to_proto,
    v1::{self, adaptation},
};
use foreshadow_engine::{GroupAccuracy, GroupKind, Measures, ModelView};

/// The word for a kind of group.
pub(crate) fn kind_of(kind: GroupKind) -> &'static str {
    match kind {
        GroupKind::Pool => "pool",
        GroupKind::Category => "category",
        GroupKind::Model => "model",
    }
}

pub(crate) fn adaptation_to_proto(groups: Vec<GroupAccuracy>) -> v1::Adaptation {
    let groups = groups.into_iter().map(|group| adaptation::Group {
        kind: kind_of(group.kind).to_owned(),
        name: group.name,
        points: group.points,
        wape: group.wape,
        pinball: group.pinball,
        coverage_80: group.coverage_80,
        drifts: group.drifts,
        drifted_at: group.drifted_at.map(timestamp_to_proto),
        requests: group.outcomes.requests(),
        hit_rate: group.outcomes.hit_rate(),
        idle: Some(duration_to_proto(group.idle)),
    });
    v1::Adaptation {
        groups: groups.collect(),
    }
}

/// The models there are, and what became of the latest training.
pub(crate) fn models_to_proto(
    models: Vec<ModelView>,
    latest: Option<String>,
) -> v1::ListModelsResponse {
    let models = models.into_iter().map(|model| v1::Model {
        name: model.name,
        in_use: model.in_use,
        pinned: model.pinned,
        usable: model.trained_through.is_ok(),
        trained_through: model
            .trained_through
            .as_ref()
            .ok()
            .map(|at| timestamp_to_proto(*at)),
        problem: model.trained_through.err().unwrap_or_default(),
        measures: model.measures.into_iter().map(measures_to_proto).collect(),
    });
    v1::ListModelsResponse {
        models: models.collect(),
        latest_training: latest.unwrap_or_default(),
    }
}

fn measures_to_proto(measures: Measures) -> v1::model::Measures {
    v1::model::Measures {
        model: measures.model,
        wape: measures.wape,
        mase: measures.mase,
        crps: measures.crps,
        coverage_80: measures.coverage_80,
    }
}
