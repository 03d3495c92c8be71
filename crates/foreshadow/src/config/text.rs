//! Values written as text.

use std::time::Duration;

use foreshadow_types::{Bytes, parse_duration};
use serde::Deserialize;

/// A duration such as `90s`.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Span(pub(super) Duration);

impl TryFrom<String> for Span {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        parse_duration(&text)
            .map(Self)
            .map_err(|error| error.to_string())
    }
}

/// A size such as `256MiB`.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Size(pub(super) Bytes);

impl TryFrom<String> for Size {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
            .map(Self)
            .map_err(|error: foreshadow_types::UnitError| error.to_string())
    }
}
