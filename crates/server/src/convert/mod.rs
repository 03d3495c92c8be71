//! What the engine answers, as messages, and what it is asked.

mod adaptation;
mod alerts;
mod config;
mod forecast;
mod overrides;
mod overview;
mod pool;
mod shadow;

pub(crate) use adaptation::{adaptation_to_proto, kind_of, models_to_proto};
pub(crate) use alerts::sort_by_urgency;
pub(crate) use config::{
    config_from_proto, config_to_proto, explanation_to_proto, outcome_to_proto,
};
pub(crate) use forecast::{forecast_to_proto, predict_from_proto};
pub(crate) use overrides::{override_change_from_proto, overrides_to_proto};
pub(crate) use overview::{add_totals, overview, sum};
pub(crate) use pool::{history_to_proto, pool_status, pool_statuses};
pub(crate) use shadow::shadow_view_to_proto;

use foreshadow_api::v1::allocation;
use foreshadow_engine::config::Durability;

/// How durable an answer is, for the wire.
pub(crate) fn durability_to_proto(durability: Durability) -> allocation::Durability {
    match durability {
        Durability::Fsync => allocation::Durability::Fsync,
        Durability::Memory => allocation::Durability::Memory,
    }
}
