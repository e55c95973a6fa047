//! The builder of one column, and which values it takes.

use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_array::builder::{
    BinaryBuilder, BooleanBuilder, Date32Builder, Decimal128Builder, FixedSizeBinaryBuilder, Float32Builder,
    Float64Builder, Int16Builder, Int32Builder, Int64Builder, StringBuilder, Time64MicrosecondBuilder,
    TimestampMicrosecondBuilder,
};
use jiff::tz::TimeZone;

use super::layout;
use crate::schema::Type;
use crate::text;
use crate::value::{DAY_INFINITY, DAY_NEG_INFINITY, MICROS_INFINITY, MICROS_NEG_INFINITY, Value};
use crate::{Decimal, civil};

/// Days from 1970 to 2000.
const DAYS_TO_2000: i32 = 10_957;
/// Microseconds from 1970 to 2000.
const MICROS_TO_2000: i64 = DAYS_TO_2000 as i64 * civil::DAY;
/// The longest text or bytes of one value: together with a batch they stay below the 2 GiB that Arrow's offsets reach.
const LONGEST: usize = 1 << 30;

/// Values of one column in one batch.
pub(super) enum Store {
    Bool(BooleanBuilder),
    Int16(Int16Builder),
    Int32(Int32Builder),
    Int64(Int64Builder),
    Float32(Float32Builder),
    Float64(Float64Builder),
    Decimal(Decimal128Builder, Scale),
    Text(StringBuilder),
    /// Values that have no type of their own in the file, as text; the second is where it is put together.
    AsText(StringBuilder, Vec<u8>),
    Bytes(BinaryBuilder),
    Date(Date32Builder),
    Time(Time64MicrosecondBuilder),
    Timestamp(TimestampMicrosecondBuilder),
    Uuid(FixedSizeBinaryBuilder),
}

/// What a decimal column holds.
pub(super) struct Scale {
    scale: u8,
    /// The first number that has too many digits.
    limit: u128,
}

impl Store {
    /// An empty one with room for `rows` values, and for `bytes` of their texts.
    pub(super) fn new(ty: Type, rows: usize, bytes: usize) -> Self {
        match ty {
            Type::Bool => Self::Bool(BooleanBuilder::with_capacity(rows)),
            Type::Int16 => Self::Int16(Int16Builder::with_capacity(rows)),
            Type::Int32 => Self::Int32(Int32Builder::with_capacity(rows)),
            Type::Int64 => Self::Int64(Int64Builder::with_capacity(rows)),
            Type::Float32 => Self::Float32(Float32Builder::with_capacity(rows)),
            Type::Float64 => Self::Float64(Float64Builder::with_capacity(rows)),
            Type::Decimal { precision, scale } => {
                let data = arrow_schema::DataType::Decimal128(precision, scale as i8);
                let builder = Decimal128Builder::with_capacity(rows).with_data_type(data);
                Self::Decimal(builder, Scale { scale, limit: 10_u128.saturating_pow(precision.into()) })
            }
            Type::Text | Type::Json => Self::Text(StringBuilder::with_capacity(rows, bytes)),
            Type::Numeric | Type::Any => Self::AsText(StringBuilder::with_capacity(rows, bytes), Vec::new()),
            Type::Bytes => Self::Bytes(BinaryBuilder::with_capacity(rows, bytes)),
            Type::Date => Self::Date(Date32Builder::with_capacity(rows)),
            Type::Time => Self::Time(Time64MicrosecondBuilder::with_capacity(rows)),
            Type::Timestamp => Self::Timestamp(TimestampMicrosecondBuilder::with_capacity(rows)),
            Type::TimestampTz => Self::Timestamp(TimestampMicrosecondBuilder::with_capacity(rows).with_timezone("UTC")),
            Type::Uuid => Self::Uuid(FixedSizeBinaryBuilder::with_capacity(rows, 16)),
        }
    }

    /// Adds a value; answers the bytes that it takes, or what is wrong with it and what would help.
    pub(super) fn push(&mut self, value: &Value<'_>, ty: Type, zone: &TimeZone) -> Result<usize, String> {
        let mut bytes = layout::width(ty);
        match (self, *value) {
            (store, Value::Null) => store.push_null(),
            (Self::Bool(builder), Value::Bool(value)) => builder.append_value(value),
            (Self::Int16(builder), Value::Int(number)) => builder.append_value(whole(number, ty)?),
            (Self::Int32(builder), Value::Int(number)) => builder.append_value(whole(number, ty)?),
            (Self::Int64(builder), Value::Int(number)) => builder.append_value(number),
            (Self::Float32(builder), Value::Float32(number)) => builder.append_value(number),
            (Self::Float64(builder), Value::Float64(number)) => builder.append_value(number),
            (Self::Decimal(builder, scale), Value::Decimal(number)) => builder.append_value(scale.scaled(number, ty)?),
            (Self::Text(builder), Value::Text(text)) if ty == Type::Text => bytes += push_text(builder, text)?,
            (Self::Text(builder), Value::Json(text)) if ty == Type::Json => bytes += push_text(builder, text)?,
            (Self::AsText(builder, _), Value::Text(text) | Value::Json(text)) if ty == Type::Any => {
                bytes += push_text(builder, text)?;
            }
            (Self::AsText(builder, buffer), ref value) if ty == Type::Any || matches!(value, Value::Decimal(_)) => {
                buffer.clear();
                text::push(buffer, value, zone);
                bytes += push_text(builder, str::from_utf8(buffer).map_err(|error| error.to_string())?)?;
            }
            (Self::Bytes(builder), Value::Bytes(value)) => {
                builder.append_value(short(value)?);
                bytes += value.len();
            }
            (Self::Date(builder), Value::Date(days)) => builder.append_value(date(days)?),
            (Self::Time(builder), Value::Time(micros)) => builder.append_value(time(micros)?),
            (Self::Timestamp(builder), Value::Timestamp(micros)) if ty == Type::Timestamp => {
                builder.append_value(instant(micros)?);
            }
            (Self::Timestamp(builder), Value::TimestampTz(micros)) if ty == Type::TimestampTz => {
                builder.append_value(instant(micros)?);
            }
            (Self::Uuid(builder), Value::Uuid(uuid)) => {
                builder.append_value(uuid).map_err(|error| error.to_string())?;
            }
            (_, other) => {
                let help = "cast the column in the query to one type, e.g. to text";
                return Err(format!("is {} in a column of type {}; {help}", other.kind(), ty.name()));
            }
        }
        Ok(bytes)
    }

