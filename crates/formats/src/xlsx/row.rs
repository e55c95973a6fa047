//! Records as rows: the one place where a value becomes a cell, written by hand because there are millions of them.
//!
//! A spreadsheet keeps numbers as floats of 64 bits and shows fifteen digits of them. What would not survive that stays
//! text: long whole numbers (ids, above all), long exact numbers, what is not a number, and dates outside the calendar of
//! spreadsheets. A null and an empty text are both no cell at all.

use jiff::tz::TimeZone;

use super::style::Style;
use super::{name, serial, text as string};
use crate::schema::{Column, Type};
use crate::value::{MICROS_INFINITY, MICROS_NEG_INFINITY, Value};
use crate::{civil, text};

/// The least whole number of sixteen digits.
const LONG: u64 = 1_000_000_000_000_000;
const DIGITS: usize = 15;

/// Writes rows.
pub(super) struct Rows {
    lanes: Vec<Lane>,
    zone: TimeZone,
    scratch: Vec<u8>,
    /// Texts that were cut.
    pub(super) cut: u64,
    /// Numbers and times that stayed text.
    pub(super) kept: u64,
}

/// What is known of a column.
struct Lane {
    /// `<c r="AB`, which the number of the row follows.
    open: Vec<u8>,
    /// Digits behind the point that all its exact numbers show.
    scale: u16,
}

/// Where a cell goes: its column's beginning and its row's number.
#[derive(Clone, Copy)]
struct Place<'a> {
    open: &'a [u8],
    row: &'a [u8],
}

impl Rows {
    pub(super) fn new(columns: &[Column], zone: TimeZone) -> Self {
        let lane = |(index, column): (usize, &Column)| Lane {
            open: format!("<c r=\"{}", name::letters(index)).into_bytes(),
            scale: if let Type::Decimal { scale, .. } = column.ty { scale.into() } else { 0 },
        };
        Self { lanes: columns.iter().enumerate().map(lane).collect(), zone, scratch: Vec::new(), cut: 0, kept: 0 }
    }

    /// Adds the row of the columns' names.
    pub(super) fn header(&mut self, out: &mut Vec<u8>, names: &[String]) {
        out.extend_from_slice(b"<row r=\"1\">");
        for (lane, name) in self.lanes.iter().zip(names) {
            let place = Place { open: &lane.open, row: b"1" };
            place.string(out, Style::HEADER, string::fitting(name).0);
        }
        out.extend_from_slice(b"</row>");
    }

