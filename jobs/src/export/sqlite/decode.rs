//! Rows of SQLite as values. Each value has a type of its own, whatever its column declares; where the configuration
//! asks for a type, texts and numbers are read as it, exactly or not at all.

use jiff::civil::{Date, DateTime, date};
use jiff::{Timestamp, Unit};
use lovage_formats::{DecimalBuf, Type, Value};
use sqlx::sqlite::{SqliteRow, SqliteValueRef};
use sqlx::{Row as _, Sqlite, TypeInfo as _, ValueRef as _};

use crate::export::pipeline::{Decode, Recorder, Stop};

/// Turns rows into records.
pub(in crate::export) struct Decoder {
    types: Vec<Type>,
}

/// A value that is there, or one that had to be made.
enum Cell<'r> {
    Ready(Value<'r>),
    Decimal(DecimalBuf),
    Text(String),
}

impl Decoder {
    pub(super) fn new(types: Vec<Type>) -> Self {
        Self { types }
    }
}

impl Decode for Decoder {
    type Batch = Vec<SqliteRow>;

    fn decode(&mut self, batch: Vec<SqliteRow>, records: &mut Recorder) -> Result<(), Stop> {
        for row in &batch {
            let mut cells = Vec::with_capacity(self.types.len());
            for (index, ty) in self.types.iter().enumerate() {
                let value = row.try_get_raw(index).map_err(|error| records.cell(index, error.to_string()))?;
                let cell = stored(value).and_then(|value| read_as(value, *ty));
                cells.push(cell.map_err(|problem| records.cell(index, problem))?);
            }
            let values: Vec<Value<'_>> = cells.iter().map(Cell::value).collect();
            records.record(&values)?;
        }
        Ok(())
    }
}

impl Cell<'_> {
    fn value(&self) -> Value<'_> {
        match self {
            Self::Ready(value) => *value,
            Self::Decimal(number) => Value::Decimal(number.get()),
            Self::Text(text) => Value::Text(text),
        }
    }
}

