//! Which model forecasts a pool.

use std::str::FromStr;

use thiserror::Error;

/// Which model forecasts how often a pool is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PoolModel {
    /// The model in use, as for everything else.
    #[default]
    InUse,
    /// The one of all models that did best lately.
    Auto,
    /// Always this one.
    Always(SimpleModel),
}

/// A model that needs no training.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SimpleModel {
    /// The last value.
    Naive,
    /// The value a day before.
    SeasonalNaive,
    /// Exponential smoothing.
    Ets,
    /// Seasonal decomposition and exponential smoothing.
    Mstl,
    /// A piecewise linear trend with seasons of the calendar.
    Prophet,
}

impl SimpleModel {
    pub(crate) const ALL: [Self; 5] = [
        Self::Naive,
        Self::SeasonalNaive,
        Self::Ets,
        Self::Mstl,
        Self::Prophet,
    ];

    /// As it is called in the configuration and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Naive => "naive",
            Self::SeasonalNaive => "seasonal-naive",
            Self::Ets => "ets",
            Self::Mstl => "mstl",
            Self::Prophet => "prophet",
        }
    }
}

/// A text that names no model for a pool.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "`{0}` is no model of a pool; give in-use, auto, naive, seasonal-naive, ets, mstl or prophet"
)]
pub struct PoolModelError(String);

impl FromStr for PoolModel {
    type Err = PoolModelError;

    fn from_str(text: &str) -> Result<Self, PoolModelError> {
        match text {
            "in-use" => return Ok(Self::InUse),
            "auto" => return Ok(Self::Auto),
            _ => {}
        }
        let named = SimpleModel::ALL
            .into_iter()
            .find(|model| model.name() == text);
        let named = named.ok_or_else(|| PoolModelError(text.to_owned()))?;
        Ok(Self::Always(named))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_model_is_found_by_its_name() {
        assert_eq!("in-use".parse(), Ok(PoolModel::InUse));
        assert_eq!("auto".parse(), Ok(PoolModel::Auto));
        for model in SimpleModel::ALL {
            assert_eq!(model.name().parse(), Ok(PoolModel::Always(model)));
        }
        let error = "lstm"
            .parse::<PoolModel>()
            .expect_err("it is no model of a pool");
        assert!(error.to_string().contains("prophet"), "{error}");
    }
}
