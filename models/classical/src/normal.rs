//! Quantiles of the normal distribution.

/// The level whose interval is asked of a model, and its half-width in standard deviations: the
/// standard deviation of each step follows, and from it every quantile.
pub(crate) const INTERVAL: (f64, f64) = (0.8, 1.281_551_565_544_600_4);

/// The quantile of the standard normal distribution at `level`, after Acklam's rational
/// approximation (relative error below 1.2e-9).
pub(crate) fn normal_quantile(level: f64) -> f64 {
    const CENTRAL: f64 = 0.024_25;
    let level = level.clamp(1e-12, 1.0 - 1e-12);
    if level < CENTRAL {
        tail((-2.0 * level.ln()).sqrt())
    } else if level > 1.0 - CENTRAL {
        -tail((-2.0 * (1.0 - level).ln()).sqrt())
    } else {
        central(level - 0.5)
    }
}

fn polynomial(coefficients: &[f64], x: f64) -> f64 {
    coefficients.iter().fold(0.0, |sum, c| sum * x + c)
}

fn central(q: f64) -> f64 {
    const UPPER: [f64; 6] = [
        -3.969_683_028_665_376e1,
        2.209_460_984_245_205e2,
        -2.759_285_104_469_687e2,
        1.383_577_518_672_69e2,
        -3.066_479_806_614_716e1,
        2.506_628_277_459_239,
    ];
    const LOWER: [f64; 6] = [
        -5.447_609_879_822_406e1,
        1.615_858_368_580_409e2,
        -1.556_989_798_598_866e2,
        6.680_131_188_771_972e1,
        -1.328_068_155_288_572e1,
        1.0,
    ];
    let r = q * q;
    q * polynomial(&UPPER, r) / polynomial(&LOWER, r)
}

fn tail(q: f64) -> f64 {
    const UPPER: [f64; 6] = [
        -7.784_894_002_430_293e-3,
        -3.223_964_580_411_365e-1,
        -2.400_758_277_161_838,
        -2.549_732_539_343_734,
        4.374_664_141_464_968,
        2.938_163_982_698_783,
    ];
    const LOWER: [f64; 5] = [
        7.784_695_709_041_462e-3,
        3.224_671_290_700_398e-1,
        2.445_134_137_142_996,
        3.754_408_661_907_416,
        1.0,
    ];
    polynomial(&UPPER, q) / polynomial(&LOWER, q)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_quantiles_are_met() {
        for (level, expected) in [
            (0.5, 0.0),
            (0.9, INTERVAL.1),
            (0.1, -INTERVAL.1),
            (0.975, 1.959_963_984_540_054),
            (0.99, 2.326_347_874_040_841),
            (0.01, -2.326_347_874_040_841),
        ] {
            assert!((normal_quantile(level) - expected).abs() < 1e-8, "{level}");
        }
    }
}
