//! Tables for terminals.

use std::fmt;

use clap::builder::styling::Style;

/// Rows under a heading. Columns are as wide as their widest cell; numbers stand to the right.
#[derive(Debug)]
pub(crate) struct Table {
    heading: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new<const N: usize>(heading: [&'static str; N]) -> Self {
        Self {
            heading: heading.to_vec(),
            rows: Vec::new(),
        }
    }

    /// Adds a row, of as many cells as the heading has.
    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.into());
    }

    fn width(&self, column: usize) -> usize {
        let cells = self.rows.iter().filter_map(|row| row.get(column));
        let widest = cells.map(|cell| cell.chars().count()).max();
        widest.unwrap_or(0).max(self.heading[column].len())
    }

    fn is_numeric(&self, column: usize) -> bool {
        let numeric = |cell: &String| {
            let number = cell.trim_end_matches(['%', 's', 'x']);
            cell == "-" || number.parse::<f64>().is_ok()
        };
        !self.rows.is_empty()
            && self
                .rows
                .iter()
                .filter_map(|row| row.get(column))
                .all(numeric)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns: Vec<(usize, bool)> = (0..self.heading.len())
            .map(|column| (self.width(column), self.is_numeric(column)))
            .collect();
        let line = |cells: &mut dyn Iterator<Item = &str>| {
            let padded = cells.zip(&columns).map(|(cell, &(width, right))| {
                if right {
                    format!("{cell:>width$}")
                } else {
                    format!("{cell:<width$}")
                }
            });
            padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        };
        let bold = Style::new().bold();
        let heading = line(&mut self.heading.iter().copied());
        writeln!(f, "{bold}{heading}{bold:#}")?;
        for row in &self.rows {
            writeln!(f, "{}", line(&mut row.iter().map(String::as_str)))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_numbers_stand_right() {
        let mut table = Table::new(["pool", "hits"]);
        table.row(["notebook".to_owned(), "7".to_owned()]);
        table.row(["ci".to_owned(), "1234".to_owned()]);
        let plain = anstream::adapter::strip_str(&table.to_string()).to_string();
        assert_eq!(plain, "pool      hits\nnotebook     7\nci        1234\n");
    }
}
