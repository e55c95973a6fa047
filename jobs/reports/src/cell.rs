//! A value of polars as what a spreadsheet can hold without changing it.
//!
//! A spreadsheet's number is a double: 15 digits are safe. Whole numbers and decimals with more become text, because a
//! silently changed account number is worse than one that does not add up. Times count days since 1900; the first two
//! months of that year are miscounted by every spreadsheet, so older dates are text, too.

use std::borrow::Cow;
use std::fmt::Write as _;

use polars::prelude::{AnyValue, DataType, TimeUnit};

/// The first number that a double need not hold exactly to the last digit, by the rule of 15 digits.
const TOO_LONG: u128 = 1_000_000_000_000_000;
/// Days from 1899-12-30, the zero of spreadsheets after February 1900, to 1970-01-01.
const EPOCH: f64 = 25_569.0;
/// 1900-03-01 and 10000-01-01: what lies between is a date for a spreadsheet.
const DATES: std::ops::Range<f64> = 61.0..2_958_466.0;
/// Most characters of a cell, in UTF-16 units.
pub(crate) const MOST_CHARACTERS: usize = 32_767;

/// What a cell holds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Cell<'a> {
    Empty,
    Bool(bool),
    /// A number with so many digits after the point.
    Exact(i128, usize),
    Float(f64),
    /// Days since the spreadsheet's zero.
    Days(f64),
    Text(Cow<'a, str>),
}

/// How a column is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Text,
    Bool,
    Whole,
    /// With so many digits after the point.
    Decimal(usize),
    Float,
    Date,
    Datetime,
    Time,
}

impl Form {
    /// The form of a column of this type.
    pub fn of(dtype: &DataType) -> Self {
        match dtype {
            DataType::Boolean => Self::Bool,
            DataType::Decimal(_, scale) => Self::Decimal(*scale),
            DataType::Date => Self::Date,
            DataType::Datetime(..) => Self::Datetime,
            DataType::Time => Self::Time,
            other if other.is_integer() => Self::Whole,
            other if other.is_float() => Self::Float,
            _ => Self::Text,
        }
    }

    /// Whether it adds up.
    pub fn is_number(self) -> bool {
        matches!(self, Self::Whole | Self::Decimal(_) | Self::Float)
    }
}

/// Reads a value. Times with a zone must have been made local before.
pub(crate) fn cell(value: AnyValue<'_>) -> Cell<'_> {
    match value {
        AnyValue::Null => Cell::Empty,
        AnyValue::Boolean(value) => Cell::Bool(value),
        AnyValue::String(text) => Cell::Text(Cow::Borrowed(text)),
        AnyValue::StringOwned(text) => Cell::Text(Cow::Owned(text.to_string())),
        AnyValue::Decimal(value, _, scale) => Cell::Exact(value, scale),
        AnyValue::Float32(value) => float(f64::from(value)),
        AnyValue::Float64(value) => float(value),
        AnyValue::Date(days) => day(f64::from(days) + EPOCH, &value),
        AnyValue::Datetime(time, unit, _) | AnyValue::DatetimeOwned(time, unit, _) => {
            day(days(time, unit) + EPOCH, &value)
        }
        AnyValue::Time(nanoseconds) => Cell::Days(days(nanoseconds, TimeUnit::Nanoseconds)),
        AnyValue::Binary(bytes) => Cell::Text(Cow::Owned(hex(bytes))),
        AnyValue::BinaryOwned(bytes) => Cell::Text(Cow::Owned(hex(&bytes))),
        other => match other.get_str() {
            Some(text) => Cell::Text(Cow::Owned(text.to_owned())),
            None if other.is_integer() => other.extract::<i128>().map_or(Cell::Empty, |value| Cell::Exact(value, 0)),
            // Lists and structures, as polars writes them.
            None => Cell::Text(Cow::Owned(other.to_string())),
        },
    }
}

fn float(value: f64) -> Cell<'static> {
    if value.is_finite() { Cell::Float(value) } else { Cell::Text(Cow::Owned(value.to_string())) }
}