/// The value as it lies in the file.
fn stored(value: SqliteValueRef<'_>) -> Result<Value<'_>, String> {
    if value.is_null() {
        return Ok(Value::Null);
    }
    let said = |error: sqlx::error::BoxDynError| error.to_string();
    let info = value.type_info();
    match info.name() {
        "INTEGER" => get(value).map(Value::Int).map_err(said),
        "REAL" => get(value).map(Value::Float64).map_err(said),
        "TEXT" => {
            let help = "the text is not valid UTF-8; export it as hex(column) or CAST(column AS BLOB)";
            get(value).map(Value::Text).map_err(|error| format!("{help} ({error})"))
        }
        _ => get(value).map(Value::Bytes).map_err(said),
    }
}

/// The value as one of the type.
fn read_as(value: Value<'_>, ty: Type) -> Result<Cell<'_>, String> {
    let wrong = || format!("holds {}, which cannot be read as {}", shown(&value), ty.name());
    let ready = |value: Option<_>| value.map(Cell::Ready).ok_or_else(wrong);
    match (ty, value) {
        (_, Value::Null)
        | (Type::Any, _)
        | (Type::Int16 | Type::Int32 | Type::Int64, Value::Int(_))
        | (Type::Float32 | Type::Float64, Value::Float64(_))
        | (Type::Text, Value::Text(_))
        | (Type::Bytes, Value::Bytes(_)) => Ok(Cell::Ready(value)),
        (Type::Text, Value::Int(number)) => Ok(Cell::Text(number.to_string())),
        (Type::Text, Value::Float64(number)) => Ok(Cell::Text(format!("{number:?}"))),
        (Type::Float32 | Type::Float64, Value::Int(number)) => ready(exact(number).map(Value::Float64)),
        (Type::Bool, Value::Int(flag @ (0 | 1))) => ready(Some(Value::Bool(flag == 1))),
        (Type::Decimal { scale, .. }, _) => decimal(&value, Some(scale)).map(Cell::Decimal).ok_or_else(wrong),
        (Type::Numeric, _) => decimal(&value, None).map(Cell::Decimal).ok_or_else(wrong),
        (Type::Date, Value::Text(text)) => ready(days(text).map(Value::Date)),
        (Type::Timestamp, Value::Text(text)) => ready(local(text).map(Value::Timestamp)),
        (Type::TimestampTz, Value::Text(text)) => ready(instant(text).map(Value::TimestampTz)),
        (Type::Time, Value::Text(text)) => ready(time(text).map(Value::Time)),
        (Type::Uuid, Value::Text(text)) => {
            ready(text.parse::<uuid::Uuid>().ok().map(|id| Value::Uuid(id.into_bytes())))
        }
        (Type::Uuid, Value::Bytes(bytes)) => ready(bytes.try_into().ok().map(Value::Uuid)),
        (Type::Json, Value::Text(text)) => {
            ready(serde_json::from_str::<serde::de::IgnoredAny>(text).ok().map(|_| Value::Json(text)))
        }
        // Of columns whose declaration only says what is usual; the format decides whether it can hold it.
        (Type::Int16 | Type::Int32 | Type::Int64 | Type::Float32 | Type::Float64 | Type::Text | Type::Bytes, _) => {
            Ok(Cell::Ready(value))
        }
        _ => Err(wrong()),
    }
}

fn get<'r, T: sqlx::Decode<'r, Sqlite>>(value: SqliteValueRef<'r>) -> Result<T, sqlx::error::BoxDynError> {
    T::decode(value)
}

fn shown(value: &Value<'_>) -> String {
    match value {
        Value::Text(text) => format!("the text {:?}", text.chars().take(40).collect::<String>()),
        Value::Int(number) => format!("the integer {number}"),
        Value::Float64(number) => format!("the float {number:?}"),
        other => other.kind().to_owned(),
    }
}

fn exact(number: i64) -> Option<f64> {
    (number.unsigned_abs() <= 1 << 53).then_some(number as f64)
}

/// The value as an exact number, with zeros up to the scale if one is given.
fn decimal(value: &Value<'_>, scale: Option<u8>) -> Option<DecimalBuf> {
    let text = match value {
        Value::Int(number) => number.to_string(),
        Value::Float64(number) if number.is_finite() => number.to_string(),
        Value::Text(text) => text.trim().to_owned(),
        _ => return None,
    };
    let Some(scale) = scale.map(usize::from) else { return DecimalBuf::parse(&text) };
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let fraction = if fraction.len() > scale { fraction.trim_end_matches('0') } else { fraction };
    if fraction.len() > scale {
        return None;
    }
    let point = if scale > 0 { "." } else { "" };
    DecimalBuf::parse(&format!("{whole}{point}{fraction:0<scale$}"))
}

fn days(text: &str) -> Option<i32> {
    let day = text.parse::<Date>().ok()?;
    date(2000, 1, 1).until((Unit::Day, day)).ok().map(|span| span.get_days())
}

fn micros(duration: jiff::SignedDuration) -> Option<i64> {
    i64::try_from(duration.as_micros()).ok()
}

/// As SQLite's own functions write it: `2024-02-29 12:00:00.123`.
fn local(text: &str) -> Option<i64> {
    let moment = text.parse::<DateTime>().ok()?;
    micros(moment.duration_since(date(2000, 1, 1).at(0, 0, 0, 0)))
}

/// With an offset, or, as SQLite's `datetime('now')` writes it, without one and in UTC.
fn instant(text: &str) -> Option<i64> {
    let Ok(instant) = text.parse::<Timestamp>() else { return local(text) };
    micros(instant.duration_since(Timestamp::from_second(946_684_800).ok()?))
}

fn time(text: &str) -> Option<i64> {
    let time = text.parse::<jiff::civil::Time>().ok()?;
    micros(time.duration_since(jiff::civil::Time::midnight()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: Value<'_>, ty: Type) -> String {
        match read_as(value, ty) {
            Ok(cell) => format!("{:?}", cell.value()),
            Err(problem) => problem,
        }
    }

    #[test]
    fn texts_and_numbers_are_read_as_what_the_configuration_asks_for() {
        let day = Value::Text("2000-01-02");
        assert_eq!(read(day, Type::Date), "Date(1)");
        assert_eq!(read(Value::Text("2000-01-01 00:00:01.5"), Type::Timestamp), "Timestamp(1500000)");
        assert_eq!(read(Value::Text("2000-01-01T08:00:00+08:00"), Type::TimestampTz), "TimestampTz(0)");
        assert_eq!(read(Value::Text("2000-01-01 00:00:00"), Type::TimestampTz), "TimestampTz(0)");
        assert_eq!(read(Value::Text("00:00:01"), Type::Time), "Time(1000000)");
        assert_eq!(read(Value::Int(1), Type::Bool), "Bool(true)");
        assert_eq!(read(Value::Int(9_007_199_254_740_993), Type::Text), "Text(\"9007199254740993\")");
        let decimal = Type::Decimal { precision: 18, scale: 2 };
        let Ok(cell) = read_as(Value::Text("-12.50"), decimal) else { panic!("a decimal") };
        let Value::Decimal(number) = cell.value() else { panic!("a decimal") };
        assert_eq!(number.scaled(2), Some(-1250));
    }

    #[test]
    fn what_cannot_be_read_exactly_is_named() {
        assert_eq!(read(Value::Text("soon"), Type::Date), "holds the text \"soon\", which cannot be read as date");
        let lost = read(Value::Int(9_007_199_254_740_993), Type::Float64);
        assert_eq!(lost, "holds the integer 9007199254740993, which cannot be read as float64");
        let decimal = Type::Decimal { precision: 18, scale: 2 };
        assert!(read(Value::Text("12.505"), decimal).contains("which cannot be read as decimal(18,2)"));
        assert!(read_as(Value::Text("12.500"), decimal).is_ok());
        assert!(read(Value::Text("{oops"), Type::Json).contains("cannot be read as json"));
        assert!(read(Value::Float64(1.5), Type::Bool).contains("cannot be read as boolean"));
    }
}