    /// Adds a record as the row of this number.
    pub(super) fn push(&mut self, out: &mut Vec<u8>, number: u32, values: &[Value<'_>]) {
        let mut digits = itoa::Buffer::new();
        let row = digits.format(number).as_bytes();
        out.extend_from_slice(b"<row r=\"");
        out.extend_from_slice(row);
        out.extend_from_slice(b"\">");
        let lanes = std::mem::take(&mut self.lanes);
        for (lane, value) in lanes.iter().zip(values) {
            self.cell(out, Place { open: &lane.open, row }, lane.scale, value);
        }
        self.lanes = lanes;
        out.extend_from_slice(b"</row>");
    }

    fn cell(&mut self, out: &mut Vec<u8>, place: Place<'_>, scale: u16, value: &Value<'_>) {
        match *value {
            Value::Null => {}
            Value::Text(text) | Value::Json(text) => self.text(out, place, text),
            Value::Bool(value) => place.boolean(out, value),
            Value::Int(number) if number.unsigned_abs() < LONG => {
                place.number(out, Style::INT, itoa::Buffer::new().format(number).as_bytes());
            }
            Value::Date(days) => match serial::day(days.into()) {
                Some(serial) => place.number(out, Style::DATE, itoa::Buffer::new().format(serial).as_bytes()),
                None => self.keep(out, place, value),
            },
            Value::Timestamp(micros) => self.moment(out, place, micros, micros),
            Value::TimestampTz(micros) => {
                self.moment(out, place, micros, text::local(micros, civil::offset(&self.zone, micros)));
            }
            Value::Time(micros) => {
                self.scratch.clear();
                let style = serial::push_time(&mut self.scratch, micros);
                place.number(out, style, &self.scratch);
            }
            Value::Decimal(number) => {
                self.scratch.clear();
                number.write(&mut self.scratch);
                if number.is_finite() && is_short(&self.scratch) {
                    place.number(out, Style::fixed(scale.max(number.scale())), &self.scratch);
                } else {
                    self.keep_scratch(out, place);
                }
            }
            Value::Float32(number) if number.is_finite() => self.float(out, place, value),
            Value::Float64(number) if number.is_finite() => self.float(out, place, value),
            Value::Int(_) | Value::Float32(_) | Value::Float64(_) => self.keep(out, place, value),
            Value::Bytes(bytes) => {
                // Two digits a byte: more of them would be cut.
                self.render(&Value::Bytes(&bytes[..bytes.len().min(usize::from(u16::MAX))]));
                let scratch = std::mem::take(&mut self.scratch);
                self.text(out, place, str::from_utf8(&scratch).unwrap_or_default());
                self.scratch = scratch;
            }
            Value::Uuid(_) => {
                self.render(value);
                place.string(out, Style::TEXT, str::from_utf8(&self.scratch).unwrap_or_default());
            }
        }
    }

    fn text(&mut self, out: &mut Vec<u8>, place: Place<'_>, text: &str) {
        let (text, cut) = string::fitting(text);
        self.cut += u64::from(cut);
        if !text.is_empty() {
            place.string(out, Style::TEXT, text);
        }
    }

    fn float(&mut self, out: &mut Vec<u8>, place: Place<'_>, value: &Value<'_>) {
        self.render(value);
        place.number(out, Style::GENERAL, &self.scratch);
    }

    fn moment(&mut self, out: &mut Vec<u8>, place: Place<'_>, micros: i64, local: i64) {
        self.scratch.clear();
        if let Some(style) = serial::push_moment(&mut self.scratch, local) {
            return place.number(out, style, &self.scratch);
        }
        // Without an offset: the header says the zone. An infinity has none.
        let infinite = matches!(micros, MICROS_INFINITY | MICROS_NEG_INFINITY);
        self.render(&Value::Timestamp(if infinite { micros } else { local }));
        self.keep_scratch(out, place);
    }

    /// Adds what a spreadsheet would change as text.
    fn keep(&mut self, out: &mut Vec<u8>, place: Place<'_>, value: &Value<'_>) {
        self.render(value);
        self.keep_scratch(out, place);
    }

    fn keep_scratch(&mut self, out: &mut Vec<u8>, place: Place<'_>) {
        self.kept += 1;
        let (text, cut) = string::fitting(str::from_utf8(&self.scratch).unwrap_or_default());
        self.cut += u64::from(cut);
        place.string(out, Style::KEPT, text);
    }

    fn render(&mut self, value: &Value<'_>) {
        self.scratch.clear();
        text::push(&mut self.scratch, value, &self.zone);
    }
}

impl Place<'_> {
    fn begin(self, out: &mut Vec<u8>, style: Style) {
        out.extend_from_slice(self.open);
        out.extend_from_slice(self.row);
        out.extend_from_slice(b"\" s=\"");
        style.push(out);
    }

    fn number(self, out: &mut Vec<u8>, style: Style, digits: &[u8]) {
        self.begin(out, style);
        out.extend_from_slice(b"\"><v>");
        out.extend_from_slice(digits);
        out.extend_from_slice(b"</v></c>");
    }

    fn boolean(self, out: &mut Vec<u8>, value: bool) {
        self.begin(out, Style::BOOL);
        out.extend_from_slice(if value { b"\" t=\"b\"><v>1</v></c>" } else { b"\" t=\"b\"><v>0</v></c>" });
    }

    fn string(self, out: &mut Vec<u8>, style: Style, text: &str) {
        self.begin(out, style);
        out.extend_from_slice(b"\" t=\"inlineStr\"><is><t");
        if string::has_outer_space(text) {
            out.extend_from_slice(b" xml:space=\"preserve\"");
        }
        out.push(b'>');
        string::push(out, text);
        out.extend_from_slice(b"</t></is></c>");
    }
}

/// Whether an exact number survives as a float: it has at most fifteen digits, zeros at either end not counted.
fn is_short(digits: &[u8]) -> bool {
    let end = if digits.contains(&b'.') {
        digits.iter().rposition(|&byte| byte != b'0').map_or(0, |last| last + 1)
    } else {
        digits.len()
    };
    let significant = digits[..end].iter().filter(|byte| byte.is_ascii_digit()).skip_while(|&&digit| digit == b'0');
    significant.count() <= DIGITS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_at_the_ends_are_no_digits_to_lose() {
        for digits in ["0", "0.00", "-0.000000000000000000001", "123456789012345", "1.50000000000000000000", "10.00"] {
            assert!(is_short(digits.as_bytes()), "{digits}");
        }
        for digits in ["1234567890123456", "1000000000000000", "-12345678901234.56", "0.1234567890123456"] {
            assert!(!is_short(digits.as_bytes()), "{digits}");
        }
    }
}
