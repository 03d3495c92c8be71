//! Elementwise functions on whole registers.

#![expect(
    clippy::inline_always,
    reason = "what is not inlined is not compiled for the vector instructions found"
)]

use pulp::Simd;

/// A register of a row, from `column` on; zeros beyond the row's end.
#[inline(always)]
pub(crate) fn load<S: Simd>(simd: S, row: &[f32], column: usize) -> S::f32s {
    let (whole, rest) = S::as_simd_f32s(&row[column..]);
    match whole.first() {
        Some(&register) => register,
        None => simd.partial_load_f32s(rest),
    }
}

/// Writes a register to a row, from `column` on, up to the row's end.
#[inline(always)]
pub(crate) fn store<S: Simd>(simd: S, row: &mut [f32], column: usize, values: S::f32s) {
    let (whole, rest) = S::as_mut_simd_f32s(&mut row[column..]);
    match whole.first_mut() {
        Some(register) => *register = values,
        None => simd.partial_store_f32s(rest, values),
    }
}

/// `x` held between two bounds; what is not a number stays so where the machine's minimum does so.
#[inline(always)]
pub(crate) fn clamp<S: Simd>(simd: S, x: S::f32s, low: f32, high: f32) -> S::f32s {
    let x = simd.max_f32s(simd.splat_f32s(low), x);
    simd.min_f32s(simd.splat_f32s(high), x)
}

/// The bits of 1.
const ONE: u32 = 0x3f80_0000;

/// Of the exponential's polynomial over the remainder, the highest power first, down to the square.
const TERMS: [f32; 6] = [
    1.987_569_1e-4,
    1.398_2e-3,
    8.333_452e-3,
    4.166_579_6e-2,
    1.666_666_5e-1,
    0.5,
];

/// `x` as a multiple of ln 2, whose integer is given in the exponent's place, and a remainder.
#[inline(always)]
fn reduce<S: Simd>(simd: S, x: S::f32s) -> (S::u32s, S::f32s) {
    /// Adding this rounds to an integer and leaves it in the low bits.
    const ROUNDER: f32 = 12_582_912.0;
    let number = |x| simd.splat_f32s(x);
    let shifted = simd.mul_add_e_f32s(x, number(std::f32::consts::LOG2_E), number(ROUNDER));
    let whole = simd.sub_f32s(shifted, number(ROUNDER));
    let r = simd.mul_add_e_f32s(whole, number(-0.693_359_4), x);
    let r = simd.mul_add_e_f32s(whole, number(2.121_944_4e-4), r);
    let bits = simd.wrapping_dyn_shl_u32s(simd.transmute_u32s_f32s(shifted), simd.splat_u32s(23));
    (bits, r)
}

/// The exponential to about 2e-7, for `x` within ±87.
#[inline(always)]
pub(crate) fn exp<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let (bits, r) = reduce(simd, x);
    let mut p = simd.splat_f32s(TERMS[0]);
    for &term in &TERMS[1..] {
        p = simd.mul_add_e_f32s(p, r, simd.splat_f32s(term));
    }
    let one = simd.splat_f32s(1.0);
    let p = simd.mul_add_e_f32s(simd.mul_f32s(p, r), r, simd.add_f32s(r, one));
    let power = simd.add_u32s(bits, simd.splat_u32s(ONE));
    simd.mul_f32s(p, simd.transmute_f32s_u32s(power))
}

/// The exponentials of `x` and of `-x`, as [`exp`] and without a division: they share the even and
/// the odd powers of one polynomial.
#[inline(always)]
pub(crate) fn exp_both<S: Simd>(simd: S, x: S::f32s) -> [S::f32s; 2] {
    let (bits, r) = reduce(simd, x);
    let square = simd.mul_f32s(r, r);
    let mut even = simd.splat_f32s(TERMS[1]);
    for term in [TERMS[3], TERMS[5], 1.0] {
        even = simd.mul_add_e_f32s(even, square, simd.splat_f32s(term));
    }
    let mut odd = simd.splat_f32s(TERMS[0]);
    for term in [TERMS[2], TERMS[4], 1.0] {
        odd = simd.mul_add_e_f32s(odd, square, simd.splat_f32s(term));
    }
    let odd = simd.mul_f32s(r, odd);
    let ones = simd.splat_u32s(ONE);
    let power = simd.transmute_f32s_u32s(simd.add_u32s(ones, bits));
    let inverse = simd.transmute_f32s_u32s(simd.sub_u32s(ones, bits));
    [
        simd.mul_f32s(simd.add_f32s(even, odd), power),
        simd.mul_f32s(simd.sub_f32s(even, odd), inverse),
    ]
}

