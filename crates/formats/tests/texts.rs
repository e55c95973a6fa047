//! CSV and JSON Lines, read back with readers that were not written from the code under test.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::io::Write;
use std::sync::{Arc, Mutex};

use jiff::tz::TimeZone;
use lovage_formats::{Column, DecimalBuf, Format, Options, Type, Value, encoder};
use proptest::prelude::*;

/// Somewhere to write to and look at later.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn encode(format: Format, options: &Options, columns: &[Column], records: &[Vec<Value<'_>>]) -> (String, Vec<String>) {
    let out = Shared::default();
    let mut encoder = encoder(format, columns, options, Box::new(out.clone())).unwrap();
    for record in records {
        encoder.record(record).unwrap();
    }
    let notes = encoder.finish().unwrap().notes;
    let bytes = out.0.lock().unwrap().clone();
    (String::from_utf8(bytes).unwrap(), notes)
}

fn texts(count: usize) -> Vec<Column> {
    (0..count).map(|index| Column::new(format!("c{index}"), Type::Text)).collect()
}

/// The lines after the header.
fn body(format: Format, records: &[Vec<Value<'_>>]) -> String {
    let columns = texts(records.first().map_or(1, Vec::len));
    let (text, _) = encode(format, &Options::default(), &columns, records);
    text.split_once('\n').unwrap().1.to_owned()
}

/// RFC 4180, written from its grammar. An unquoted empty field is `None`.
fn parse(text: &str) -> Vec<Vec<Option<String>>> {
    let (mut records, mut record) = (Vec::new(), Vec::new());
    let mut chars = text.chars().peekable();
    while chars.peek().is_some() {
        let mut field = None;
        if chars.next_if_eq(&'"').is_some() {
            let mut value = String::new();
            loop {
                match chars.next().expect("a quoted field ends") {
                    '"' if chars.next_if_eq(&'"').is_some() => value.push('"'),
                    '"' => break,
                    other => value.push(other),
                }
            }
            field = Some(value);
        } else {
            while let Some(c) = chars.next_if(|c| !matches!(c, ',' | '\n')) {
                field.get_or_insert_with(String::new).push(c);
            }
        }
        record.push(field);
        match chars.next().expect("every record ends with a line break") {
            ',' => {}
            '\n' => records.push(std::mem::take(&mut record)),
            other => panic!("{other:?} after a field"),
        }
    }
    records
}

#[test]
fn null_empty_and_marks_are_told_apart() {
    let row = vec![Value::Null, Value::Text(""), Value::Text("\\."), Value::Text("a\"b,c\r\nd"), Value::Text(" x ")];
    assert_eq!(body(Format::Csv, &[row]), ",\"\",\\.,\"a\"\"b,c\r\nd\", x \n");
    // Alone on its line it would end the data of `COPY … FROM`.
    assert_eq!(body(Format::Csv, &[vec![Value::Text("\\.")]]), "\"\\.\"\n");
}

#[test]
fn excel_gets_a_mark_crlf_local_times_and_no_formula() {
    let columns =
        [Column::new("=note", Type::Text), Column::new("amount", Type::Numeric), Column::new("at", Type::TimestampTz)];
    let amount = DecimalBuf::parse("-12.50").unwrap();
    let row = |text| vec![Value::Text(text), Value::Decimal(amount.get()), Value::TimestampTz(1_234_567)];
    let zone = TimeZone::get("Asia/Shanghai").unwrap();
    let options = Options { zone, delimiter: ';', ..Options::default() };
    let records = [row("=cmd|' /C calc'!A0"), row("＠sum"), row("a;b"), row("plain")];
    let (text, notes) = encode(Format::ExcelCsv, &options, &columns, &records);
    assert_eq!(
        text,
        "\u{feff}'=note;amount;at (Asia/Shanghai)\r\n\
         '=cmd|' /C calc'!A0;-12.50;2000-01-01 08:00:01.234\r\n\
         '＠sum;-12.50;2000-01-01 08:00:01.234\r\n\
         \"a;b\";-12.50;2000-01-01 08:00:01.234\r\n\
         plain;-12.50;2000-01-01 08:00:01.234\r\n"
    );
    assert_eq!(notes.len(), 1);
    assert!(notes[0].starts_with("2 texts"), "{notes:?}");
}

#[test]
fn a_delimiter_that_no_spreadsheet_knows_is_refused() {
    let options = Options { delimiter: '"', ..Options::default() };
    let error = encoder(Format::Csv, &texts(1), &options, Box::new(Shared::default())).err().unwrap();
    assert_eq!(error.to_string(), "delimiter: is '\"'; use a comma, a semicolon or a tab");
}

#[test]
fn json_keeps_what_json_can_hold_and_quotes_the_rest() {
    let amount = DecimalBuf::parse("12345678901234567890.10").unwrap();
    let values = [
        Value::Null,
        Value::Bool(true),
        Value::Int(i64::MIN),
        Value::Float64(0.1),
        Value::Float64(f64::NAN),
        Value::Decimal(amount.get()),
        Value::Text("\u{1}\"\\\n王"),
        Value::Bytes(&[0, 255]),
        Value::Date(0),
        Value::Time(1),
        Value::Timestamp(-1),
        Value::TimestampTz(0),
        Value::Uuid([17; 16]),
        Value::Json("{\"b\" : 0.20000000000000000000,\n\"a\":1}"),
    ];
    let columns = texts(values.len());
    let zone = TimeZone::get("Asia/Kolkata").unwrap();
    let (text, _) = encode(Format::Jsonl, &Options { zone, ..Options::default() }, &columns, &[values.to_vec()]);
    assert_eq!(
        text,
        "{\"c0\":null,\"c1\":true,\"c2\":-9223372036854775808,\"c3\":0.1,\"c4\":\"NaN\",\
         \"c5\":\"12345678901234567890.10\",\"c6\":\"\\u0001\\\"\\\\\\n王\",\"c7\":\"\\\\x00ff\",\"c8\":\"2000-01-01\",\
         \"c9\":\"00:00:00.000001\",\"c10\":\"1999-12-31T23:59:59.999999\",\"c11\":\"2000-01-01T05:30:00+05:30\",\
         \"c12\":\"11111111-1111-1111-1111-111111111111\",\"c13\":{\"b\" : 0.20000000000000000000, \"a\":1}}\n"
    );
}

#[test]
fn an_instant_before_zones_were_whole_minutes_stays_the_same_instant() {
    let zone = TimeZone::get("Asia/Shanghai").unwrap();
    // Local mean time, +08:05:43, in 1900.
    let micros = -36_524 * 86_400_000_000;
    let (text, _) =
        encode(Format::Jsonl, &Options { zone, ..Options::default() }, &texts(1), &[vec![Value::TimestampTz(micros)]]);
    assert_eq!(text, "{\"c0\":\"1900-01-01T08:05:00+08:05\"}\n");
}

proptest! {
    #[test]
    fn any_text_comes_back_from_csv(rows in prop::collection::vec(prop::collection::vec(prop::option::of(any::<String>()), 2..5), 1..6)) {
        let width = rows[0].len();
        let rows: Vec<_> = rows.into_iter().filter(|row| row.len() == width).collect();
        let records: Vec<Vec<Value<'_>>> =
            rows.iter().map(|row| row.iter().map(|cell| cell.as_deref().map_or(Value::Null, Value::Text)).collect()).collect();
        prop_assert_eq!(parse(&body(Format::Csv, &records)), rows);
    }

    #[test]
    fn text_full_of_marks_comes_back_from_csv(row in prop::collection::vec("[\",\\n\\r\\\\. a]{0,8}", 1..4)) {
        let record = row.iter().map(|cell| Value::Text(cell)).collect();
        prop_assert_eq!(parse(&body(Format::Csv, &[record])), vec![row.into_iter().map(Some).collect::<Vec<_>>()]);
    }
}
