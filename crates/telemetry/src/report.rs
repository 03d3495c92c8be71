//! Our own reports.

use std::{sync::Arc, time::Duration};

use foreshadow_api::{
    FieldError, required_name, timestamp_from_proto,
    v1::{Point, ReportRequest, Series, series},
};
use foreshadow_shadow::Observation;
use foreshadow_types::{EntityId, Timestamp};

use crate::Refusals;

/// The longest metric name, in bytes.
const MAX_METRIC_BYTES: usize = 128;

/// What a receiver takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IntakeLimits {
    /// Points in one batch, all series together.
    pub max_points: usize,
    /// How far a sender's clock may be ahead.
    pub future: Duration,
    /// How old a sample may be.
    pub past: Duration,
    /// Series of passive senders whose state is kept; beyond it the ones heard of longest ago are
    /// dropped.
    pub max_series: usize,
    /// The size of an unpacked body of a passive sender, in bytes.
    pub max_body_bytes: usize,
}

impl Default for IntakeLimits {
    fn default() -> Self {
        Self {
            max_points: 100_000,
            future: Duration::from_mins(5),
            past: Duration::from_hours(30 * 24),
            max_series: 500_000,
            max_body_bytes: 32 << 20,
        }
    }
}

/// What a report holds.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Batch {
    /// The samples that are good.
    pub observations: Vec<Observation>,
    /// The others, counted.
    pub refusals: Refusals,
}

/// Reads a report: good samples are kept, bad ones are counted by reason.
///
/// # Errors
/// [`FieldError`] if the report as a whole is too large.
pub fn batch_from_report(
    report: ReportRequest,
    now: Timestamp,
    limits: &IntakeLimits,
) -> Result<Batch, FieldError> {
    let points: usize = report.series.iter().map(|series| series.points.len()).sum();
    if points > limits.max_points {
        let most = limits.max_points;
        let problem = format!("{points} points are too many for one report; send at most {most}");
        return Err(FieldError::new("series", problem));
    }
    let mut batch = Batch::default();
    batch.observations.reserve(points);
    for (index, series) in report.series.into_iter().enumerate() {
        take_series(&mut batch, index, series, now, limits);
    }
    Ok(batch)
}

fn take_series(
    batch: &mut Batch,
    index: usize,
    series: Series,
    now: Timestamp,
    limits: &IntakeLimits,
) {
    let (entity, metric) = match names(&series) {
        Ok(names) => names,
        Err(error) => {
            batch.refusals.invalid_name += series.points.len() as u64;
            batch
                .refusals
                .explain(|| error.inside(format!("series[{index}]")));
            return;
        }
    };
    for (place, point) in series.points.into_iter().enumerate() {
        let taken = take_point(&mut batch.refusals, &point, now, limits).map(|at| Observation {
            entity: entity.clone(),
            metric: metric.clone(),
            at,
            value: point.value,
        });
        match taken {
            Ok(observation) => batch.observations.push(observation),
            Err(error) => {
                let path = format!("series[{index}].points[{place}]");
                batch.refusals.explain(|| error.inside(path));
            }
        }
    }
}

fn names(series: &Series) -> Result<(EntityId, Arc<str>), FieldError> {
    let entity = match &series.entity {
        Some(series::Entity::UserId(user)) => required_name("user_id", user, EntityId::new)?,
        Some(series::Entity::ApplicationId(application)) => {
            required_name("application_id", application, EntityId::new)?
        }
        None => {
            let problem = "is missing; say whom was measured, user_id or application_id";
            return Err(FieldError::new("user_id", problem));
        }
    };
    let metric = series.metric.as_str();
    let acceptable =
        (1..=MAX_METRIC_BYTES).contains(&metric.len()) && !metric.chars().any(char::is_control);
    if !acceptable {
        let problem =
            format!("{metric:?} is not 1 to {MAX_METRIC_BYTES} bytes without control characters");
        return Err(FieldError::new("metric", problem));
    }
    Ok((entity, metric.into()))
}

