//! One thing on a page: a name and a value a line.

use std::fmt::Write as _;

use super::table::clean;

/// A page for people.
#[derive(Debug, Default)]
pub struct Page(String);

impl Page {
    /// Adds a line; a value of several lines stays in its column.
    pub fn row(&mut self, name: &str, value: &impl ToString) {
        let value = clean(&value.to_string()).replace('\n', "\n             ");
        let _ = writeln!(self.0, "{name:<12} {value}");
    }

    /// Adds a line if there is a value.
    pub fn option(&mut self, name: &str, value: Option<impl ToString>) {
        if let Some(value) = value {
            self.row(name, &value);
        }
    }

    /// The page without its last end of a line.
    pub fn text(&self) -> String {
        self.0.trim_end().to_owned()
    }
}
