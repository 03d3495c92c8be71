//! Quantile levels and steps.

use foreshadow_forecast::QuantileForecast;

use crate::{FieldError, v1::forecast::Step};

/// The most levels of one forecast.
const MAX_LEVELS: usize = 99;

/// Quantile levels in ascending order without repeats; empty for the usual ones.
///
/// # Errors
/// [`FieldError`] for a level that is not above 0 and below 1, or for too many.
pub fn levels_from_proto(field: &str, wire: &[f64]) -> Result<Vec<f64>, FieldError> {
    if wire.len() > MAX_LEVELS {
        let problem = format!("{} are too many; give at most {MAX_LEVELS}", wire.len());
        return Err(FieldError::new(field, problem));
    }
    if let Some(bad) = wire.iter().find(|level| !(**level > 0.0 && **level < 1.0)) {
        let problem = format!("{bad} is not a quantile; give levels above 0 and below 1");
        return Err(FieldError::new(field, problem));
    }
    let mut levels = wire.to_vec();
    levels.sort_by(f64::total_cmp);
    levels.dedup();
    Ok(levels)
}

/// The quantiles of each step for the wire.
pub fn steps_to_proto(forecast: &QuantileForecast) -> Vec<Step> {
    (0..forecast.horizon())
        .map(|step| Step {
            quantiles: forecast.step(step).iter().copied().map(f64::from).collect(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_sorted_and_checked() {
        assert_eq!(
            levels_from_proto("levels", &[0.9, 0.1, 0.9]),
            Ok(vec![0.1, 0.9])
        );
        for bad in [0.0, 1.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(levels_from_proto("levels", &[bad]).is_err(), "{bad}");
        }
        assert!(levels_from_proto("levels", &[0.5; 100]).is_err());
    }
}
