//! The names of the files of a day: `{time}-{segment}` of one that was sealed,
//! `{time}-{first}-{last}` of one that holds several, and `{time}_{width}-{first}-{last}` of one whose
//! samples became means over so many milliseconds. So a file that a crash has left beside what it was
//! made from tells what that is.

use std::path::Path;

/// What a name tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileName {
    time: String,
    /// How many milliseconds its means are taken over; zero of samples as they came.
    pub(super) width_ms: u64,
    /// The first and the last segment of the journal that it holds.
    pub(super) segments: (u64, u64),
}

impl FileName {
    /// `None` of a file with a name of another form.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let stem = path.file_stem()?.to_str()?;
        let mut parts = stem.split('-');
        let head = parts.next()?;
        let (time, width_ms) = match head.split_once('_') {
            Some((time, width)) => (time, width.parse().ok()?),
            None => (head, 0),
        };
        if !time.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let first = parts.next()?.parse().ok()?;
        let last = parts.next().map_or(Some(first), |last| last.parse().ok())?;
        Some(Self {
            time: time.to_owned(),
            width_ms,
            segments: (first, last),
        })
    }

    /// The name of a file that holds the segments of this one and, before them, from `first` on.
    pub(super) fn from(&self, first: u64) -> Self {
        Self {
            width_ms: 0,
            segments: (first, self.segments.1),
            ..self.clone()
        }
    }

    /// The name of this file's samples as means.
    pub(super) fn coarser(&self, width_ms: u64) -> Self {
        Self {
            width_ms,
            ..self.clone()
        }
    }

    /// Whether this file holds all of another, which is then of no use any more.
    pub(super) fn replaces(&self, other: &Self) -> bool {
        let (own, others) = (self.segments, other.segments);
        let holds = own.0 <= others.0 && others.1 <= own.1;
        holds && (own != others || self.width_ms > other.width_ms)
    }
}

impl std::fmt::Display for FileName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.time)?;
        if self.width_ms > 0 {
            write!(f, "_{}", self.width_ms)?;
        }
        write!(f, "-{}-{}.parquet", self.segments.0, self.segments.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> FileName {
        FileName::of(Path::new(text)).unwrap()
    }

    #[test]
    fn a_name_tells_what_it_was_made_from() {
        assert_eq!(name("date=x/17-4.parquet").segments, (4, 4));
        let merged = name("17-4.parquet").from(1);
        assert_eq!(merged.to_string(), "17-1-4.parquet");
        let means = merged.coarser(300_000);
        assert_eq!(means.to_string(), "17_300000-1-4.parquet");
        assert_eq!(name(&means.to_string()), means);
        for other in [
            "open.parquet",
            "17.parquet",
            "17_x-1-4.parquet",
            "17-x.parquet",
        ] {
            assert_eq!(FileName::of(Path::new(other)), None, "{other}");
        }
    }

    #[test]
    fn what_holds_more_segments_or_the_same_as_means_replaces_others() {
        let merged = name("17-1-4.parquet");
        let means = name("17_300000-1-4.parquet");
        assert!(merged.replaces(&name("16-3.parquet")));
        assert!(means.replaces(&merged) && !merged.replaces(&means));
        assert!(!merged.replaces(&merged) && !merged.replaces(&name("18-5.parquet")));
        assert!(name("17_3600000-1-4.parquet").replaces(&means));
    }
}
