//! Averages that forget.

/// An exponentially fading average over time, unbiased from its first value on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FadingMean {
    memory_s: f64,
    sum: f64,
    weight: f64,
}

impl FadingMean {
    /// One that forgets over about `memory_s` seconds.
    pub(crate) fn new(memory_s: f64) -> Self {
        Self {
            memory_s,
            sum: 0.0,
            weight: 0.0,
        }
    }

    /// Takes in a value that held for `seconds`.
    pub(crate) fn add(&mut self, value: f64, seconds: f64) {
        let keep = (-seconds / self.memory_s).exp();
        self.sum = keep * self.sum + (1.0 - keep) * value;
        self.weight = keep * self.weight + (1.0 - keep);
    }

    /// The average; zero before anything was seen.
    pub(crate) fn mean(&self) -> f64 {
        if self.weight > 0.0 {
            self.sum / self.weight
        } else {
            0.0
        }
    }
}

/// The highest value seen, sinking towards zero.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FadingMax {
    memory_s: f64,
    value: f64,
}

impl FadingMax {
    /// One that sinks to a third over `memory_s` seconds.
    pub(crate) fn new(memory_s: f64) -> Self {
        Self {
            memory_s,
            value: 0.0,
        }
    }

    /// Takes in the highest value of the last `seconds`.
    pub(crate) fn add(&mut self, value: f64, seconds: f64) {
        self.value = value.max(self.value * (-seconds / self.memory_s).exp());
    }

    /// The sunken maximum.
    pub(crate) fn value(&self) -> f64 {
        self.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fading_mean_is_unbiased_from_the_start() {
        let mut mean = FadingMean::new(1000.0);
        mean.add(4.0, 1.0);
        assert!((mean.mean() - 4.0).abs() < 1e-9);
        for _ in 0..100 {
            mean.add(8.0, 1000.0);
        }
        assert!((mean.mean() - 8.0).abs() < 1e-6);
    }
}
