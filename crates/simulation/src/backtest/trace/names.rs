//! Hashes of names in one or two bytes each, where there are few.

use std::collections::BTreeMap;

/// The most different hashes that are numbered; with more they are kept as they are.
const MOST_NUMBERED: usize = 1 << 16;

/// A column of hashes; 0 means that nothing is known.
#[derive(Debug, Clone, Default)]
pub(super) struct Names {
    cells: Cells,
    /// The hash of each number; that of 0 is 0.
    hashes: Vec<u64>,
    numbers: BTreeMap<u64, u16>,
}

#[derive(Debug, Clone, Default)]
enum Cells {
    /// Nothing is known of any row.
    #[default]
    None,
    /// Numbers.
    Bytes(Vec<u8>),
    /// Numbers.
    Words(Vec<u16>),
    /// Hashes.
    Whole(Vec<u64>),
}

impl Names {
    /// Sets the hash of row `index`, which is the next.
    pub(super) fn push(&mut self, index: usize, hash: u64) {
        if self.is_empty() {
            if hash == 0 {
                return;
            }
            self.cells = Cells::Bytes(vec![0; index]);
            self.hashes.push(0);
            self.numbers.insert(0, 0);
        }
        let number = self.number(hash);
        match (&mut self.cells, number) {
            (Cells::Bytes(numbers), Some(number)) => {
                if let Ok(number) = u8::try_from(number) {
                    numbers.push(number);
                } else {
                    let words = numbers.iter().copied().map(u16::from);
                    self.cells = Cells::Words(words.chain([number]).collect());
                }
            }
            (Cells::Words(numbers), Some(number)) => numbers.push(number),
            (Cells::Whole(hashes), _) => hashes.push(hash),
            (Cells::Bytes(_) | Cells::Words(_), None) => self.keep_whole(index, hash),
            (Cells::None, _) => {}
        }
    }

    /// The hash of a row; 0 where there is no such row.
    #[inline]
    pub(super) fn get(&self, index: usize) -> u64 {
        // Nothing here can panic, so that a replay that does not ask who came need not look.
        let number = match &self.cells {
            Cells::None => return 0,
            Cells::Whole(hashes) => return hashes.get(index).copied().unwrap_or(0),
            Cells::Bytes(numbers) => numbers.get(index).copied().map(usize::from),
            Cells::Words(numbers) => numbers.get(index).copied().map(usize::from),
        };
        number
            .and_then(|number| self.hashes.get(number).copied())
            .unwrap_or(0)
    }

    /// Whether nothing is known of any row.
    pub(super) fn is_empty(&self) -> bool {
        matches!(self.cells, Cells::None)
    }

    /// No row follows: what only [`push`](Self::push) needs is let go.
    pub(super) fn end(&mut self) {
        self.numbers = BTreeMap::new();
    }

    /// The number of a hash, which may be new; `None` where there are too many to be numbered.
    fn number(&mut self, hash: u64) -> Option<u16> {
        if matches!(self.cells, Cells::Whole(_)) {
            return None;
        }
        if let Some(&number) = self.numbers.get(&hash) {
            return Some(number);
        }
        if self.hashes.len() == MOST_NUMBERED {
            return None;
        }
        let number = self.hashes.len() as u16;
        self.hashes.push(hash);
        self.numbers.insert(hash, number);
        Some(number)
    }

    fn keep_whole(&mut self, index: usize, hash: u64) {
        let hashes = (0..index).map(|row| self.get(row)).chain([hash]);
        self.cells = Cells::Whole(hashes.collect());
        self.hashes = Vec::new();
        self.numbers = BTreeMap::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A column in which `known` rows come after one that is not known.
    fn column(known: u64) -> Names {
        let mut names = Names::default();
        names.push(0, 0);
        assert!(names.is_empty());
        for row in 1..=known {
            names.push(row as usize, row << 20);
        }
        names
    }

    #[test]
    fn hashes_read_back_however_many_there_are() {
        for known in [1, 255, 256, 65_535, 65_536, 70_000] {
            let mut names = column(known);
            names.push(known as usize + 1, 1 << 20);
            names.push(known as usize + 2, 0);
            assert!((0..=known).all(|row| names.get(row as usize) == row << 20));
            assert_eq!(names.get(known as usize + 1), 1 << 20);
            assert_eq!(names.get(known as usize + 2), 0);
        }
    }

    #[test]
    fn few_hashes_take_a_byte_each_and_many_do_not_take_more_than_they_are() {
        assert!(matches!(column(0).cells, Cells::None));
        assert!(matches!(column(255).cells, Cells::Bytes(_)));
        assert!(matches!(column(256).cells, Cells::Words(_)));
        assert!(matches!(column(65_535).cells, Cells::Words(_)));
        let whole = column(65_536);
        assert!(matches!(whole.cells, Cells::Whole(_)));
        assert!(whole.numbers.is_empty() && whole.hashes.is_empty());
    }
}
