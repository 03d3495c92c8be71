use proptest::prelude::*;

use super::*;
use crate::EVALUATION_LEVELS;

/// A small generator, so that the tests repeat.
struct Chance(u64);

impl Chance {
    fn uniform(&mut self) -> f32 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 40) as f32 / (1_u64 << 24) as f32
    }
}

/// Quantiles of a uniform distribution between `low` and `high`.
fn uniform_forecast(low: f32, high: f32, horizon: usize) -> QuantileForecast {
    let step = EVALUATION_LEVELS.map(|level| low + level as f32 * (high - low));
    QuantileForecast::new(&EVALUATION_LEVELS, step.repeat(horizon))
}

/// Share of values in the 80 % interval over the last half of `bins`, for `series` series of
/// uniform values in `range(bin)` that are forecast one step ahead as uniform in `[10, 10.5]`.
fn coverage(bins: u64, series: u64, range: impl Fn(u64) -> (f32, f32)) -> f64 {
    let mut calibrator = Calibrator::new(&EVALUATION_LEVELS);
    let raw = uniform_forecast(10.0, 10.5, 1);
    let mut chance = Chance(7);
    let (mut inside, mut counted) = (0_u64, 0_u64);
    for bin in 0..bins {
        calibrator.advance(bin);
        for id in 0..series {
            let calibrated = calibrator.calibrate(&"all", &raw);
            calibrator.issued(&"all", id, bin, &raw, &calibrated);
            let (low, high) = range(bin);
            let value = low + chance.uniform() * (high - low);
            if bin >= bins / 2 {
                let quantiles = calibrated.step(0);
                inside += u64::from(quantiles[0] <= value && value <= quantiles[8]);
                counted += 1;
            }
            calibrator.observe(id, bin, value);
        }
    }
    inside as f64 / counted as f64
}

#[test]
fn intervals_that_are_too_narrow_are_widened_to_what_they_state() {
    let covered = coverage(200, 20, |_| (9.0, 12.0));
    assert!((covered - 0.8).abs() < 0.03, "{covered}");
}

#[test]
fn intervals_that_are_too_wide_are_narrowed() {
    let covered = coverage(200, 20, |_| (10.2, 10.3));
    assert!((covered - 0.8).abs() < 0.03, "{covered}");
}

#[test]
fn coverage_returns_after_a_shift() {
    let covered = coverage(
        600,
        20,
        |bin| if bin < 200 { (9.0, 11.0) } else { (11.0, 14.0) },
    );
    assert!((covered - 0.8).abs() < 0.04, "{covered}");
}

#[test]
fn a_score_enters_only_when_its_horizon_has_passed() {
    let mut calibrator = Calibrator::new(&EVALUATION_LEVELS);
    let raw = uniform_forecast(10.0, 11.0, 8);
    for series in 0..200 {
        calibrator.issued(&0, series, 0, &raw, &raw);
        calibrator.observe(series, 0, 50.0);
    }
    calibrator.advance(1);
    let calibrated = calibrator.calibrate(&0, &raw);
    assert!(calibrated.step(0)[8] > 40.0, "the first step is known");
    for step in 1..8 {
        assert_eq!(calibrated.step(step), raw.step(step), "step {step} is not");
    }
    assert_eq!(calibrator.pending(), 200 * 3);
    calibrator.advance(8);
    assert_eq!(
        calibrator.pending(),
        0,
        "values that never came are forgotten"
    );
}

#[test]
fn groups_do_not_influence_each_other() {
    let mut calibrator = Calibrator::new(&EVALUATION_LEVELS);
    let raw = uniform_forecast(10.0, 11.0, 1);
    for series in 0..100 {
        calibrator.issued(&"web", series, 0, &raw, &raw);
        calibrator.observe(series, 0, 90.0);
    }
    calibrator.advance(1);
    assert_ne!(calibrator.calibrate(&"web", &raw), raw);
    assert_eq!(calibrator.calibrate(&"batch", &raw), raw);
}

