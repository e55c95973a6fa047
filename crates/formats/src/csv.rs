//! CSV in two dialects.
//!
//! `csv` is for programs and is byte for byte what Postgres writes for `COPY … TO STDOUT (FORMAT csv, HEADER)`: RFC 4180
//! with LF, a field that contains the delimiter, a quote or a line break is quoted, NULL is an empty field, an empty text
//! is `""`. Nothing is rounded and nothing is changed, so it can be loaded again.
//!
//! `excel_csv` is for people who open it in a spreadsheet, and changes data to be safe there: a byte order mark, without
//! which Excel takes UTF-8 for the local code page; CRLF; times in the export's zone without an offset, which Excel
//! would take for text; and a `'` in front of every text that a spreadsheet would run as a formula
//! (<https://owasp.org/www-community/attacks/CSV_Injection>). Numbers are never touched.

use std::io;

use jiff::tz::TimeZone;
use lovage_core::Invalid;

use crate::encoder::{Encoder, Options, Output, Summary};
use crate::error::EncodeError;
use crate::lines::Lines;
use crate::schema::Column;
use crate::value::Value;
use crate::{civil, text};

/// Writes one of the dialects.
pub(crate) struct Csv {
    lines: Lines,
    dialect: Dialect,
    delimiter: u8,
    zone: TimeZone,
    one_column: bool,
    /// Texts that got a `'`.
    defused: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    Plain,
    Excel,
}

impl Csv {
    /// For programs.
    pub(crate) fn plain(columns: &[Column], options: &Options, out: Output) -> Result<Self, EncodeError> {
        Self::new(Dialect::Plain, columns, options, out)
    }

    /// For spreadsheets.
    pub(crate) fn excel(columns: &[Column], options: &Options, out: Output) -> Result<Self, EncodeError> {
        Self::new(Dialect::Excel, columns, options, out)
    }

    fn new(dialect: Dialect, columns: &[Column], options: &Options, out: Output) -> Result<Self, EncodeError> {
        let delimiter = match options.delimiter {
            ',' | ';' | '\t' => options.delimiter as u8,
            other => {
                let help = "use a comma, a semicolon or a tab";
                return Err(Invalid::new("delimiter", format!("is {other:?}"), help).into());
            }
        };
        let mut csv = Self {
            lines: Lines::new(out),
            dialect,
            delimiter,
            zone: options.zone.clone(),
            one_column: columns.len() == 1,
            defused: 0,
        };
        csv.header(columns)?;
        Ok(csv)
    }

    fn header(&mut self, columns: &[Column]) -> io::Result<()> {
        if self.dialect == Dialect::Excel {
            self.lines.buffer.extend_from_slice("\u{feff}".as_bytes());
        }
        for (index, column) in columns.iter().enumerate() {
            if index > 0 {
                self.lines.buffer.push(self.delimiter);
            }
            if self.dialect == Dialect::Excel {
                let name = column.title(&self.zone);
                self.push_defused(&name);
            } else {
                push_quoted(&mut self.lines.buffer, column.name.as_bytes(), self.delimiter, self.one_column);
            }
        }
        // Only texts of records are counted.
        self.defused = 0;
        self.end_record()
    }

    fn end_record(&mut self) -> io::Result<()> {
        self.lines.end(if self.dialect == Dialect::Excel { b"\r\n" } else { b"\n" })
    }

    fn push_plain(&mut self, value: &Value<'_>) {
        match value {
            Value::Text(text) | Value::Json(text) => {
                push_quoted(&mut self.lines.buffer, text.as_bytes(), self.delimiter, self.one_column);
            }
            // No other value's text is empty or holds a mark.
            value => text::push(&mut self.lines.buffer, value, &self.zone),
        }
    }

    fn push_excel(&mut self, value: &Value<'_>) {
        match *value {
            Value::Text(text) | Value::Json(text) => self.push_defused(text),
            Value::Bool(value) => self.lines.buffer.extend_from_slice(if value { b"TRUE" } else { b"FALSE" }),
            Value::Timestamp(micros) => self.push_moment(micros, micros),
            Value::TimestampTz(micros) => {
                self.push_moment(micros, text::local(micros, civil::offset(&self.zone, micros)));
            }
            ref value => text::push(&mut self.lines.buffer, value, &self.zone),
        }
    }

    fn push_moment(&mut self, micros: i64, local: i64) {
        if !civil::push_infinite_instant(&mut self.lines.buffer, micros) {
            // Excel keeps milliseconds; more digits make it take the cell for a text.
            let before_christ = text::push_moment(&mut self.lines.buffer, local, b' ', 3);
            text::push_era(&mut self.lines.buffer, before_christ);
        }
    }

    fn push_defused(&mut self, text: &str) {
        let defused = defused(text);
        self.defused += u64::from(defused.is_some());
        push_quoted(&mut self.lines.buffer, defused.as_deref().unwrap_or(text).as_bytes(), self.delimiter, false);
    }
}

impl Encoder for Csv {
    fn record(&mut self, values: &[Value<'_>]) -> Result<(), EncodeError> {
        for (index, value) in values.iter().enumerate() {
            if index > 0 {
                self.lines.buffer.push(self.delimiter);
            }
            match self.dialect {
                Dialect::Plain => self.push_plain(value),
                Dialect::Excel => self.push_excel(value),
            }
        }
        Ok(self.end_record()?)
    }

    fn finish(mut self: Box<Self>) -> Result<Summary, EncodeError> {
        self.lines.finish()?;
        let mut notes = Vec::new();
        if self.defused > 0 {
            notes.push(format!(
                "{} texts that hold what could be a formula got a ' in front of it, so that a spreadsheet shows and does not run it",
                self.defused
            ));
        }
        Ok(Summary { notes })
    }
}

/// The text with a `'` wherever a spreadsheet could take what follows for a formula; nothing if there is no such place. That
/// is its beginning, and also behind a separator: a spreadsheet that splits lines at another one than ours makes a cell of
/// what comes after it.
fn defused(text: &str) -> Option<String> {
    let begins = |rest: &str| rest.starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠']);
    let mut defused = String::new();
    let mut done = 0;
    if begins(text) || text.starts_with(['\t', '\r', '\n']) {
        defused.push('\'');
    }
    for (at, separator) in text.match_indices([',', ';', '\t', '\r', '\n']) {
        let behind = at + separator.len();
        if begins(&text[behind..]) {
            defused.push_str(&text[done..behind]);
            defused.push('\'');
            done = behind;
        }
    }
    if defused.is_empty() {
        return None;
    }
    defused.push_str(&text[done..]);
    Some(defused)
}

/// Adds a text as one field. `alone` says that it is the only field of its line, where `\.` would end the data for whoever
/// loads it with Postgres' `COPY`.
fn push_quoted(out: &mut Vec<u8>, text: &[u8], delimiter: u8, alone: bool) {
    let mark = |byte: u8| byte == delimiter || byte == b'"' || byte == b'\n' || byte == b'\r';
    let quoted = text.is_empty() || text.iter().any(|&byte| mark(byte)) || alone && text == b"\\.";
    if !quoted {
        out.extend_from_slice(text);
        return;
    }
    out.push(b'"');
    for (index, piece) in text.split(|&byte| byte == b'"').enumerate() {
        if index > 0 {
            out.extend_from_slice(b"\"\"");
        }
        out.extend_from_slice(piece);
    }
    out.push(b'"');
}
