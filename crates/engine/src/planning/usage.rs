//! What entities are predicted to use, for the ranks of the queue.

use std::{collections::BTreeMap, sync::Arc};

use foreshadow_allocator::{Input, MAX_USAGE};
use foreshadow_types::EntityId;
use tracing::Span;

use super::Planning;
use crate::{clock::Stopwatch, error::EngineError, owner::OwnerCommand};

impl Planning {
    /// Tells the allocator the predicted usage of each entity, if ranks depend on it.
    pub(super) async fn tell_usage(&self) -> Result<(), EngineError> {
        let Some(metric) = &self.links.usage_metric else {
            return Ok(());
        };
        let views = self.forecasts.views();
        let means = views
            .filter(|(_, of, ..)| of == metric)
            .map(|(entity, _, _, forecast)| {
                let steps = forecast.quantiles.horizon();
                let medians = (0..steps).map(|step| forecast.quantiles.quantile(step, 0.5));
                (entity.clone(), medians.sum::<f32>() / steps.max(1) as f32)
            });
        let input = Input::PredictUsage(Arc::new(in_percent(means.collect())));
        let asked = Stopwatch::start();
        let told = self.ask_owner(|reply| OwnerCommand::One {
            input,
            asked,
            span: Span::none(),
            reply,
        });
        // A rank that is out of date is no reason not to plan.
        if let Err(error) = told.await? {
            tracing::warn!(%error, "the predicted usage was refused");
        }
        Ok(())
    }
}

/// Each value in percent of the largest; what is not finite or not above zero is left out.
fn in_percent(values: Vec<(EntityId, f32)>) -> BTreeMap<EntityId, u8> {
    let finite = |value: f32| value.is_finite() && value > 0.0;
    let of_each = values.iter().map(|&(_, value)| value);
    let largest = of_each.filter(|&value| finite(value)).fold(0.0, f32::max);
    values
        .into_iter()
        .filter(|&(_, value)| finite(value))
        .map(|(entity, value)| {
            (
                entity,
                (value / largest * f32::from(MAX_USAGE)).round() as u8,
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_is_in_percent_of_whoever_uses_most() {
        let entity = |name: &str| EntityId::new(name).expect("the name is valid");
        let values = vec![
            (entity("a"), 20.0),
            (entity("b"), 5.0),
            (entity("c"), f32::NAN),
            (entity("d"), -1.0),
        ];
        let expected = BTreeMap::from([(entity("a"), 100), (entity("b"), 25)]);
        assert_eq!(in_percent(values), expected);
        assert_eq!(in_percent(Vec::new()), BTreeMap::new());
    }
}
