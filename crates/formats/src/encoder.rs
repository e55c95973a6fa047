//! The encoder as everybody uses it, and the choice of one.

use std::collections::HashSet;
use std::fmt;
use std::io::Write;
use std::str::FromStr;

use jiff::tz::TimeZone;
use lovage_core::Invalid;

use crate::pack::{self, Packed};
use crate::{Column, EncodeError, Value, columnar, csv, json, xlsx};

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
            let names = Self::ALL.map(Self::as_str).join(", ");
            Invalid::new("format", format!("is {text:?}"), format!("use one of: {names}"))
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

impl Compression {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::None, Self::Gzip, Self::Zstd, Self::Zip];

    /// Its name in settings and arguments.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Zip => "zip",
        }
    }

    /// What a packed file's name ends with, without the dot.
    pub fn extension(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Gzip => Some("gz"),
            Self::Zstd => Some("zst"),
            Self::Zip => Some("zip"),
        }
    }

    /// The media type of a file of `format` that is packed in this way.
    pub fn content_type(self, format: Format) -> &'static str {
        match self {
            Self::None => format.content_type(),
            Self::Gzip => "application/gzip",
            Self::Zstd => "application/zstd",
            Self::Zip => "application/zip",
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Compression {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        Self::ALL.into_iter().find(|compression| compression.as_str() == text).ok_or_else(|| {
            let names = Self::ALL.map(Self::as_str).join(", ");
            Invalid::new("compression", format!("is {text:?}"), format!("use one of: {names}"))
        })
    }
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
    /// How the file is packed. Parquet, Arrow and workbooks are compressed inside and take none.
    pub compression: Compression,
    /// The name of the file inside a zip archive, without its extension.
    pub entry: String,
    /// Records after which a zip archive goes on with another file: `orders_1.csv`, `orders_2.csv`, each with its header.
    pub rows_per_file: Option<u64>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            zone: TimeZone::UTC,
            delimiter: ',',
            sheet: "data".to_owned(),
            compression: Compression::None,
            entry: "data".to_owned(),
            rows_per_file: None,
        }
    }
}

/// An encoder of `format` for records of these columns. Nothing is written to `out` after an error.
pub fn encoder(
    format: Format,
    columns: &[Column],
    options: &Options,
    out: Box<dyn Write + Send>,
) -> Result<Box<dyn Encoder>, EncodeError> {
    check_names(format, columns)?;
    pack::check(format, options)?;
    match options.compression {
        Compression::None => plain(format, columns, options, out),
        _ => Ok(Box::new(Packed::new(format, columns, options, out)?)),
    }
}

/// Formats that know a value by its column's name take no name twice: most readers would show only one of them.
fn check_names(format: Format, columns: &[Column]) -> Result<(), Invalid> {
    let mut seen = HashSet::new();
    let by_name = matches!(format, Format::Jsonl | Format::Parquet | Format::Arrow);
    let twice = columns.iter().find(|column| by_name && !seen.insert(column.name.as_str()));
    twice.map_or(Ok(()), |column| {
        let help = format!("name one of them otherwise in the query: {format} needs different names");
        Err(Invalid::new("columns", format!("have {:?} twice", column.name), help))
    })
}

/// An encoder whose file is not packed.
pub(crate) fn plain(
    format: Format,
    columns: &[Column],
    options: &Options,
    out: Output,
) -> Result<Box<dyn Encoder>, EncodeError> {
    Ok(match format {
        Format::Csv => Box::new(csv::Csv::plain(columns, options, out)?),
        Format::ExcelCsv => Box::new(csv::Csv::excel(columns, options, out)?),
        Format::Jsonl => Box::new(json::Jsonl::new(columns, options, out)),
        Format::Xlsx => Box::new(xlsx::Xlsx::new(columns, options, out)?),
        Format::Parquet => Box::new(columnar::Parquet::new(columns, options, out)?),
        Format::Arrow => Box::new(columnar::Arrow::new(columns, options, out)?),
    })
}
