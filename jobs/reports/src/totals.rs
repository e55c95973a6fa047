//! Sums below columns: exact where the column is, and what is shown says so.

use lovage_core::Invalid;
use lovage_worker::JobError;

use crate::cell::{Cell, Form, digits, number};
use crate::fault;
use crate::plan::ALL;

/// The sum of a column so far.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sum {
    /// Of exact numbers, with the digits after the point; nothing once it has outgrown 38 digits.
    exact: Option<i128>,
    scale: usize,
    /// Of doubles.
    float: f64,
    is_float: bool,
    /// A cell that had to be written as text: a formula would leave it out.
    has_text: bool,
}

/// What is written below the column.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Total {
    /// A formula, and the value that it has.
    Formula(String),
    /// The exact value in digits: more than a spreadsheet can add up.
    Text(String),
}

impl Sum {
    /// The sum of nothing in a column of this form.
    pub fn new(form: Form) -> Self {
        let scale = if let Form::Decimal(scale) = form { scale } else { 0 };
        Self { exact: Some(0), scale, float: 0.0, is_float: form == Form::Float, has_text: false }
    }

    /// Adds a cell.
    pub fn add(&mut self, cell: &Cell<'_>) {
        match cell {
            Cell::Exact(value, scale) => {
                self.exact = self.exact.and_then(|sum| sum.checked_add(*value));
                self.has_text |= number(*value, *scale).is_none();
            }
            Cell::Float(value) => self.float += value,
            // Not a number, or infinite.
            Cell::Text(_) => self.has_text = true,
            Cell::Empty | Cell::Bool(_) | Cell::Days(_) => {}
        }
    }

    /// The total.
    pub fn total(&self) -> Total {
        if self.is_float {
            let text = self.float.to_string();
            return if self.has_text || !self.float.is_finite() {
                Total::Text("not a number".to_owned())
            } else {
                Total::Formula(text)
            };
        }
        let Some(sum) = self.exact else { return Total::Text("more than 38 digits".to_owned()) };
        let text = digits(sum, self.scale);
        if self.has_text || number(sum, self.scale).is_none() { Total::Text(text) } else { Total::Formula(text) }
    }
}

/// The columns that are meant by names and `*`; `*` leaves out `kept`.
pub(crate) fn chosen(
    field: &str,
    names: &[String],
    columns: &[(String, Form)],
    kept: &[&str],
) -> Result<Vec<usize>, JobError> {
    let mut found = Vec::new();
    for name in names {
        if name == ALL {
            let all = columns.iter().enumerate();
            let numbers = all.filter(|(_, (name, form))| form.is_number() && !kept.contains(&name.as_str()));
            found.extend(numbers.map(|(index, _)| index));
            continue;
        }
        let Some(index) = columns.iter().position(|(column, _)| column == name) else {
            return Err(fault::no_column(field, name, columns.iter().map(|(column, _)| column.as_str())));
        };
        if !columns[index].1.is_number() {
            let help = "name columns of numbers; CAST text to a number in the SELECT";
            return Err(fault::invalid(Invalid::new(field, format!("{name:?} is no column of numbers"), help)));
        }
        found.push(index);
    }
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_add_up_exactly_where_doubles_do_not() {
        let mut exact = Sum::new(Form::Decimal(2));
        let mut float = Sum::new(Form::Float);
        for _ in 0..10 {
            exact.add(&Cell::Exact(10, 2));
            float.add(&Cell::Float(0.1));
        }
        assert_eq!(exact.total(), Total::Formula("1.00".to_owned()));
        assert_eq!(float.total(), Total::Formula("0.9999999999999999".to_owned()));
    }

    #[test]
    fn what_a_spreadsheet_cannot_add_is_written_out() {
        let mut sum = Sum::new(Form::Whole);
        for value in [999_999_999_999_999, 1] {
            sum.add(&Cell::Exact(value, 0));
        }
        assert_eq!(sum.total(), Total::Text("1000000000000000".to_owned()));
        let mut sum = Sum::new(Form::Whole);
        for value in [1_000_000_000_000_000, -999_999_999_999_999] {
            sum.add(&Cell::Exact(value, 0));
        }
        assert_eq!(sum.total(), Total::Text("1".to_owned()), "one of the cells is text: a formula would say otherwise");
        sum.add(&Cell::Exact(i128::MAX, 0));
        assert!(matches!(sum.total(), Total::Text(text) if text.contains("digits")));
    }

    #[test]
    fn a_star_means_numbers_and_names_must_be_some() {
        let columns = [("id", Form::Whole), ("name", Form::Text), ("a", Form::Decimal(2)), ("b", Form::Float)]
            .map(|(name, form)| (name.to_owned(), form));
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(chosen("f", &names(&["*"]), &columns, &["id"]).unwrap(), [2, 3]);
        assert_eq!(chosen("f", &names(&["b", "*", "id"]), &columns, &[]).unwrap(), [0, 2, 3]);
        for name in ["name", "c"] {
            assert!(matches!(chosen("f", &names(&[name]), &columns, &[]), Err(JobError::Discard(_))), "{name}");
        }
    }
}
