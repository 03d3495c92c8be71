//! Categories: groups of entities that behave alike.

use std::fmt;

use crate::{
    class::ResourceClass,
    fingerprint::Fingerprint,
    kmeans::{Clusters, LEAST_SCALE},
};

/// The number of a category; it stays while the group does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CategoryId(pub u32);

impl fmt::Display for CategoryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "c-{}", self.0)
    }
}

impl std::str::FromStr for CategoryId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.strip_prefix("c-")
            .and_then(|digits| digits.parse().ok())
            .map(Self)
            .ok_or_else(|| format!("`{text}` is not a category; it looks like `c-3`"))
    }
}

/// A group of entities that behave alike.
#[derive(Debug, Clone, PartialEq)]
pub struct Category {
    /// Its number.
    pub id: CategoryId,
    /// In words, against the other categories, such as `large bursty daytime`.
    pub label: String,
    /// The middle of the group.
    pub centre: Fingerprint,
}

/// The category of one entity.
#[derive(Debug, Clone, PartialEq)]
pub struct Assignment {
    /// The category's number.
    pub id: CategoryId,
    /// The category in words.
    pub label: String,
    /// From 0 (as near to another category) to 1 (typical of this one).
    pub confidence: f64,
    /// What it rests on.
    pub source: AssignmentSource,
}

/// What an assignment rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AssignmentSource {
    /// The entity's own behaviour.
    Behaviour,
    /// The entity is new: the category of the application it declared.
    Application,
}

/// The categories that `clusters` describes.
pub(crate) fn categories(clusters: &Clusters) -> Vec<Category> {
    clusters
        .centres
        .iter()
        .enumerate()
        .map(|(i, centre)| Category {
            id: CategoryId(i as u32),
            label: label(centre, clusters),
            centre: *centre,
        })
        .collect()
}

/// The words for a centre: its size and variation against the mean, and when it is used.
fn label(centre: &Fingerprint, clusters: &Clusters) -> String {
    let against_mean = |d: usize| (centre.0[d] - clusters.mean.0[d]) / clusters.scale.0[d];
    let differing: Vec<f32> = (0..ResourceClass::PHYSICAL.len())
        .filter(|&d| clusters.scale.0[d] > LEAST_SCALE)
        .map(against_mean)
        .collect();
    let level = differing.iter().sum::<f32>() / differing.len().max(1) as f32;
    let size = if level > 0.4 {
        "large"
    } else if level < -0.4 {
        "small"
    } else {
        "medium"
    };
    let burst = if against_mean(Fingerprint::VARIATION) > 0.4 {
        "bursty"
    } else {
        "steady"
    };
    [size, burst, when(centre)].join(" ").trim_end().to_owned()
}

fn when(centre: &Fingerprint) -> &'static str {
    let (cosine, sine) = (
        centre.0[Fingerprint::DAY_COSINE],
        centre.0[Fingerprint::DAY_SINE],
    );
    if centre.0[Fingerprint::WEEKEND] > 0.2 {
        "weekend"
    } else if cosine.hypot(sine) < 0.2 {
        ""
    } else if cosine > 0.0 {
        "night"
    } else {
        "daytime"
    }
}
