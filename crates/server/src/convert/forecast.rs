//! Questions to `predict` and their answers.

use std::time::Duration;

use foreshadow_api::{
    FieldError, duration_to_proto, levels_from_proto, positive_duration, required_name,
    steps_to_proto, timestamp_to_proto,
    v1::{self, forecast, predict_request},
};
use foreshadow_engine::{Basis, PredictRequest, Prediction, Subject};
use foreshadow_types::{EntityId, PoolName};

const USUAL_HORIZON: Duration = Duration::from_hours(1);
const LONGEST_HORIZON: Duration = Duration::from_hours(7 * 24);

pub(crate) fn predict_from_proto(wire: v1::PredictRequest) -> Result<PredictRequest, FieldError> {
    let subject = match wire.subject {
        Some(predict_request::Subject::EntityId(entity)) => {
            Subject::Entity(required_name("entity_id", &entity, EntityId::new)?)
        }
        Some(predict_request::Subject::Pool(pool)) => {
            Subject::Pool(required_name("pool", &pool, PoolName::new)?)
        }
        None => {
            let problem = "is missing; say whose demand, entity_id or pool";
            return Err(FieldError::new("entity_id", problem));
        }
    };
    let horizon = positive_duration("horizon", wire.horizon)?.unwrap_or(USUAL_HORIZON);
    if horizon > LONGEST_HORIZON {
        let problem = format!("{}s is too long; give at most 7 days", horizon.as_secs());
        return Err(FieldError::new("horizon", problem));
    }
    Ok(PredictRequest {
        subject,
        metric: (!wire.metric.is_empty()).then_some(wire.metric),
        horizon,
        levels: levels_from_proto("levels", &wire.levels)?,
    })
}

pub(crate) fn forecast_to_proto(prediction: &Prediction) -> v1::Forecast {
    v1::Forecast {
        subject: Some(match &prediction.subject {
            Subject::Entity(entity) => forecast::Subject::EntityId(entity.to_string()),
            Subject::Pool(pool) => forecast::Subject::Pool(pool.to_string()),
        }),
        metric: prediction.metric.clone(),
        from: Some(timestamp_to_proto(prediction.origin)),
        step: Some(duration_to_proto(prediction.interval)),
        levels: prediction.quantiles.levels().to_vec(),
        steps: steps_to_proto(&prediction.quantiles),
        model: prediction.model.clone(),
        fallback: prediction.fallback,
        category: match &prediction.basis {
            Basis::Own => String::new(),
            Basis::Category(category) => category.clone(),
        },
        recent_coverage_80: prediction.recent_coverage_80,
    }
}

#[cfg(test)]
mod tests {
    use foreshadow_api::well_known;

    use super::*;

    fn asking(horizon_s: i64, levels: Vec<f64>) -> Result<PredictRequest, FieldError> {
        predict_from_proto(v1::PredictRequest {
            subject: Some(predict_request::Subject::Pool("notebook".to_owned())),
            metric: String::new(),
            horizon: Some(well_known::Duration {
                seconds: horizon_s,
                nanos: 0,
            }),
            levels,
        })
    }

    #[test]
    fn a_question_is_checked() {
        assert_eq!(asking(300, vec![]).unwrap().metric, None);
        for (asked, field) in [
            (asking(-300, vec![]), "horizon"),
            (asking(0, vec![]), "horizon"),
            (asking(8 * 86_400, vec![]), "horizon"),
            (asking(300, vec![1.5]), "levels"),
            (
                predict_from_proto(v1::PredictRequest::default()),
                "entity_id",
            ),
        ] {
            assert_eq!(asked.unwrap_err().field, field);
        }
    }
}
