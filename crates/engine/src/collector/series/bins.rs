//! The closed bins of a series: those that a panel has shown stay in it, so that they are kept once.

use std::collections::VecDeque;

use foreshadow_forecast::Panel;

/// The closed bins of a series, the latest last.
#[derive(Debug, Default)]
pub(super) struct Bins {
    /// The series' place in the latest panel.
    row: u32,
    /// How many of the panel's last bins are among them.
    shown: u32,
    /// Those that have closed since.
    fresh: VecDeque<f32>,
}

impl Bins {
    /// In no panel yet.
    pub(super) fn of(values: &[f32]) -> Self {
        Self {
            fresh: values.iter().copied().collect(),
            ..Self::default()
        }
    }

    pub(super) fn len(&self) -> usize {
        self.shown as usize + self.fresh.len()
    }

    /// How many no panel has shown yet.
    #[cfg(test)]
    pub(super) fn fresh(&self) -> usize {
        self.fresh.len()
    }

    /// Adds the latest; beyond `keep` the oldest goes.
    pub(super) fn push(&mut self, value: f32, keep: usize) {
        if self.len() >= keep {
            if self.shown > 0 {
                self.shown -= 1;
            } else {
                self.fresh.pop_front();
            }
        }
        self.fresh.push_back(value);
    }

    /// All, from the latest panel and after it.
    pub(super) fn iter<'a>(&'a self, panel: Option<&'a Panel>) -> impl Iterator<Item = f32> + 'a {
        let shown = panel.filter(|_| self.shown > 0).map_or(&[][..], |panel| {
            let row = panel.series(self.row as usize);
            &row[row.len() - self.shown as usize..]
        });
        shown.iter().chain(&self.fresh).copied()
    }

    /// From now on in a panel that ends with all of them.
    pub(super) fn show(&mut self, row: usize) {
        self.shown = self.len() as u32;
        self.row = row as u32;
        self.fresh = VecDeque::new();
    }
}
