//! Durations as people write them: `90s`, `5m`, `1h`, `1h30m`.

use std::time::Duration;

use thiserror::Error;

/// Why a duration was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DurationError {
    /// The text has no number and unit.
    #[error("`{0}` is not a duration; write for example `90s`, `5m` or `1h30m`")]
    Malformed(String),
    /// The duration is below zero.
    #[error("`{0}` is negative; a duration is zero or more, for example `90s`")]
    Negative(String),
    /// The duration is longer than a hundred years.
    #[error("`{0}` is too long; the longest duration is 100 years")]
    TooLong(String),
}

/// A hundred years, in milliseconds: the longest duration anything here works with.
const LONGEST_MS: f64 = 100.0 * 365.25 * 86_400_000.0;

/// Parses `250ms`, `90s`, `5m`, `1h`, `7d` and sums of them such as `1h30m`; `0` needs no unit.
///
/// # Errors
/// [`DurationError`] names the text and how to write it.
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let trimmed = text.trim();
    if trimmed.starts_with('-') {
        return Err(DurationError::Negative(text.to_owned()));
    }
    if trimmed == "0" {
        return Ok(Duration::ZERO);
    }
    let mut rest = trimmed;
    let mut total_ms = 0.0_f64;
    while !rest.is_empty() {
        let (part_ms, tail) =
            leading_part(rest).ok_or_else(|| DurationError::Malformed(text.to_owned()))?;
        total_ms += part_ms;
        rest = tail;
    }
    if trimmed.is_empty() {
        return Err(DurationError::Malformed(text.to_owned()));
    }
    if total_ms > LONGEST_MS {
        return Err(DurationError::TooLong(text.to_owned()));
    }
    Ok(Duration::from_millis(total_ms.round() as u64))
}

/// The first `number unit` of the text in milliseconds, and what follows it.
fn leading_part(text: &str) -> Option<(f64, &str)> {
    let digits = text.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
    let number: f64 = text[..digits].parse().ok()?;
    let tail = &text[digits..];
    let unit_end = tail
        .find(|c: char| !c.is_ascii_alphabetic())
        .unwrap_or(tail.len());
    let unit_ms = match &tail[..unit_end] {
        "ms" => 1.0,
        "s" => 1e3,
        "m" | "min" => 60e3,
        "h" => 3_600e3,
        "d" => 86_400e3,
        _ => return None,
    };
    Some((number * unit_ms, &tail[unit_end..]))
}

/// Writes a duration in the largest units that are exact: `1h30m`, `90s` becomes `1m30s`.
pub fn format_duration(duration: Duration) -> String {
    let mut left_ms = duration.as_millis();
    if left_ms == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (unit, unit_ms) in [
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1_000),
        ("ms", 1),
    ] {
        let count = left_ms / unit_ms;
        left_ms %= unit_ms;
        if count > 0 {
            text.push_str(&count.to_string());
            text.push_str(unit);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        for (text, ms) in [
            ("90s", 90_000),
            ("5m", 300_000),
            ("1h30m", 5_400_000),
            ("250ms", 250),
            ("0", 0),
            ("1.5s", 1_500),
        ] {
            assert_eq!(
                parse_duration(text),
                Ok(Duration::from_millis(ms)),
                "{text}"
            );
        }
    }

    #[test]
    fn bad_durations_say_how_to_write_them() {
        assert!(matches!(
            parse_duration("-5m"),
            Err(DurationError::Negative(_))
        ));
        for text in ["", "5", "m", "5 parsecs", "1..2s", "NaNs"] {
            assert!(
                matches!(parse_duration(text), Err(DurationError::Malformed(_))),
                "{text}"
            );
        }
        assert!(matches!(
            parse_duration("99999999999d"),
            Err(DurationError::TooLong(_))
        ));
    }

    #[test]
    fn a_written_duration_reads_back() {
        for ms in [0, 1, 999, 90_000, 86_400_000, 90_061_001] {
            let duration = Duration::from_millis(ms);
            assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
        }
    }
}