proptest! {
    #[test]
    fn quantiles_stay_sorted_and_finite_whatever_comes(
        values in proptest::collection::vec(
            prop_oneof![Just(f32::NAN), Just(f32::MAX), Just(0.0_f32), -1e6_f32..1e6],
            1..400,
        ),
        low in -1e3_f32..1e3,
        width in 0.0_f32..1e3,
    ) {
        let mut calibrator = Calibrator::new(&EVALUATION_LEVELS);
        let raw = uniform_forecast(low, low + width, 5);
        for (bin, &value) in values.iter().enumerate() {
            let bin = bin as u64;
            calibrator.advance(bin);
            let calibrated = calibrator.calibrate(&0, &raw);
            prop_assert!(calibrated.is_finite());
            for step in 0..5 {
                prop_assert!(calibrated.step(step).is_sorted());
            }
            calibrator.issued(&0, 1, bin, &raw, &calibrated);
            calibrator.observe(1, bin, value);
        }
    }

    #[test]
    fn memory_is_bounded_by_what_is_awaited(bins in 1_u64..200, series in 1_u64..20) {
        let mut calibrator = Calibrator::new(&EVALUATION_LEVELS);
        let raw = uniform_forecast(0.0, 1.0, 16);
        for bin in 0..bins {
            calibrator.advance(bin);
            for id in 0..series {
                calibrator.issued(&0, id, bin, &raw, &raw);
            }
        }
        prop_assert!(calibrator.pending() as u64 <= series * (1 + 2 + 4 + 8 + 16));
    }
}

#[test]
fn series_that_stand_still_do_not_widen_the_others() {
    let mut calibrator = Calibrator::new(&EVALUATION_LEVELS);
    let moving = uniform_forecast(10.0, 11.0, 1);
    let still = QuantileForecast::new(&EVALUATION_LEVELS, vec![5.0; 9]);
    let mut chance = Chance(7);
    let (mut inside, mut counted) = (0_u64, 0_u64);
    for bin in 0..400 {
        calibrator.advance(bin);
        for id in 0..40 {
            let (raw, value) = if id % 2 == 0 {
                (&still, 5.0)
            } else {
                (&moving, 10.0 + chance.uniform())
            };
            let calibrated = calibrator.calibrate(&"all", raw);
            calibrator.issued(&"all", id, bin, raw, &calibrated);
            calibrator.observe(id, bin, value);
            if id % 2 == 1 && bin >= 200 {
                let quantiles = calibrated.step(0);
                inside += u64::from(quantiles[0] <= value && value <= quantiles[8]);
                counted += 1;
            }
        }
    }
    let covered = inside as f64 / counted as f64;
    assert!((covered - 0.8).abs() < 0.03, "{covered}");
}

#[test]
fn counts_that_are_mostly_zero_keep_their_lower_quantiles_at_zero() {
    let mut calibrator = Calibrator::new(&EVALUATION_LEVELS);
    let values = vec![0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 2.0, 3.0];
    let raw = QuantileForecast::new(&EVALUATION_LEVELS, values);
    let mut chance = Chance(7);
    for bin in 0..400 {
        calibrator.advance(bin);
        for id in 0..20 {
            let calibrated = calibrator.calibrate(&"all", &raw);
            calibrator.issued(&"all", id, bin, &raw, &calibrated);
            let drawn = chance.uniform();
            let value = if drawn < 0.6 {
                0.0
            } else {
                (10.0 * (drawn - 0.6)).floor() + 1.0
            };
            calibrator.observe(id, bin, value);
        }
    }
    let calibrated = calibrator.calibrate(&"all", &raw);
    assert!(
        calibrated.step(0)[..5]
            .iter()
            .all(|&quantile| quantile == 0.0),
        "{calibrated:?}"
    );
}
