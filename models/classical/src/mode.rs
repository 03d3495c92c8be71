//! The mode of the posterior of Prophet's parameters.

use std::{ops::Range, sync::OnceLock};

use augurs::prophet::{
    Optimizer, TrendIndicator,
    optimizer::{Data, Error, InitialParams, OptimizeOpts, OptimizedParams},
};
use nalgebra::{DMatrix, DVector};
use thiserror::Error as ThisError;

/// Rounds of ridge regression at the most.
const ROUNDS: usize = 200;
/// A gain of the log-posterior, for each value, that is none.
const NO_GAIN: f64 = 1e-10;
/// The scale of the normal priors of the trend's first rate and of its offset.
const TREND_SCALE: f64 = 5.0;
/// The scale of the half-normal prior of the noise.
const NOISE_SCALE: f64 = 0.5;
/// A change of the rate and a variance of the noise that are as good as none; values are within ±1.
const LEAST_CHANGE: f64 = 1e-8;
const LEAST_VARIANCE: f64 = 1e-12;

/// Finds the mode without Stan, since a linear trend with additive seasons is a regression: given the
/// noise, all priors (Taylor and Letham, 2018; `prophet.stan`) are normal but that of the changes of the
/// trend's rate, which is double-exponential. Such a prior is a mixture of normal ones, so
/// expectation-maximisation is a ridge regression, repeated with new weights (Figueiredo, 2003); the
/// noise is maximised in between. Without chance, and some milliseconds for thousands of values.
#[derive(Debug, Default)]
pub(crate) struct PosteriorMode {
    /// The parameters, in units of the largest value.
    pub(crate) found: OnceLock<OptimizedParams>,
}

/// Why there is no mode.
#[derive(Debug, ThisError)]
enum ModeError {
    #[error("only additive features on a linear trend can be fitted")]
    OtherModel,
    #[error("no finite parameters fit the values")]
    NotFinite,
}

impl Optimizer for PosteriorMode {
    fn optimize(
        &self,
        _: &InitialParams,
        data: &Data,
        _: &OptimizeOpts,
    ) -> Result<OptimizedParams, Error> {
        let linear = data.trend_indicator == TrendIndicator::Linear;
        if !linear || data.s_m.iter().any(|&multiplicative| multiplicative != 0) {
            return Err(Error::custom(ModeError::OtherModel));
        }
        let found = Regression::of(data).mode();
        let found = found.ok_or_else(|| Error::custom(ModeError::NotFinite))?;
        Ok(self.found.get_or_init(|| found).clone())
    }
}

/// Values regressed on the trend's rate, its offset, what each change of the rate adds, and the seasons.
struct Regression {
    design: DMatrix<f64>,
    gram: DMatrix<f64>,
    moments: DVector<f64>,
    squares: f64,
    values: f64,
    changes: Range<usize>,
    /// The scale of the prior of a change.
    tau: f64,
    /// One over the variance of each coefficient's prior; a change's is that of its mixture.
    precision: DVector<f64>,
}

/// Coefficients, the variance of the noise, and the negative log-posterior of both.
struct Fit {
    coefficients: DVector<f64>,
    variance: f64,
    loss: f64,
}

impl Regression {
    fn of(data: &Data) -> Self {
        let design = design(data);
        let y = DVector::from_column_slice(&data.y);
        let changes = 2..2 + data.t_change.len();
        let mut precision = DVector::from_element(design.ncols(), TREND_SCALE.powi(-2));
        for (season, scale) in data.sigmas.iter().enumerate() {
            precision[changes.end + season] = scale.powi(-2);
        }
        Self {
            gram: design.tr_mul(&design),
            moments: design.tr_mul(&y),
            squares: y.norm_squared(),
            values: y.len() as f64,
            design,
            changes,
            tau: *data.tau,
            precision,
        }
    }

    fn mode(mut self) -> Option<OptimizedParams> {
        let mut fit = Fit {
            coefficients: DVector::from_element(self.design.ncols(), self.tau),
            variance: 1.0,
            loss: f64::INFINITY,
        };
        for _ in 0..ROUNDS {
            for change in self.changes.clone() {
                let size = fit.coefficients[change].abs().max(LEAST_CHANGE);
                self.precision[change] = 1.0 / (self.tau * size);
            }
            let Some(next) = self.ridge(fit.variance) else {
                break;
            };
            let gain = fit.loss - next.loss;
            fit = next;
            if gain < NO_GAIN * self.values {
                break;
            }
        }
        fit.loss.is_finite().then(|| self.parameters(&fit))?
    }

    /// The likeliest coefficients given the noise, and the likeliest noise given those; none if they are
    /// not finite.
    fn ridge(&self, variance: f64) -> Option<Fit> {
        let mut normal = &self.gram / variance;
        for (index, precision) in self.precision.iter().enumerate() {
            normal[(index, index)] += precision;
        }
        let coefficients = normal.cholesky()?.solve(&(&self.moments / variance));
        let explained = 2.0 * coefficients.dot(&self.moments);
        let fitted = coefficients.dot(&(&self.gram * &coefficients));
        let left = (self.squares - explained + fitted).max(0.0);
        let variance = likeliest_variance(left, self.values);
        let noise = self.values * variance.ln() + left / variance;
        let loss = f64::midpoint(noise, variance / NOISE_SCALE.powi(2)) + self.prior(&coefficients);
        loss.is_finite().then_some(Fit {
            coefficients,
            variance,
            loss,
        })
    }

    /// The negative logarithm of the coefficients' prior.
    fn prior(&self, coefficients: &DVector<f64>) -> f64 {
        let of = |(index, coefficient): (usize, &f64)| {
            if self.changes.contains(&index) {
                coefficient.abs() / self.tau
            } else {
                self.precision[index] * coefficient.powi(2) / 2.0
            }
        };
        coefficients.iter().enumerate().map(of).sum()
    }

    fn parameters(&self, fit: &Fit) -> Option<OptimizedParams> {
        let (coefficients, end) = (&fit.coefficients, self.changes.end);
        let trend = self.design.columns(0, end) * coefficients.rows(0, end);
        Some(OptimizedParams {
            k: coefficients[0],
            m: coefficients[1],
            sigma_obs: fit.variance.sqrt().try_into().ok()?,
            delta: coefficients.as_slice()[self.changes.clone()].to_vec(),
            beta: coefficients.as_slice()[end..].to_vec(),
            trend: trend.as_slice().to_vec(),
        })
    }
}

fn design(data: &Data) -> DMatrix<f64> {
    let (changes, seasons) = (data.t_change.len(), data.sigmas.len());
    DMatrix::from_fn(data.t.len(), 2 + changes + seasons, |row, column| {
        let since = |change: usize| (data.t[row] - data.t_change[change]).max(0.0);
        match column {
            0 => data.t[row],
            1 => 1.0,
            column if column < 2 + changes => since(column - 2),
            column => data.X[row * seasons + column - 2 - changes],
        }
    })
}

/// The likeliest variance of the noise, given the sum of the squares that are left over: the root of
/// values ÷ v − squares ÷ v² + 1 ÷ scale², written without cancellation.
fn likeliest_variance(squares: f64, values: f64) -> f64 {
    let curvature = 4.0 * squares / NOISE_SCALE.powi(2);
    let variance = 2.0 * squares / (values + values.hypot(curvature.sqrt()));
    variance.max(LEAST_VARIANCE)
}
