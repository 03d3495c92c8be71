//! Elementwise arithmetic in loops that the compiler vectorises, for the instructions found at run
//! time.

#![expect(
    clippy::inline_always,
    reason = "what is not inlined is not compiled for the vector instructions found"
)]

use crate::arch::arch;

/// Runs `work`, which must be inlinable, compiled for the best vector instructions of this machine.
pub(crate) fn vectorised<R>(work: impl FnOnce() -> R) -> R {
    arch().dispatch(work)
}

/// The exponential to about 2e-7, with `x` held within ±87.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    /// Adding this rounds to an integer and leaves it in the low bits.
    const ROUNDER: f32 = 12_582_912.0;
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let x = x.clamp(-87.0, 87.0);
    let shifted = x * std::f32::consts::LOG2_E + ROUNDER;
    let whole = shifted - ROUNDER;
    let r = x - whole * LN2_HIGH - whole * LN2_LOW;
    let p = 1.987_569_1e-4;
    let p = p * r + 1.398_2e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 0.5;
    let p = p * r * r + r + 1.0;
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(0x3f80_0000));
    p * power
}

/// The logistic function.
#[inline(always)]
pub(crate) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// The hyperbolic tangent, within 1e-6.
#[inline(always)]
pub(crate) fn tanh(x: f32) -> f32 {
    2.0 * sigmoid(2.0 * x) - 1.0
}

/// Each row of `out` filled with its bias.
pub(crate) fn fill_bias(out: &mut [f32], bias: &[f32], columns: usize) {
    for (row, &bias) in out.chunks_exact_mut(columns).zip(bias) {
        row.fill(bias);
    }
}

/// Adds the sum of each row to `sums`.
pub(crate) fn add_row_sums(sums: &mut [f32], matrix: &[f32], columns: usize) {
    for (sum, row) in sums.iter_mut().zip(matrix.chunks_exact(columns)) {
        *sum += row.iter().sum::<f32>();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fast_functions_equal_the_slow_ones() {
        for step in -4000..=4000 {
            let x = step as f32 * 0.02;
            let slow = x.exp();
            assert!((exp(x) - slow).abs() <= 4e-7 * slow, "{x}");
            assert!((tanh(x) - x.tanh()).abs() < 1e-6, "{x}");
        }
        assert!(exp(1e9).is_finite() && exp(-1e9) < 1e-30);
    }
}
