//! The parts of a request's path.

use std::ops::Deref;

/// No path has more parts.
const MOST: usize = 5;

/// The parts of a path, without copying it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parts<'a> {
    parts: [&'a str; MOST],
    count: usize,
}

impl<'a> Parts<'a> {
    /// `None` if there are more than any path has.
    pub(crate) fn of(path: &'a str) -> Option<Self> {
        let mut found = Self {
            parts: [""; MOST],
            count: 0,
        };
        for part in path.strip_prefix('/').unwrap_or(path).split('/') {
            *found.parts.get_mut(found.count)? = part;
            found.count += 1;
        }
        Some(found)
    }
}

impl<'a> Deref for Parts<'a> {
    type Target = [&'a str];

    fn deref(&self) -> &[&'a str] {
        &self.parts[..self.count]
    }
}
