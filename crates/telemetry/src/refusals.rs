//! What was refused, and why.

use foreshadow_api::FieldError;

/// Refused samples by reason.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Refusals {
    /// The value is not a finite number.
    pub not_finite: u64,
    /// The time is further ahead than clocks may differ.
    pub future: u64,
    /// The time is further back than is of use.
    pub past: u64,
    /// The entity or the metric has no acceptable name.
    pub invalid_name: u64,
    /// The first refusal in words.
    pub first_error: Option<FieldError>,
}

impl Refusals {
    /// All refused samples.
    pub fn total(&self) -> u64 {
        self.not_finite + self.future + self.past + self.invalid_name
    }

    /// Keeps the words of the first refusal.
    pub(crate) fn explain(&mut self, error: impl FnOnce() -> FieldError) {
        if self.first_error.is_none() {
            self.first_error = Some(error());
        }
    }
}