/// The time of a good point; a bad one is counted.
fn take_point(
    refusals: &mut Refusals,
    point: &Point,
    now: Timestamp,
    limits: &IntakeLimits,
) -> Result<Timestamp, FieldError> {
    if !point.value.is_finite() {
        refusals.not_finite += 1;
        let problem = format!(
            "{} is not a finite number; leave the point out",
            point.value
        );
        return Err(FieldError::new("value", problem));
    }
    let at = match timestamp_from_proto("at", point.at) {
        Ok(at) => at.unwrap_or(now),
        Err(error) => {
            refusals.past += 1;
            return Err(error);
        }
    };
    if at > now + limits.future {
        refusals.future += 1;
        let problem = format!("{at} is in the future (it is {now} here); check the sender's clock");
        return Err(FieldError::new("at", problem));
    }
    if at < now - limits.past {
        refusals.past += 1;
        let problem = format!("{at} is too old; load it with `foreshadow import` instead");
        return Err(FieldError::new("at", problem));
    }
    Ok(at)
}

#[cfg(test)]
mod tests {
    use foreshadow_api::timestamp_to_proto;

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    fn series(user: &str, metric: &str, points: Vec<Point>) -> Series {
        Series {
            entity: Some(series::Entity::UserId(user.to_owned())),
            metric: metric.to_owned(),
            points,
        }
    }

    fn point(at: Timestamp, value: f64) -> Point {
        Point {
            at: Some(timestamp_to_proto(at)),
            value,
        }
    }

    fn read(series: Vec<Series>) -> Batch {
        batch_from_report(ReportRequest { series }, NOW, &IntakeLimits::default()).unwrap()
    }

    #[test]
    fn good_samples_become_observations() {
        let without_time = Point {
            at: None,
            value: 2.0,
        };
        let batch = read(vec![series(
            "ada",
            "cpu_usage_pct",
            vec![point(NOW, 1.0), without_time],
        )]);
        assert_eq!(batch.refusals, Refusals::default());
        let values: Vec<_> = batch.observations.iter().map(|o| (o.at, o.value)).collect();
        assert_eq!(values, [(NOW, 1.0), (NOW, 2.0)]);
    }

    #[test]
    fn bad_samples_are_counted_by_reason_and_the_first_is_explained() {
        let batch = read(vec![
            series(
                "ada",
                "cpu_usage_pct",
                vec![
                    point(NOW, 1.0),
                    point(NOW, f64::NAN),
                    point(NOW + Duration::from_hours(1), 1.0),
                    point(Timestamp::from_millis(0), 1.0),
                    point(NOW, f64::INFINITY),
                ],
            ),
            series("", "cpu_usage_pct", vec![point(NOW, 1.0)]),
            series("ada", "", vec![point(NOW, 1.0)]),
            Series {
                entity: None,
                metric: "m".to_owned(),
                points: vec![point(NOW, 1.0)],
            },
        ]);
        assert_eq!(batch.observations.len(), 1);
        let refusals = &batch.refusals;
        let counts = (
            refusals.not_finite,
            refusals.future,
            refusals.past,
            refusals.invalid_name,
        );
        assert_eq!(counts, (2, 1, 1, 3));
        assert_eq!(refusals.total(), 7);
        let first = refusals.first_error.as_ref().unwrap();
        assert_eq!(first.field, "series[0].points[1].value");
    }

    #[test]
    fn a_report_that_is_too_large_is_refused_as_a_whole() {
        let limits = IntakeLimits {
            max_points: 1,
            ..IntakeLimits::default()
        };
        let report = ReportRequest {
            series: vec![series("ada", "m", vec![point(NOW, 1.0); 2])],
        };
        assert!(batch_from_report(report, NOW, &limits).is_err());
    }
}
