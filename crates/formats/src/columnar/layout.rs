//! What each type becomes in Arrow, and through it in Parquet.

use arrow_schema::extension::{Json, Uuid};
use arrow_schema::{DataType, Field, TimeUnit};
use lovage_core::Invalid;

use crate::schema::{Column, Type};

/// Digits that 128 bits hold.
const MOST_DIGITS: u8 = 38;

/// The field of a column. Every column takes nulls: a source does not always know that it has none.
pub(super) fn field(column: &Column) -> Result<Field, Invalid> {
    let data = match column.ty {
        Type::Bool => DataType::Boolean,
        Type::Int16 => DataType::Int16,
        Type::Int32 => DataType::Int32,
        Type::Int64 => DataType::Int64,
        Type::Float32 => DataType::Float32,
        Type::Float64 => DataType::Float64,
        Type::Decimal { precision, scale } => {
            if !(1..=MOST_DIGITS).contains(&precision) || scale > precision {
                let what = format!("{:?} is {}", column.name, column.ty.name());
                return Err(Invalid::new("columns", what, "declare 1 to 38 digits, at most as many behind the point"));
            }
            DataType::Decimal128(precision, scale as i8)
        }
        Type::Numeric | Type::Text | Type::Json | Type::Any => DataType::Utf8,
        Type::Bytes => DataType::Binary,
        Type::Date => DataType::Date32,
        Type::Time => DataType::Time64(TimeUnit::Microsecond),
        Type::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
        Type::TimestampTz => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        Type::Uuid => DataType::FixedSizeBinary(16),
    };
    let field = Field::new(&column.name, data, true);
    // These two are marked, so that a reader which knows them shows a UUID and not bytes, JSON and not text.
    Ok(match column.ty {
        Type::Uuid => field.with_extension_type(Uuid),
        Type::Json => field.with_extension_type(Json::default()),
        _ => field,
    })
}

/// Bytes that a value takes in a batch; of texts and bytes those of the offset.
pub(super) fn width(ty: Type) -> usize {
    match ty {
        Type::Bool => 1,
        Type::Int16 => 2,
        Type::Int64 | Type::Float64 | Type::Time | Type::Timestamp | Type::TimestampTz => 8,
        Type::Decimal { .. } | Type::Uuid => 16,
        Type::Int32 | Type::Float32 | Type::Date => 4,
        Type::Numeric | Type::Text | Type::Json | Type::Any | Type::Bytes => size_of::<i32>(),
    }
}