    fn push_null(&mut self) {
        match self {
            Self::Bool(builder) => builder.append_null(),
            Self::Int16(builder) => builder.append_null(),
            Self::Int32(builder) => builder.append_null(),
            Self::Int64(builder) => builder.append_null(),
            Self::Float32(builder) => builder.append_null(),
            Self::Float64(builder) => builder.append_null(),
            Self::Decimal(builder, _) => builder.append_null(),
            Self::Text(builder) | Self::AsText(builder, _) => builder.append_null(),
            Self::Bytes(builder) => builder.append_null(),
            Self::Date(builder) => builder.append_null(),
            Self::Time(builder) => builder.append_null(),
            Self::Timestamp(builder) => builder.append_null(),
            Self::Uuid(builder) => builder.append_null(),
        }
    }

    /// Bytes of the texts so far.
    pub(super) fn text_bytes(&self) -> usize {
        match self {
            Self::Text(builder) | Self::AsText(builder, _) => builder.values_slice().len(),
            Self::Bytes(builder) => builder.values_slice().len(),
            _ => 0,
        }
    }

    /// The values as an array.
    pub(super) fn finish(self) -> ArrayRef {
        match self {
            Self::Bool(mut builder) => Arc::new(builder.finish()),
            Self::Int16(mut builder) => Arc::new(builder.finish()),
            Self::Int32(mut builder) => Arc::new(builder.finish()),
            Self::Int64(mut builder) => Arc::new(builder.finish()),
            Self::Float32(mut builder) => Arc::new(builder.finish()),
            Self::Float64(mut builder) => Arc::new(builder.finish()),
            Self::Decimal(mut builder, _) => Arc::new(builder.finish()),
            Self::Text(mut builder) | Self::AsText(mut builder, _) => Arc::new(builder.finish()),
            Self::Bytes(mut builder) => Arc::new(builder.finish()),
            Self::Date(mut builder) => Arc::new(builder.finish()),
            Self::Time(mut builder) => Arc::new(builder.finish()),
            Self::Timestamp(mut builder) => Arc::new(builder.finish()),
            Self::Uuid(mut builder) => Arc::new(builder.finish()),
        }
    }
}

impl Scale {
    fn scaled(&self, number: Decimal<'_>, ty: Type) -> Result<i128, String> {
        number.scaled(self.scale).filter(|scaled| scaled.unsigned_abs() < self.limit).ok_or_else(|| {
            let mut digits = Vec::new();
            number.write(&mut digits);
            let digits = String::from_utf8_lossy(&digits);
            format!("is {digits}, which {} cannot hold; cast the column in the query, e.g. to text", ty.name())
        })
    }
}

fn whole<N: TryFrom<i64>>(number: i64, ty: Type) -> Result<N, String> {
    N::try_from(number)
        .map_err(|_| format!("is {number}, which {} cannot hold; cast the column in the query to bigint", ty.name()))
}

fn short(bytes: &[u8]) -> Result<&[u8], String> {
    if bytes.len() <= LONGEST {
        return Ok(bytes);
    }
    Err(format!("has {} bytes, and this format takes 1 GiB in a value; use csv", bytes.len()))
}

fn push_text(builder: &mut StringBuilder, text: &str) -> Result<usize, String> {
    short(text.as_bytes())?;
    builder.append_value(text);
    Ok(text.len())
}

fn date(days: i32) -> Result<i32, String> {
    let finite = !matches!(days, DAY_INFINITY | DAY_NEG_INFINITY);
    let since_1970 = finite.then(|| days.checked_add(DAYS_TO_2000)).flatten();
    since_1970.ok_or_else(|| out_of_calendar(&Value::Date(days)))
}

fn time(micros: i64) -> Result<i64, String> {
    if (0..civil::DAY).contains(&micros) {
        return Ok(micros);
    }
    let help = "this format's day ends before it; cast the column in the query to text";
    Err(format!("is {}, and {help}", shown(&Value::Time(micros))))
}

fn instant(micros: i64) -> Result<i64, String> {
    let finite = !matches!(micros, MICROS_INFINITY | MICROS_NEG_INFINITY);
    let since_1970 = finite.then(|| micros.checked_add(MICROS_TO_2000)).flatten();
    since_1970.ok_or_else(|| out_of_calendar(&Value::Timestamp(micros)))
}

fn out_of_calendar(value: &Value<'_>) -> String {
    let help = "turn it into null or cast the column to text in the query";
    format!("is {}, which this format cannot hold; {help}", shown(value))
}

fn shown(value: &Value<'_>) -> String {
    let mut out = Vec::new();
    text::push(&mut out, value, &TimeZone::UTC);
    String::from_utf8_lossy(&out).into_owned()
}
