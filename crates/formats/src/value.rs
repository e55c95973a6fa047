//! One value of a record, borrowed from whatever the source read it into.

use crate::Decimal;

/// The date that is later than all others, as Postgres knows it.
pub const DAY_INFINITY: i32 = i32::MAX;
/// The date that is earlier than all others.
pub const DAY_NEG_INFINITY: i32 = i32::MIN;
/// The instant that is later than all others.
pub const MICROS_INFINITY: i64 = i64::MAX;
/// The instant that is earlier than all others.
pub const MICROS_NEG_INFINITY: i64 = i64::MIN;

/// One value. Times count from 2000-01-01, as Postgres counts them: from 1970 its last instants would not fit 64 bits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// No value.
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number of 32 bits; its shortest digits differ from those of the same number in 64.
    Float32(f32),
    /// A number of 64 bits.
    Float64(f64),
    /// An exact number, or not a number, or infinite.
    Decimal(Decimal<'a>),
    /// Text.
    Text(&'a str),
    /// Bytes.
    Bytes(&'a [u8]),
    /// Days since 2000-01-01; [`DAY_INFINITY`], [`DAY_NEG_INFINITY`].
    Date(i32),
    /// Microseconds since midnight, 0 to 86,400,000,000 (24:00:00) inclusive.
    Time(i64),
    /// A date and time of day without a zone: microseconds since 2000-01-01 00:00:00; [`MICROS_INFINITY`],
    /// [`MICROS_NEG_INFINITY`].
    Timestamp(i64),
    /// An instant: microseconds since 2000-01-01T00:00:00Z; [`MICROS_INFINITY`], [`MICROS_NEG_INFINITY`].
    TimestampTz(i64),
    /// A UUID's 16 bytes.
    Uuid([u8; 16]),
    /// A valid JSON text, digits and spaces as the source wrote them.
    Json(&'a str),
}

impl Value<'_> {
    /// What it is, for error texts.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Int(_) => "an integer",
            Self::Float32(_) | Self::Float64(_) => "a float",
            Self::Decimal(_) => "a decimal",
            Self::Text(_) => "a text",
            Self::Bytes(_) => "bytes",
            Self::Date(_) => "a date",
            Self::Time(_) => "a time",
            Self::Timestamp(_) => "a timestamp",
            Self::TimestampTz(_) => "a timestamp with zone",
            Self::Uuid(_) => "a UUID",
            Self::Json(_) => "JSON",
        }
    }
}
