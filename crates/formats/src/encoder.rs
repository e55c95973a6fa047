//! The encoder as everybody uses it, and the choice of one.

use std::fmt;
use std::io::Write;
use std::str::FromStr;

use jiff::tz::TimeZone;
use lovage_core::Invalid;

use crate::{Column, EncodeError, Value, csv, json};

/// Where encoded bytes go.
pub(crate) type Output = Box<dyn Write + Send>;

/// Writes records in one format. Its memory is bounded; it hands bytes on as it goes.
pub trait Encoder: Send {
    /// Adds a record: one value for each column, in their order.
    fn record(&mut self, values: &[Value<'_>]) -> Result<(), EncodeError>;

    /// Writes what is left. Without it the file is not complete.
    fn finish(self: Box<Self>) -> Result<Summary, EncodeError>;
}

/// What is to be known about a finished file beyond its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Summary {
    /// What was changed to fit the format, in sentences, e.g. how many texts were cut.
    pub notes: Vec<String>,
}

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// RFC 4180 in the form of Postgres' `COPY`: for programs.
    Csv,
    /// What a spreadsheet program opens well: byte order mark, CRLF, formulas defused.
    ExcelCsv,
    /// One JSON object a line.
    Jsonl,
    /// A workbook.
    Xlsx,
    /// Apache Parquet.
    Parquet,
    /// Apache Arrow's IPC file, also known as Feather.
    Arrow,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Csv, Self::ExcelCsv, Self::Jsonl, Self::Xlsx, Self::Parquet, Self::Arrow];

    /// Its name in settings and arguments.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::ExcelCsv => "excel_csv",
            Self::Jsonl => "jsonl",
            Self::Xlsx => "xlsx",
            Self::Parquet => "parquet",
            Self::Arrow => "arrow",
        }
    }

    /// The usual end of a file's name, without the dot.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Csv | Self::ExcelCsv => "csv",
            other => other.as_str(),
        }
    }

    /// The media type.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Csv | Self::ExcelCsv => "text/csv; charset=utf-8",
            Self::Jsonl => "application/jsonl",
            Self::Xlsx => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
            Self::Parquet => "application/vnd.apache.parquet",
            Self::Arrow => "application/vnd.apache.arrow.file",
        }
    }

    /// Whether it is text that compresses well; the others are compressed inside.
    pub fn is_text(self) -> bool {
        matches!(self, Self::Csv | Self::ExcelCsv | Self::Jsonl)
    }

    /// Whether it writes arrays and composites as JSON. The other way is Postgres' own literal, which `COPY` reads back.
    pub fn nests_as_json(self) -> bool {
        self != Self::Csv
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Format {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        Self::ALL.into_iter().find(|format| format.as_str() == text).ok_or_else(|| {
            let names: Vec<&str> = Self::ALL.iter().map(|format| format.as_str()).collect();
            Invalid::new("format", format!("is {text:?}"), format!("use one of: {}", names.join(", ")))
        })
    }
}

/// How a text format is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// gzip, RFC 1952.
    Gzip,
    /// Zstandard, RFC 8878.
    Zstd,
    /// A zip archive, which every desktop opens.
    Zip,
}

/// How values are written.
#[derive(Debug, Clone)]
pub struct Options {
    /// The zone in which instants are written where the format writes local times.
    pub zone: TimeZone,
    /// Between the fields of `csv` and `excel_csv`: a comma, a semicolon or a tab.
    pub delimiter: char,
    /// The name of the sheet in a workbook.
    pub sheet: String,
}

impl Default for Options {
    fn default() -> Self {
        Self { zone: TimeZone::UTC, delimiter: ',', sheet: "data".to_owned() }
    }
}

/// An encoder of `format` for records of these columns. Nothing is written to `out` after an error.
pub fn encoder(
    format: Format,
    columns: &[Column],
    options: &Options,
    out: Box<dyn Write + Send>,
) -> Result<Box<dyn Encoder>, EncodeError> {
    Ok(match format {
        Format::Csv => Box::new(csv::Csv::plain(columns, options, out)?),
        Format::ExcelCsv => Box::new(csv::Csv::excel(columns, options, out)?),
        Format::Jsonl => Box::new(json::Jsonl::new(columns, options, out)),
        Format::Xlsx | Format::Parquet | Format::Arrow => {
            return Err(Invalid::new("format", format!("{format} is not built yet"), "use csv").into());
        }
    })
}
