//! Many guesses at the coming demand, blended into one by weights that are learnt.
//!
//! Each guess alone is noisy (a short memory) or late (a long one), and trees, which look at one
//! input at a time, are poor at averaging. A least-squares regression of what came on the guesses,
//! forgetting and with a ridge, weighs them (stacking: Wolpert, *Neural Networks* 5, 1992), once as
//! counts and once on the scale of their square roots, where a batch weighs less.

use std::collections::VecDeque;

use super::least_squares::LeastSquares;

/// What a record keeps: a share of the ticks seen, within limits.
const MEMORY_SHARE: f64 = 0.3;
const MEMORY_LEAST: f64 = 300.0;
const MEMORY_MOST: f64 = 40_000.0;
/// Ticks before weights are learnt; until then the guesses count alike.
const FIRST_TICKS: f64 = 100.0;
/// By how much the ticks seen grow between two solutions.
const SOLVE_GROWTH: f64 = 1.01;
/// Memory of the errors in ticks.
const ERROR_MEMORY: f64 = 200.0;
/// The most expectations that wait for what comes.
const MAX_WAITING: usize = 4_096;

/// The demand expected and how far what comes strays from that.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Expected {
    pub(crate) mean: f64,
    pub(crate) deviation: f64,
}

/// `N` guesses blended, as counts and as roots; `M` is one more, for a constant.
#[derive(Debug, Clone)]
pub(crate) struct Blends<const N: usize, const M: usize> {
    counts: Blend<N, M>,
    roots: Blend<N, M>,
}

impl<const N: usize, const M: usize> Blends<N, M> {
    pub(crate) fn new() -> Self {
        Self {
            counts: Blend::new(),
            roots: Blend::new(),
        }
    }

    /// At `now_ms` the demand over the last start-up time is `level`; `guesses` are at the one that
    /// ends at `due_ms`.
    pub(crate) fn tick(
        &mut self,
        now_ms: i64,
        level: f64,
        guesses: &[f64; N],
        due_ms: i64,
    ) -> [Expected; 2] {
        let counts = self.counts.tick(now_ms, level, guesses, due_ms);
        let roots = guesses.map(root);
        let roots = self.roots.tick(now_ms, root(level), &roots, due_ms);
        let expected = Expected {
            mean: (roots.mean * roots.mean / 4.0 - 0.375).max(0.0),
            // By the slope of the square.
            deviation: roots.deviation * roots.mean / 2.0,
        };
        [counts, expected]
    }
}

/// Anscombe's scale, on which counts vary alike.
fn root(count: f64) -> f64 {
    2.0 * (count.max(0.0) + 0.375).sqrt()
}

#[derive(Debug, Clone)]
struct Waiting<const M: usize> {
    due_ms: i64,
    inputs: [f64; M],
    expected: f64,
}

#[derive(Debug, Clone)]
struct Blend<const N: usize, const M: usize> {
    regression: LeastSquares<M>,
    seen: f64,
    solved_at: f64,
    /// Squared errors over what their means make likely, fading, and their number.
    errors: f64,
    error_count: f64,
    waiting: VecDeque<Waiting<M>>,
}

impl<const N: usize, const M: usize> Blend<N, M> {
    fn new() -> Self {
        Self {
            regression: LeastSquares::new(),
            seen: 0.0,
            solved_at: 0.0,
            errors: 0.0,
            error_count: 0.0,
            waiting: VecDeque::new(),
        }
    }

    fn tick(&mut self, now_ms: i64, level: f64, guesses: &[f64; N], due_ms: i64) -> Expected {
        self.learn(now_ms, level);
        let mut inputs = [1.0; M];
        inputs[..N].copy_from_slice(guesses);
        let mean = if self.solved_at > 0.0 {
            self.regression.expect(&inputs)
        } else {
            guesses.iter().sum::<f64>() / N as f64
        };
        // What no guess comes near is not to be trusted.
        let highest = guesses.iter().copied().fold(0.0, f64::max);
        let mean = mean.clamp(0.0, 2.0 * highest + 1.0);
        if self.waiting.len() < MAX_WAITING {
            self.waiting.push_back(Waiting {
                due_ms,
                inputs,
                expected: mean,
            });
        }
        let spread = if self.error_count > 0.0 {
            self.errors / self.error_count
        } else {
            1.0
        };
        Expected {
            mean,
            deviation: (spread * (mean + 1.0)).sqrt(),
        }
    }

    /// Compares what came with what was expected by now.
    fn learn(&mut self, now_ms: i64, level: f64) {
        let mut due = None;
        while let Some(past) = self.waiting.pop_front_if(|past| past.due_ms <= now_ms) {
            // After a gap in the ticks, what came of those that were due within it is not known.
            due = Some(past);
        }
        if let Some(past) = due {
            self.seen += 1.0;
            let memory = (MEMORY_SHARE * self.seen).clamp(MEMORY_LEAST, MEMORY_MOST);
            let weight = 1.0 / (past.expected + 1.0);
            let keep = 1.0 - 1.0 / memory;
            self.regression.add(&past.inputs, level, weight, keep);
            let error = level - past.expected;
            let fade = 1.0 - 1.0 / ERROR_MEMORY;
            self.errors = fade * self.errors + error * error * weight;
            self.error_count = fade * self.error_count + 1.0;
        }
        if self.seen >= FIRST_TICKS && self.seen >= self.solved_at * SOLVE_GROWTH + 1.0 {
            self.solved_at = self.seen;
            self.regression.solve();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guess_that_is_right_is_believed() {
        let mut blends = Blends::<2, 3>::new();
        let mut last = [Expected {
            mean: 0.0,
            deviation: 0.0,
        }; 2];
        let demand = |tick: i64| 5.0 + 4.0 * ((tick % 6) as f64);
        for tick in 0..3000 {
            // The first guess is what will come, the second never changes.
            last = blends.tick(tick, demand(tick), &[demand(tick + 1), 40.0], tick + 1);
        }
        for expected in last {
            assert!((expected.mean - demand(3000)).abs() < 0.5, "{expected:?}");
            assert!(expected.deviation < 1.0, "{expected:?}");
        }
    }
}
