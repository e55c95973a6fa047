//! What a source says about its columns before the first record.

/// A column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// What stands in the header.
    pub name: String,
    /// What its values are.
    pub ty: Type,
}

impl Column {
    /// A column.
    pub fn new(name: impl Into<String>, ty: Type) -> Self {
        Self { name: name.into(), ty }
    }
}

/// What the values of a column are. Formats with typed columns (Parquet, Arrow) are laid out by it; formats that write
/// each value by itself (CSV, JSONL, XLSX) look at the value and need it for little.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Type {
    /// [`Value::Bool`](crate::Value::Bool).
    Bool,
    /// [`Value::Int`](crate::Value::Int) that fits 16 bits.
    Int16,
    /// [`Value::Int`](crate::Value::Int) that fits 32 bits.
    Int32,
    /// [`Value::Int`](crate::Value::Int).
    Int64,
    /// [`Value::Float32`](crate::Value::Float32).
    Float32,
    /// [`Value::Float64`](crate::Value::Float64).
    Float64,
    /// [`Value::Decimal`](crate::Value::Decimal) with at most `precision` digits (1 to 38), of which `scale` (at most
    /// `precision`) stand behind the point.
    Decimal {
        /// Digits in all.
        precision: u8,
        /// Digits behind the point.
        scale: u8,
    },
    /// [`Value::Decimal`](crate::Value::Decimal) of any size: typed formats write text, because no binary type holds it.
    Numeric,
    /// [`Value::Text`](crate::Value::Text).
    Text,
    /// [`Value::Bytes`](crate::Value::Bytes).
    Bytes,
    /// [`Value::Date`](crate::Value::Date).
    Date,
    /// [`Value::Time`](crate::Value::Time).
    Time,
    /// [`Value::Timestamp`](crate::Value::Timestamp).
    Timestamp,
    /// [`Value::TimestampTz`](crate::Value::TimestampTz).
    TimestampTz,
    /// [`Value::Uuid`](crate::Value::Uuid).
    Uuid,
    /// [`Value::Json`](crate::Value::Json).
    Json,
    /// Any of them, differing from record to record, as SQLite allows: typed formats write text.
    Any,
}

impl Type {
    /// Its name as people read it, e.g. `decimal(18,2)`.
    pub fn name(self) -> String {
        let name = match self {
            Self::Bool => "boolean",
            Self::Int16 => "int16",
            Self::Int32 => "int32",
            Self::Int64 => "int64",
            Self::Float32 => "float32",
            Self::Float64 => "float64",
            Self::Decimal { precision, scale } => return format!("decimal({precision},{scale})"),
            Self::Numeric => "numeric",
            Self::Text => "text",
            Self::Bytes => "bytes",
            Self::Date => "date",
            Self::Time => "time",
            Self::Timestamp => "timestamp",
            Self::TimestampTz => "timestamptz",
            Self::Uuid => "uuid",
            Self::Json => "json",
            Self::Any => "any",
        };
        name.to_owned()
    }
}
