//! Workbooks, written as a stream: bytes leave with the first records, and memory does not grow with their number.
//!
//! A workbook is a zip archive of XML parts. Those that are always the same stand first, then the sheets, then those that
//! name the sheets, whose number is only known at the end; readers find parts by the archive's directory. Widths of columns
//! stand in front of a sheet's rows, so the first records wait until there are enough of them to tell.
//!
//! Data is changed where a spreadsheet cannot hold it, and each such change is counted in the summary: see [`row`] for
//! numbers and times, [`text`] for texts. Texts are never run as formulas, whatever they begin with.

mod archive;
mod name;
mod part;
mod row;
mod serial;
mod style;
#[cfg(test)]
mod tests;
mod text;
mod width;

use lovage_core::Invalid;

use self::archive::Archive;
use self::part::Sheet;
use self::row::Rows;
use self::width::Widths;
use crate::encoder::{Encoder, Options, Output, Summary};
use crate::error::EncodeError;
use crate::schema::Column;
use crate::value::Value;

/// Bytes that are collected before they are compressed.
const FULL: usize = 64 * 1024;
/// Records that tell the widths of columns, and the bytes of rows at which fewer have to do.
const SAMPLE: usize = 200;
const SAMPLE_BYTES: usize = 256 * 1024;
const MOST_COLUMNS: usize = 16_384;

/// What a workbook holds at most.
#[derive(Debug, Clone, Copy)]
struct Limits {
    /// Rows of a sheet, its header included.
    rows: u32,
    /// Bytes of a sheet's XML, after which no further record is put on it: with any record it stays below 4 GiB.
    bytes: u64,
    /// Sheets. More than sixteen million records are no use to whoever opens them in a spreadsheet.
    sheets: usize,
    /// Bytes of the archive, after which there is no further record.
    archive: u64,
}

const LIMITS: Limits = Limits { rows: 1_048_576, bytes: 3 << 30, sheets: 16, archive: 4_000_000_000 };

/// Writes a workbook.
pub(crate) struct Xlsx {
    archive: Archive,
    rows: Rows,
    names: Vec<String>,
    widths: Widths,
    limits: Limits,
    /// The letters of the last column.
    last_column: Option<String>,
    /// Those that were begun; the last is under way.
    sheets: Vec<Sheet>,
    buffer: Vec<u8>,
    /// Bytes of the sheet that were compressed.
    compressed: u64,
    /// Whether the sheet's part was begun: the first waits for the sample.
    begun: bool,
}

impl Xlsx {
    pub(crate) fn new(columns: &[Column], options: &Options, out: Output) -> Result<Self, EncodeError> {
        Self::with_limits(columns, options, out, LIMITS)
    }

    fn with_limits(columns: &[Column], options: &Options, out: Output, limits: Limits) -> Result<Self, EncodeError> {
        name::check(&options.sheet)?;
        if columns.len() > MOST_COLUMNS {
            let problem = format!("are {}", columns.len());
            return Err(Invalid::new("columns", problem, "a sheet has at most 16,384: select fewer, or use csv").into());
        }
        let names: Vec<String> = columns.iter().map(|column| column.title(&options.zone)).collect();
        let mut archive = Archive::new(out);
        archive.part("_rels/.rels", part::root())?;
        archive.part("docProps/app.xml", part::properties())?;
        archive.part("xl/styles.xml", style::sheet())?;
        let mut xlsx = Self {
            archive,
            rows: Rows::new(columns, options.zone.clone()),
            widths: Widths::new(columns, &names),
            names,
            limits,
            last_column: columns.len().checked_sub(1).map(name::letters),
            sheets: Vec::new(),
            buffer: Vec::with_capacity(SAMPLE_BYTES),
            compressed: 0,
            begun: false,
        };
        xlsx.add_sheet(options.sheet.clone());
        Ok(xlsx)
    }

