//! A fixed-length vector of how an entity behaves.

use crate::{access::HOURS_OF_WEEK, class::ResourceClass, metric::MetricProfile};

/// The length of a fingerprint.
pub const FINGERPRINT_DIMENSIONS: usize = 10;

/// Level and variation of each resource, daily rhythm, weekend share and rate of use.
///
/// The dimensions are: 0–3 log level of CPU, memory, storage I/O and network (log1p of the mean, of
/// the class's largest metric); 4 variation of CPU, or of the first metric known (deviation over
/// mean, squashed to 0…1); 5 and 6 the first daily harmonic of accesses (cosine and sine);
/// 7 the share of accesses at the weekend less 2/7; 8 concentration of accesses on few hours (0 even,
/// 1 a single hour); 9 log of accesses a week.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Fingerprint(pub [f32; FINGERPRINT_DIMENSIONS]);

impl Fingerprint {
    pub(crate) const VARIATION: usize = 4;
    pub(crate) const DAY_COSINE: usize = 5;
    pub(crate) const DAY_SINE: usize = 6;
    pub(crate) const WEEKEND: usize = 7;

    pub(crate) fn of(metrics: &[MetricProfile], rates: Option<&[f32; HOURS_OF_WEEK]>) -> Self {
        let mut vector = [0.0; FINGERPRINT_DIMENSIONS];
        for (place, class) in vector.iter_mut().zip(ResourceClass::PHYSICAL) {
            *place = log_level(metrics, class);
        }
        vector[Self::VARIATION] = variation(metrics);
        if let Some(rates) = rates {
            vector[Self::DAY_COSINE..].copy_from_slice(&rhythm(rates));
        }
        Self(vector)
    }

    /// The squared distance after each dimension is divided by its scale.
    pub(crate) fn distance(&self, other: &Self, scale: &Self) -> f32 {
        self.0
            .iter()
            .zip(&other.0)
            .zip(&scale.0)
            .map(|((a, b), scale)| ((a - b) / scale).powi(2))
            .sum()
    }
}

fn log_level(metrics: &[MetricProfile], class: ResourceClass) -> f32 {
    metrics
        .iter()
        .filter(|metric| metric.class() == class)
        .map(|metric| metric.mean().abs().ln_1p() as f32)
        .fold(0.0, f32::max)
}

fn variation(metrics: &[MetricProfile]) -> f32 {
    let of_cpu = metrics
        .iter()
        .find(|metric| metric.class() == ResourceClass::Cpu);
    of_cpu.or(metrics.first()).map_or(0.0, |metric| {
        let variation = metric.variation();
        (variation / (1.0 + variation)) as f32
    })
}

/// Daily cosine and sine, weekend excess, concentration and log rate of a week's hours.
fn rhythm(rates: &[f32; HOURS_OF_WEEK]) -> [f32; 5] {
    let total: f32 = rates.iter().sum();
    if total <= 0.0 {
        return [0.0; 5];
    }
    let mut daily = [0.0_f32; 2];
    let mut weekend = 0.0;
    let mut entropy = 0.0;
    for (hour, rate) in rates.iter().enumerate() {
        let share = rate / total;
        let angle = std::f32::consts::TAU * (hour % 24) as f32 / 24.0;
        daily[0] += share * angle.cos();
        daily[1] += share * angle.sin();
        if hour >= 5 * 24 {
            weekend += share;
        }
        if share > 0.0 {
            entropy -= share * share.ln();
        }
    }
    let concentration = 1.0 - entropy / (HOURS_OF_WEEK as f32).ln();
    [
        daily[0],
        daily[1],
        weekend - 2.0 / 7.0,
        concentration,
        total.ln_1p(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rhythm_tells_night_from_day_and_weekend_from_week() {
        let mut noon = [0.0; HOURS_OF_WEEK];
        (0..5).for_each(|day| noon[day * 24 + 12] = 1.0);
        let [cosine, _, weekend, concentration, _] = rhythm(&noon);
        assert!(cosine < -0.9 && weekend < 0.0 && concentration > 0.6);
        let mut saturday_midnight = [0.0; HOURS_OF_WEEK];
        saturday_midnight[5 * 24] = 1.0;
        let [cosine, _, weekend, ..] = rhythm(&saturday_midnight);
        assert!(cosine > 0.9 && weekend > 0.5);
        assert_eq!(rhythm(&[0.0; HOURS_OF_WEEK]), [0.0; 5]);
    }
}