/// The hyperbolic tangent, within 1e-6.
#[inline(always)]
pub(crate) fn tanh<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let (one, two) = (simd.splat_f32s(1.0), simd.splat_f32s(2.0));
    let far = exp(simd, clamp(simd, simd.add_f32s(x, x), -87.0, 87.0));
    simd.sub_f32s(one, simd.div_f32s(two, simd.add_f32s(one, far)))
}

/// The logistic function.
#[inline(always)]
pub(crate) fn sigmoid<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let one = simd.splat_f32s(1.0);
    let far = exp(simd, clamp(simd, simd.neg_f32s(x), -87.0, 87.0));
    simd.div_f32s(one, simd.add_f32s(one, far))
}

/// The natural logarithm to about 1e-7 of the larger of it and 1, of positive finite numbers.
#[inline(always)]
pub(crate) fn ln<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    const TERMS: [f32; 8] = [
        -1.151_461e-1,
        1.167_699_9e-1,
        -1.242_014_1e-1,
        1.424_932_3e-1,
        -1.666_805_8e-1,
        2.000_071_5e-1,
        -2.499_999_4e-1,
        3.333_333e-1,
    ];
    /// The bits of the square root of a half: mantissas are taken from there to twice as much.
    const HALF_ROOT: u32 = 0x3f35_04f3;
    /// 2^23, which turns small integers in the low bits into floats.
    const RAISER: u32 = 0x4b00_0000;
    let number = |x| simd.splat_f32s(x);
    let above = simd.sub_u32s(simd.transmute_u32s_f32s(x), simd.splat_u32s(HALF_ROOT));
    // The exponent is raised by 128 so that it is not negative.
    let raised = simd.add_u32s(above, simd.splat_u32s(128 << 23));
    let exponent = simd.wrapping_dyn_shr_u32s(raised, simd.splat_u32s(23));
    let exponent = simd.transmute_f32s_u32s(simd.or_u32s(exponent, simd.splat_u32s(RAISER)));
    let exponent = simd.sub_f32s(exponent, number(8_388_608.0 + 128.0));
    let mantissa = simd.and_u32s(above, simd.splat_u32s(0x007f_ffff));
    let mantissa = simd.transmute_f32s_u32s(simd.add_u32s(mantissa, simd.splat_u32s(HALF_ROOT)));
    let r = simd.sub_f32s(mantissa, number(1.0));
    let mut p = number(7.037_683_6e-2);
    for term in TERMS {
        p = simd.mul_add_e_f32s(p, r, number(term));
    }
    let square = simd.mul_f32s(r, r);
    let tail = simd.mul_f32s(simd.mul_f32s(p, r), square);
    let tail = simd.mul_add_e_f32s(exponent, number(-2.121_944_4e-4), tail);
    let tail = simd.mul_add_e_f32s(square, number(-0.5), tail);
    simd.mul_add_e_f32s(exponent, number(0.693_359_4), simd.add_f32s(r, tail))
}

/// [`crate::features::compress`].
#[inline(always)]
pub(crate) fn compress<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let magnitude = simd.min_f32s(simd.splat_f32s(1e18), simd.abs_f32s(x));
    let one = simd.splat_f32s(1.0);
    let root = simd.sqrt_f32s(simd.mul_add_e_f32s(magnitude, magnitude, one));
    let log = ln(simd, simd.add_f32s(magnitude, root));
    let negative = simd.less_than_f32s(x, simd.splat_f32s(0.0));
    simd.select_f32s(negative, simd.neg_f32s(log), log)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pulp::Scalar;

    #[test]
    fn the_fast_functions_equal_the_slow_ones() {
        for step in -4000..=4000 {
            let x = step as f32 * 0.02;
            assert!((exp(Scalar, x) - x.exp()).abs() <= 4e-7 * x.exp(), "{x}");
            for (found, x) in exp_both(Scalar, x).into_iter().zip([x, -x]) {
                assert!((found - x.exp()).abs() <= 4e-7 * x.exp(), "{x}");
            }
            assert!((tanh(Scalar, x) - x.tanh()).abs() < 1e-6, "{x}");
            let logistic = 1.0 / (1.0 + (-x).exp());
            assert!((sigmoid(Scalar, x) - logistic).abs() < 1e-6, "{x}");
            let positive = x.exp();
            let error = (ln(Scalar, positive) - positive.ln()).abs();
            assert!(error <= 3e-7 * x.abs().max(1.0), "{x} {error}");
        }
        assert_eq!(ln(Scalar, 1.0), 0.0);
    }
}
