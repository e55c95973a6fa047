//! Widths of columns, which stand in front of a sheet's records and so are taken from the first of them.

use jiff::tz::TimeZone;

use crate::schema::{Column, Type};
use crate::text;
use crate::value::Value;

/// Wider columns are harder to read than cut texts.
const WIDEST: usize = 60;
const NARROWEST: usize = 8;
/// Room for the filter's button next to a column's name.
const BUTTON: usize = 3;
const DATE: &str = "2024-02-29";
const MOMENT: &str = "2024-02-29 12:00:00.000";

/// Collects how wide the columns have to be, in digits.
pub(super) struct Widths {
    widest: Vec<usize>,
    records: usize,
    scratch: Vec<u8>,
}

impl Widths {
    /// What the columns need before anything is known of their values.
    pub(super) fn new(columns: &[Column], names: &[String]) -> Self {
        let widest = columns.iter().zip(names).map(|(column, name)| least(column.ty).max(shown(name) + BUTTON));
        Self { widest: widest.collect(), records: 0, scratch: Vec::new() }
    }

    /// Looks at a record.
    pub(super) fn add(&mut self, values: &[Value<'_>]) {
        self.records += 1;
        for (widest, value) in self.widest.iter_mut().zip(values) {
            let width = match *value {
                Value::Text(text) | Value::Json(text) => shown(text),
                // As many bytes as make the widest column.
                Value::Bytes(bytes) => 2 * bytes.len().min(WIDEST / 2),
                Value::Bool(_) => "FALSE".len(),
                Value::Date(_) => DATE.len(),
                Value::Time(_) | Value::Timestamp(_) | Value::TimestampTz(_) => MOMENT.len(),
                ref value => {
                    self.scratch.clear();
                    text::push(&mut self.scratch, value, &TimeZone::UTC);
                    self.scratch.len()
                }
            };
            *widest = width.max(*widest);
        }
    }

    /// How many records were looked at.
    pub(super) fn records(&self) -> usize {
        self.records
    }

    /// Adds the element that holds them.
    pub(super) fn push(&self, out: &mut Vec<u8>) {
        if self.widest.is_empty() {
            return;
        }
        out.extend_from_slice(b"<cols>");
        for (index, widest) in self.widest.iter().enumerate() {
            // Room on both sides of the text.
            let (column, width) = (index + 1, (*widest).clamp(NARROWEST, WIDEST) + 2);
            out.extend_from_slice(
                format!(r#"<col min="{column}" max="{column}" width="{width}" customWidth="1"/>"#).as_bytes(),
            );
        }
        out.extend_from_slice(b"</cols>");
    }
}

/// A number or a date that does not fit is shown as `####`, so these have room for more than the sample has.
fn least(ty: Type) -> usize {
    match ty {
        Type::Int32 | Type::Int64 | Type::Float32 | Type::Float64 | Type::Date => DATE.len(),
        Type::Decimal { .. } | Type::Numeric => "1234567890.00".len(),
        Type::Timestamp | Type::TimestampTz => MOMENT.len(),
        _ => NARROWEST,
    }
}

/// How wide a text is, in digits. Only its first line counts.
fn shown(text: &str) -> usize {
    let line = text.chars().take_while(|c| !matches!(c, '\n' | '\r'));
    line.take(WIDEST).map(|c| if is_wide(c) { 2 } else { 1 }).sum()
}

/// Whether a character is as wide as two digits: those of Chinese, Japanese and Korean, and pictures.
fn is_wide(c: char) -> bool {
    matches!(c, '\u{1100}'..='\u{115f}' | '\u{2e80}'..='\u{a4cf}' | '\u{ac00}'..='\u{d7a3}' | '\u{f900}'..='\u{faff}'
        | '\u{fe30}'..='\u{fe6f}' | '\u{ff00}'..='\u{ff60}' | '\u{ffe0}'..='\u{ffe6}' | '\u{1f300}'..='\u{1faff}'
        | '\u{20000}'..='\u{3fffd}')
}
