//! Why a message was refused.

use std::fmt::Display;

use thiserror::Error;

/// A field that is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{field}`: {problem}")]
pub struct FieldError {
    /// The path of the field, such as `config.triggers[2].within`.
    pub field: String,
    /// What is wrong and how to mend it.
    pub problem: String,
}

impl FieldError {
    /// Names a field and its problem.
    pub fn new(field: impl Into<String>, problem: impl Display) -> Self {
        Self {
            field: field.into(),
            problem: problem.to_string(),
        }
    }

    /// The same problem, seen from the message that contains the field's message.
    #[must_use]
    pub fn inside(mut self, outer: impl Display) -> Self {
        self.field = format!("{outer}.{}", self.field);
        self
    }
}
