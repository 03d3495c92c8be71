//! Running averages in two floats.

/// An exponential average that is unbiased from its first sample on.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Average {
    sum: f32,
    weight: f32,
}

impl Average {
    /// Moves towards `value` by `rate`, in 0..1.
    pub(crate) fn push(&mut self, value: f32, rate: f32) {
        self.sum += rate * (value - self.sum);
        self.weight += rate * (1.0 - self.weight);
    }

    /// The average, 0 before the first sample.
    pub(crate) fn get(self) -> f32 {
        if self.weight > 0.0 {
            self.sum / self.weight
        } else {
            0.0
        }
    }
}

/// The rate at which an average over `hours` moves in one step of `step_hours`.
pub(crate) fn rate(step_hours: f32, hours: f32) -> f32 {
    1.0 - (-step_hours / hours).exp()
}

/// A float in 16 bits, with the range of `f32` and 8 bits of precision: what the seasons are kept in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Half(u16);

impl Half {
    /// Not known.
    pub(crate) const UNKNOWN: Self = Self(0x7fc0);

    /// The nearest half float.
    pub(crate) fn new(value: f32) -> Self {
        if value.is_nan() {
            return Self::UNKNOWN;
        }
        let bits = value.to_bits();
        Self((bits.saturating_add(0x7fff + ((bits >> 16) & 1)) >> 16) as u16)
    }

    /// The value, `None` if it is not known.
    pub(crate) fn get(self) -> Option<f32> {
        let value = self.or_nan();
        (!value.is_nan()).then_some(value)
    }

    /// The value, not a number if it is not known.
    pub(crate) fn or_nan(self) -> f32 {
        f32::from_bits(u32::from(self.0) << 16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_average_of_one_sample_is_the_sample() {
        let mut average = Average::default();
        average.push(7.0, 0.01);
        assert!((average.get() - 7.0).abs() < 1e-5);
    }

    #[test]
    fn a_half_float_is_within_half_a_percent() {
        for value in [0.0_f32, 1.0, -3.3, 12_345.6, 1e-20, 3e30] {
            let kept = Half::new(value).get().expect("known");
            assert!(
                (kept - value).abs() <= value.abs() / 256.0,
                "{value} {kept}"
            );
        }
        assert_eq!(Half::UNKNOWN.get(), None);
    }
}