    fn add_sheet(&mut self, name: String) {
        self.sheets.push(Sheet { name, rows: 1 });
        self.rows.header(&mut self.buffer, &self.names);
        self.compressed = 0;
        self.begun = false;
    }

    /// Writes what stands in front of the rows, and the rows that waited for it.
    fn begin(&mut self) -> Result<(), EncodeError> {
        self.archive.begin(&format!("xl/worksheets/sheet{}.xml", self.sheets.len()))?;
        let mut head = Vec::new();
        part::push_sheet_head(&mut head, self.sheets.len() == 1);
        self.widths.push(&mut head);
        head.extend_from_slice(b"<sheetData>");
        self.archive.write(&head)?;
        self.begun = true;
        self.flush()
    }

    fn flush(&mut self) -> Result<(), EncodeError> {
        self.archive.write(&self.buffer)?;
        self.compressed += self.buffer.len() as u64;
        self.buffer.clear();
        if self.archive.written() > self.limits.archive {
            return Err(too_much("more than 4 GB"));
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), EncodeError> {
        if !self.begun {
            self.begin()?;
        }
        self.buffer.extend_from_slice(b"</sheetData>");
        let rows = self.sheets.last().map_or(1, |sheet| sheet.rows);
        part::push_sheet_tail(&mut self.buffer, self.last_column.as_deref(), rows);
        self.flush()
    }

    /// The number of the next record's row, on a further sheet if this one is full.
    fn next_row(&mut self) -> Result<u32, EncodeError> {
        let filled = self.sheets.last().map_or(1, |sheet| sheet.rows);
        if filled >= self.limits.rows || self.compressed > self.limits.bytes {
            if self.sheets.len() >= self.limits.sheets {
                return Err(too_much(&format!("more than {} sheets", self.limits.sheets)));
            }
            self.end()?;
            let names: Vec<String> = self.sheets.iter().map(|sheet| sheet.name.clone()).collect();
            self.add_sheet(name::next(&names));
            // Its widths are those of the first.
            self.begin()?;
        }
        Ok(self.sheets.last_mut().map_or(1, |sheet| {
            sheet.rows += 1;
            sheet.rows
        }))
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.sheets.len() > 1 {
            notes.push(format!("the records stand on {} sheets, because they do not fit one", self.sheets.len()));
        }
        if self.rows.cut > 0 {
            let cut = self.rows.cut;
            notes.push(format!("{cut} texts were cut to the 32,767 characters that a cell holds"));
        }
        if self.rows.kept > 0 {
            let kept = self.rows.kept;
            notes.push(format!(
                "{kept} numbers and times are kept as text, because a spreadsheet would change them: it holds 15 digits, \
                 and dates from March 1900 to 9999"
            ));
        }
        notes
    }
}

impl Encoder for Xlsx {
    fn record(&mut self, values: &[Value<'_>]) -> Result<(), EncodeError> {
        let row = self.next_row()?;
        self.rows.push(&mut self.buffer, row, values);
        if self.begun {
            return if self.buffer.len() >= FULL { self.flush() } else { Ok(()) };
        }
        self.widths.add(values);
        let enough = self.widths.records() >= SAMPLE || self.buffer.len() >= SAMPLE_BYTES;
        if enough { self.begin() } else { Ok(()) }
    }

    fn finish(mut self: Box<Self>) -> Result<Summary, EncodeError> {
        self.end()?;
        let last_column = self.last_column.as_deref();
        self.archive.part("xl/workbook.xml", part::workbook(&self.sheets, last_column))?;
        self.archive.part("xl/_rels/workbook.xml.rels", part::relations(self.sheets.len()))?;
        self.archive.part("[Content_Types].xml", part::types(self.sheets.len()))?;
        let notes = self.notes();
        self.archive.finish()?;
        Ok(Summary { notes })
    }
}

fn too_much(what: &str) -> EncodeError {
    let problem = format!("xlsx would need {what}");
    Invalid::new("format", problem, "select fewer records, or use csv or parquet").into()
}