fn day(days: f64, value: &AnyValue<'_>) -> Cell<'static> {
    if DATES.contains(&days) { Cell::Days(days) } else { Cell::Text(Cow::Owned(value.to_string())) }
}

fn days(time: i64, unit: TimeUnit) -> f64 {
    let of_a_day = match unit {
        TimeUnit::Nanoseconds => 86_400_000_000_000,
        TimeUnit::Microseconds => 86_400_000_000,
        TimeUnit::Milliseconds => 86_400_000,
    };
    // Whole days and the rest apart: together they would lose the last digits of either.
    time.div_euclid(of_a_day) as f64 + time.rem_euclid(of_a_day) as f64 / of_a_day as f64
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold("\\x".to_owned(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The double that stands for an exact number, if it has no more than 15 digits.
pub(crate) fn number(value: i128, scale: usize) -> Option<f64> {
    // Both are exact below 2^53 and 10^22, so one division rounds once: the nearest double.
    (value.unsigned_abs() < TOO_LONG && scale <= 22).then(|| value as f64 / 10_f64.powi(scale as i32))
}

/// An exact number in digits.
pub(crate) fn digits(value: i128, scale: usize) -> String {
    let sign = if value < 0 { "-" } else { "" };
    let all = format!("{:0>width$}", value.unsigned_abs(), width = scale + 1);
    let (whole, rest) = all.split_at(all.len() - scale);
    if scale == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{rest}") }
}

/// The text as far as a cell holds it, and whether that is less than all.
pub(crate) fn cut(text: &str) -> (&str, bool) {
    if text.len() <= MOST_CHARACTERS {
        return (text, false);
    }
    let mut units = 0;
    for (at, c) in text.char_indices() {
        units += c.len_utf16();
        if units > MOST_CHARACTERS {
            return (&text[..at], true);
        }
    }
    (text, false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fifteen_digits_are_a_number_and_sixteen_are_text() {
        assert_eq!(number(999_999_999_999_999, 2), Some(9_999_999_999_999.99));
        assert_eq!(number(-123_456, 2), Some(-1_234.56));
        assert_eq!(number(10, 2), Some(0.1));
        assert_eq!(number(1_000_000_000_000_000, 2), None);
        assert_eq!(number(i128::MIN, 0), None);
        assert_eq!(number(1, 23), None);
    }

    #[test]
    fn exact_numbers_are_written_with_all_their_digits() {
        assert_eq!(digits(-5, 2), "-0.05");
        assert_eq!(digits(12_345, 0), "12345");
        assert_eq!(digits(0, 3), "0.000");
        assert_eq!(digits(99_999_999_999_999_999_999_999_999_999_999_999_999, 38).len(), 40);
    }

    #[test]
    fn dates_that_a_spreadsheet_miscounts_are_text() {
        assert_eq!(cell(AnyValue::Date(0)), Cell::Days(25_569.0));
        assert_eq!(cell(AnyValue::Date(-25_508)), Cell::Days(61.0));
        assert_eq!(cell(AnyValue::Date(-25_509)), Cell::Text("1900-02-28".into()));
        let noon = AnyValue::Datetime(-43_200_000, TimeUnit::Milliseconds, None);
        assert_eq!(cell(noon), Cell::Days(25_568.5));
        assert_eq!(cell(AnyValue::Float64(f64::NAN)), Cell::Text("NaN".into()));
        assert_eq!(cell(AnyValue::UInt64(u64::MAX)), Cell::Exact(i128::from(u64::MAX), 0));
        assert_eq!(cell(AnyValue::Binary(&[0, 255])), Cell::Text("\\x00ff".into()));
    }

    #[test]
    fn long_text_is_cut_between_characters() {
        let long = "单".repeat(MOST_CHARACTERS + 1);
        assert_eq!(cut(&long).0.chars().count(), MOST_CHARACTERS);
        assert_eq!(cut(&long[..3 * MOST_CHARACTERS]), (&long[..3 * MOST_CHARACTERS], false));
        let pairs = "𠮷".repeat(MOST_CHARACTERS);
        assert_eq!(cut(&pairs).0.encode_utf16().count(), MOST_CHARACTERS - 1);
    }
}
