//! The policies of a backtest by name.

use std::{fmt, str::FromStr};

use thiserror::Error;

/// A policy that sizes pools.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PolicyKind {
    /// The production planner; not tuned in hindsight.
    Foreshadow,
    /// A constant pool; tuned: its size.
    Static,
    /// Trailing mean and deviation; tuned: how many deviations, and which of three windows.
    Reactive,
    /// Trailing maximum; tuned: the window.
    KeepAlive,
    /// Hybrid histogram on reused instances; tuned: the tail percentile.
    HybridHistogram,
    /// Singular spectrum analysis with a sample-average programme; tuned: the weight of waiting.
    Ssa,
    /// Holt-Winters forecast and its error; tuned: how many deviations.
    HoltWinters,
    /// The demand that really comes; nothing to tune.
    Clairvoyant,
}

/// The name is no policy's.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{text}` is no policy; the policies are {known}", known = PolicyKind::names())]
pub struct UnknownPolicy {
    text: String,
}

impl PolicyKind {
    /// All policies in the order of reports.
    pub const ALL: [Self; 8] = [
        Self::Foreshadow,
        Self::Static,
        Self::Reactive,
        Self::KeepAlive,
        Self::HybridHistogram,
        Self::Ssa,
        Self::HoltWinters,
        Self::Clairvoyant,
    ];

    /// The name in flags and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Foreshadow => "foreshadow",
            Self::Static => "static",
            Self::Reactive => "reactive",
            Self::KeepAlive => "keep-alive",
            Self::HybridHistogram => "hybrid-histogram",
            Self::Ssa => "ssa",
            Self::HoltWinters => "holt-winters",
            Self::Clairvoyant => "clairvoyant",
        }
    }

    fn names() -> String {
        Self::ALL.map(Self::name).join(", ")
    }
}

impl fmt::Display for PolicyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for PolicyKind {
    type Err = UnknownPolicy;

    fn from_str(text: &str) -> Result<Self, UnknownPolicy> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.name() == text.trim())
            .ok_or_else(|| UnknownPolicy {
                text: text.to_owned(),
            })
    }
}
