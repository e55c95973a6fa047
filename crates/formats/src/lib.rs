//! Rows to bytes: the file formats that exports are written in.
//!
//! In the walk of a job this is the encoder between a source and the artifact store. A source describes its columns
//! once, as [`Column`]s, and hands over records of [`Value`]s; [`encoder()`] answers an [`Encoder`] that writes them to
//! any `Write` with memory that does not grow with the number of records.
//!
//! Nothing here is async, knows a database or reads a clock, so a format is tested as a function from values to bytes.

mod civil;
mod columnar;
mod csv;
mod decimal;
mod encoder;
mod error;
mod json;
mod lines;
mod pack;
mod schema;
mod text;
mod value;
mod xlsx;

pub use decimal::{Decimal, DecimalBuf};
pub use encoder::{Compression, Encoder, Format, Options, Summary, encoder};
pub use error::EncodeError;
pub use schema::{Column, Type};
pub use value::{DAY_INFINITY, DAY_NEG_INFINITY, MICROS_INFINITY, MICROS_NEG_INFINITY, Value};
