//! Aligned plain text: columns for lists, and text that cannot play tricks on a terminal.

use std::borrow::Cow;

/// A list for people.
#[derive(Debug)]
pub struct Table {
    head: Vec<&'static str>,
    rows: Vec<Vec<String>>,
    empty: Cow<'static, str>,
}

impl Table {
    /// A table with these column heads; `empty` is shown instead of a table without rows.
    pub fn new(head: &[&'static str], empty: impl Into<Cow<'static, str>>) -> Self {
        Self { head: head.to_vec(), rows: Vec::new(), empty: empty.into() }
    }

    /// Adds a row; a cell of several lines is joined to one.
    pub fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells.into_iter().map(|cell| clean(&cell).replace('\n', " ")).collect());
    }

    /// Adds a last cell to each row.
    pub fn last_cells(&mut self, cells: impl Iterator<Item = String>) {
        for (row, cell) in self.rows.iter_mut().zip(cells) {
            row.push(clean(&cell).replace('\n', " "));
        }
    }

    /// Characters of the first `columns` columns, with what stands between them and the next.
    pub fn width(&self, columns: usize) -> usize {
        (0..columns).map(|column| self.column_width(column) + 2).sum()
    }

    fn column_width(&self, column: usize) -> usize {
        let cells = self.rows.iter().map(|row| row.get(column).map_or(0, |cell| cell.chars().count()));
        cells.max().unwrap_or(0).max(self.head[column].len())
    }

    /// The text, each line ended. Numbers stand right, everything else left.
    pub fn render(&self) -> String {
        if self.rows.is_empty() {
            return format!("{}\n", self.empty);
        }
        let widths: Vec<usize> = (0..self.head.len()).map(|column| self.column_width(column)).collect();
        let numeric: Vec<bool> = (0..self.head.len())
            .map(|column| {
                let number = |cell: &String| !cell.is_empty() && cell.chars().all(|c| c.is_ascii_digit());
                self.rows.iter().all(|row| row.get(column).is_some_and(number))
            })
            .collect();
        let head: Vec<String> = self.head.iter().map(|name| name.to_uppercase()).collect();
        let mut text = String::new();
        for row in std::iter::once(&head).chain(&self.rows) {
            let mut line = String::new();
            for (column, cell) in row.iter().enumerate() {
                let (width, right) = (widths[column], numeric[column]);
                let cell = if right { format!("{cell:>width$}  ") } else { format!("{cell:<width$}  ") };
                line.push_str(&cell);
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// The text without control characters but for the end of a line: what a job says must not steer a terminal.
pub fn clean(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            let keep = c == '\n' || !c.is_control();
            let escaped = (!keep).then(|| c.escape_default()).into_iter().flatten();
            escaped.chain(keep.then_some(c))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_numbers_stand_right() {
        let mut table = Table::new(&["name", "jobs"], "nothing");
        assert_eq!(table.render(), "nothing\n");
        table.row(vec!["exports".into(), "7".into()]);
        table.row(vec!["a".into(), "12345".into()]);
        assert_eq!(table.render(), "NAME      JOBS\nexports      7\na        12345\n");
    }

    #[test]
    fn an_escape_sequence_is_shown_and_not_obeyed() {
        assert_eq!(clean("a\u{1b}[31mb\nc\td"), "a\\u{1b}[31mb\nc\\td");
    }
}
