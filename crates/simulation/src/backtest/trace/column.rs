//! Columns that take no memory where they hold nothing.

/// A column that takes no memory while every value is the default.
#[derive(Debug, Clone)]
pub(super) struct Column<T> {
    default: T,
    values: Vec<T>,
}

impl<T: Copy + PartialEq> Column<T> {
    pub(super) fn new(default: T) -> Self {
        Self {
            default,
            values: Vec::new(),
        }
    }

    /// Sets the value of row `index`, which is the next.
    pub(super) fn push(&mut self, index: usize, value: T) {
        if value != self.default || !self.values.is_empty() {
            self.values.resize(index, self.default);
            self.values.push(value);
        }
    }

    pub(super) fn get(&self, index: usize) -> T {
        self.values.get(index).copied().unwrap_or(self.default)
    }

    /// Whether each of `rows` has a value other than the default.
    pub(super) fn is_complete(&self, rows: usize) -> bool {
        self.values.len() == rows && !self.values.contains(&self.default)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_that_hold_nothing_take_no_memory_and_read_as_absent() {
        let mut column = Column::new(0_u32);
        column.push(0, 0);
        assert!(column.values.is_empty());
        column.push(1, 7);
        assert_eq!([column.get(0), column.get(1), column.get(2)], [0, 7, 0]);
        assert!(!column.is_complete(2));
    }
}
