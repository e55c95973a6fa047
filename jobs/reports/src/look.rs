//! How a workbook looks: formats of cells, widths of columns.

use rust_xlsxwriter::{Color, Format, FormatAlign, FormatBorder};

use crate::cell::{Cell, Form, digits};

/// Widths in characters.
const NARROWEST: usize = 8;
const WIDEST: usize = 60;
/// Room for the button of the filter.
const BUTTON: usize = 3;

/// The formats of one column.
#[derive(Debug, Clone)]
pub(crate) struct Look {
    pub head: Format,
    pub body: Format,
    pub total: Format,
}

impl Look {
    /// How a column of this form looks.
    pub fn of(form: Form) -> Self {
        let body = match form {
            // Text that looks like a number stays text when somebody edits the cell.
            Form::Text => Format::new().set_num_format("@"),
            Form::Bool | Form::Float => Format::new(),
            Form::Whole => Format::new().set_num_format("0"),
            Form::Decimal(0) => Format::new().set_num_format("#,##0"),
            Form::Decimal(scale) => Format::new().set_num_format(format!("#,##0.{}", "0".repeat(scale.min(15)))),
            Form::Date => Format::new().set_num_format("yyyy-mm-dd"),
            Form::Datetime => Format::new().set_num_format("yyyy-mm-dd hh:mm:ss"),
            Form::Time => Format::new().set_num_format("hh:mm:ss"),
        };
        let head = Format::new()
            .set_bold()
            .set_font_color(Color::White)
            .set_background_color(Color::RGB(0x2F_5D_50))
            .set_border_bottom(FormatBorder::Thin);
        let (head, body) = if matches!(form, Form::Text | Form::Bool) {
            (head, body)
        } else {
            // Text that stands for a number too long to be one is aligned as numbers are.
            (head.set_align(FormatAlign::Right), body.set_align(FormatAlign::Right))
        };
        let total = body.clone().set_bold().set_border_top(FormatBorder::Thin);
        Self { head, body, total }
    }
}

/// The width of a header.
pub(crate) fn of_head(name: &str) -> usize {
    of_text(name) + BUTTON
}

/// The width of a cell in a column of this form.
pub(crate) fn of_cell(cell: &Cell<'_>, form: Form) -> usize {
    match cell {
        Cell::Empty => 0,
        Cell::Bool(_) => 5,
        Cell::Exact(value, scale) => {
            let digits = digits(*value, *scale).len();
            if matches!(form, Form::Decimal(_)) { digits + digits.saturating_sub(scale + 2) / 3 } else { digits }
        }
        Cell::Float(value) => value.to_string().len().min(12),
        Cell::Days(_) => match form {
            Form::Datetime => 19,
            _ => 10,
        },
        Cell::Text(text) => of_text(text.lines().next().unwrap_or_default()),
    }
}

/// A width that is neither too narrow nor too wide.
pub(crate) fn bounded(width: usize) -> f64 {
    (width + 2).clamp(NARROWEST, WIDEST) as f64
}

/// Letters of Chinese, Japanese and Korean are twice as wide as others.
fn of_text(text: &str) -> usize {
    let wide = |c: char| matches!(u32::from(c), 0x1100..=0x115F | 0x2E80..=0xA4CF | 0xAC00..=0xD7A3 | 0xF900..=0xFAFF | 0xFE30..=0xFE6F | 0xFF00..=0xFF60 | 0xFFE0..=0xFFE6 | 0x2_0000..=0x3_FFFD);
    text.chars().take(WIDEST).map(|c| if wide(c) { 2 } else { 1 }).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_follow_what_is_shown() {
        assert_eq!(of_text("订单 a"), 6);
        assert_eq!(of_cell(&Cell::Exact(123_456_789, 2), Form::Decimal(2)), "1,234,567.89".len());
        assert_eq!(of_cell(&Cell::Exact(12_345, 2), Form::Decimal(2)), "123.45".len());
        assert_eq!(of_cell(&Cell::Text("one\na longer second".into()), Form::Text), 3);
        assert!((bounded(0) - 8.0).abs() < f64::EPSILON && (bounded(1_000) - 60.0).abs() < f64::EPSILON);
    }
}
