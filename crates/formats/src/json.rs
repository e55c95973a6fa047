//! JSON Lines: one object a record, UTF-8, LF.
//!
//! Whole numbers and floats are JSON numbers with all their digits; exact decimals are strings, because most readers
//! would round them; so are `NaN` and the infinities, for which JSON has no number. JSON of the source stays as it
//! is, down to the digits of its numbers; only its line breaks become spaces, so that a record stays on one line. Instants
//! are RFC 3339 in the export's zone.

use std::io::Write as _;

use jiff::tz::TimeZone;

use crate::encoder::{Encoder, Options, Output, Summary};
use crate::error::EncodeError;
use crate::lines::Lines;
use crate::schema::Column;
use crate::value::Value;
use crate::{civil, text};

/// Writes JSON Lines.
pub(crate) struct Jsonl {
    lines: Lines,
    zone: TimeZone,
    /// What stands in front of each value: `{"id":`, then `,"name":`.
    keys: Vec<Vec<u8>>,
}

impl Jsonl {
    pub(crate) fn new(columns: &[Column], options: &Options, out: Output) -> Self {
        let keys = columns.iter().enumerate().map(|(index, column)| {
            let mut key = vec![if index == 0 { b'{' } else { b',' }];
            push_string(&mut key, &column.name);
            key.push(b':');
            key
        });
        let (keys, zone) = (keys.collect(), options.zone.clone());
        Self { lines: Lines::new(out), zone, keys }
    }

    fn push(&mut self, value: &Value<'_>) {
        let out = &mut self.lines.buffer;
        match *value {
            Value::Null | Value::Json("") => out.extend_from_slice(b"null"),
            Value::Bool(value) => out.extend_from_slice(if value { b"true" } else { b"false" }),
            Value::Int(number) => text::push_int(out, number),
            Value::Float32(number) if number.is_finite() => text::push(out, value, &self.zone),
            Value::Float64(number) if number.is_finite() => text::push(out, value, &self.zone),
            Value::Text(text) => push_string(out, text),
            // A line break cannot stand inside a string of valid JSON, so it is only white space.
            Value::Json(text) => {
                out.extend(text.bytes().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { byte }));
            }
            Value::Bytes(bytes) => {
                out.extend_from_slice(b"\"\\");
                text::push_hex(out, bytes);
                out.push(b'"');
            }
            Value::Timestamp(micros) => push_moment(out, micros, None),
            Value::TimestampTz(micros) => push_moment(out, micros, Some(&self.zone)),
            ref plain => {
                out.push(b'"');
                text::push(out, plain, &self.zone);
                out.push(b'"');
            }
        }
    }
}

impl Encoder for Jsonl {
    fn record(&mut self, values: &[Value<'_>]) -> Result<(), EncodeError> {
        for (index, value) in values.iter().enumerate() {
            if let Some(key) = self.keys.get(index) {
                self.lines.buffer.extend_from_slice(key);
            }
            self.push(value);
        }
        Ok(self.lines.end(b"}\n")?)
    }

    fn finish(mut self: Box<Self>) -> Result<Summary, EncodeError> {
        self.lines.finish()?;
        Ok(Summary::default())
    }
}

/// Adds `"2024-02-29T12:00:00+08:00"`; without a zone, without an offset. RFC 3339 has no seconds in an offset; those of the
/// nineteenth century are rounded to minutes together with the time, so that the instant stays right.
fn push_moment(out: &mut Vec<u8>, micros: i64, zone: Option<&TimeZone>) {
    out.push(b'"');
    if !civil::push_infinite_instant(out, micros) {
        let offset = zone.map(|zone| civil::offset(zone, micros).div_euclid(60) * 60);
        let before_christ = text::push_moment(out, text::local(micros, offset.unwrap_or(0)), b'T', 6);
        match offset {
            Some(0) => out.push(b'Z'),
            Some(offset) => {
                civil::push_offset(out, offset);
                if offset % 3600 == 0 {
                    out.extend_from_slice(b":00");
                }
            }
            None => {}
        }
        text::push_era(out, before_christ);
    }
    out.push(b'"');
}

/// Adds a JSON string.
fn push_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|&byte| byte < 0x20 || byte == b'"' || byte == b'\\') {
        out.extend_from_slice(&rest[..at]);
        match rest[at] {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            // Writing to a vector cannot fail.
            control => drop(write!(out, "\\u{control:04x}")),
        }
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}
