//! Filling gaps for models that need a value in every bin.

/// The values of `context` with gaps filled by the last value before them; leading gaps take the
/// first value there is, and a context without any value is zero throughout.
pub fn impute_last_value(context: &[f32]) -> Vec<f32> {
    impute_tail(context, context.len())
}

/// The last `length` values of the imputed context, at the cost of those alone where there are few
/// gaps.
pub fn impute_tail(context: &[f32], length: usize) -> Vec<f32> {
    let begin = context.len().saturating_sub(length);
    let mut last = last_value(&context[..begin])
        .or_else(|| context.iter().copied().find(|value| value.is_finite()))
        .unwrap_or(0.0);
    context[begin..]
        .iter()
        .map(|&value| {
            if value.is_finite() {
                last = value;
            }
            last
        })
        .collect()
}

/// The last value that is present.
pub fn last_value(context: &[f32]) -> Option<f32> {
    context
        .iter()
        .rev()
        .copied()
        .find(|value| value.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAN: f32 = f32::NAN;

    #[test]
    fn gaps_take_the_last_value_and_leading_gaps_the_first() {
        let context = [NAN, 2.0, NAN, NAN, 5.0, NAN];
        assert_eq!(impute_last_value(&context), [2.0, 2.0, 2.0, 2.0, 5.0, 5.0]);
        assert_eq!(impute_tail(&context, 3), [2.0, 5.0, 5.0]);
        assert_eq!(impute_tail(&[NAN, NAN, 1.0], 2), [1.0, 1.0]);
    }

    #[test]
    fn a_context_without_values_is_zero() {
        assert_eq!(impute_last_value(&[NAN, NAN]), [0.0, 0.0]);
        assert_eq!(impute_tail(&[], 4), [0.0; 0]);
        assert_eq!(last_value(&[NAN]), None);
    }
}
