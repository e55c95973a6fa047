//! Workbooks, read back with openpyxl.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{self, Write};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use jiff::tz::TimeZone;
use lovage_formats::{
    Column, DAY_INFINITY, DecimalBuf, EncodeError, Encoder, Format, MICROS_INFINITY, MICROS_NEG_INFINITY, Options,
    Type, Value, encoder,
};
use serde_json::{Value as Json, json};

/// Somewhere to write to and look at later.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Shared {
    fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn begin(options: &Options, columns: &[Column]) -> (Box<dyn Encoder>, Shared) {
    let out = Shared::default();
    (encoder(Format::Xlsx, columns, options, Box::new(out.clone())).unwrap(), out)
}

fn encode(options: &Options, columns: &[Column], records: &[Vec<Value<'_>>]) -> (Vec<u8>, Vec<String>) {
    let (mut encoder, out) = begin(options, columns);
    for record in records {
        encoder.record(record).unwrap();
    }
    let notes = encoder.finish().unwrap().notes;
    let bytes = out.0.lock().unwrap().clone();
    (bytes, notes)
}

/// What openpyxl finds in it.
fn read(workbook: &[u8]) -> Json {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("book.xlsx");
    std::fs::write(&path, workbook).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/read_workbook.py");
    let output = Command::new(lovage_testkit::s3::ensure_installed()).arg(script).arg(path).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let found: Json = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found["broken"], Json::Null, "a part whose checksum is wrong");
    found
}

/// The second row of its only sheet: each cell's kind, value, format and side.
fn second_row(workbook: &[u8]) -> Vec<Json> {
    let found = read(workbook);
    assert_eq!(found["sheets"].as_array().unwrap().len(), 1);
    found["sheets"][0]["rows"][1].as_array().unwrap().clone()
}

fn columns(types: &[Type]) -> Vec<Column> {
    types.iter().enumerate().map(|(index, ty)| Column::new(format!("c{index}"), *ty)).collect()
}

/// What openpyxl makes of each value when it stands alone in a record of its own type.
fn cells(options: &Options, values: &[(Type, Value<'_>)]) -> Vec<Json> {
    let types: Vec<Type> = values.iter().map(|(ty, _)| *ty).collect();
    let record = values.iter().map(|(_, value)| *value).collect();
    second_row(&encode(options, &columns(&types), &[record]).0)
}

fn cell(kind: &str, value: impl Into<Json>, format: &str) -> Json {
    json!({"kind": kind, "value": value.into(), "format": format, "align": null})
}

/// Text in the place of a number.
fn kept(value: &str) -> Json {
    json!({"kind": "str", "value": value, "format": "@", "align": "right"})
}

fn decimal(text: &str) -> DecimalBuf {
    DecimalBuf::parse(text).unwrap()
}

#[test]
fn values_come_back_with_their_types() {
    let amount = decimal("-1234567.50");
    let found = cells(
        &Options::default(),
        &[
            (Type::Bool, Value::Bool(true)),
            (Type::Int64, Value::Int(999_999_999_999_999)),
            (Type::Float64, Value::Float64(0.1)),
            (Type::Float32, Value::Float32(0.1)),
            (Type::Float64, Value::Float64(1e300)),
            (Type::Decimal { precision: 18, scale: 2 }, Value::Decimal(amount.get())),
            (Type::Text, Value::Text("王")),
            (Type::Uuid, Value::Uuid([17; 16])),
            (Type::Bytes, Value::Bytes(&[0, 255])),
            (Type::Json, Value::Json("{\"a\": 1}")),
            (Type::Text, Value::Null),
            (Type::Text, Value::Text("")),
            (Type::Int16, Value::Int(-1)),
        ],
    );
    assert_eq!(
        found,
        [
            cell("bool", true, "\"TRUE\";\"TRUE\";\"FALSE\""),
            cell("int", 999_999_999_999_999_i64, "0"),
            cell("float", 0.1, "General"),
            cell("float", 0.1, "General"),
            cell("float", 1e300, "General"),
            cell("float", -1_234_567.5, "0.00"),
            cell("str", "王", "@"),
            cell("str", "11111111-1111-1111-1111-111111111111", "@"),
            cell("str", "\\x00ff", "@"),
            cell("str", "{\"a\": 1}", "@"),
            cell("NoneType", Json::Null, "General"),
            cell("NoneType", Json::Null, "General"),
            cell("int", -1, "0"),
        ]
    );
}

#[test]
fn dates_and_times_are_numbers_with_formats() {
    let zone = TimeZone::get("Asia/Shanghai").unwrap();
    let second = 1_000_000;
    let found = cells(
        &Options { zone, ..Options::default() },
        &[
            (Type::Date, Value::Date(8_825)),
            (Type::Date, Value::Date(-36_465)),
            (Type::Date, Value::Date(2_921_939)),
            (Type::Timestamp, Value::Timestamp(3_723 * second)),
            (Type::Timestamp, Value::Timestamp(-1)),
            (Type::TimestampTz, Value::TimestampTz(0)),
            (Type::TimestampTz, Value::TimestampTz(59_999)),
            (Type::Time, Value::Time(3_723 * second)),
            (Type::Time, Value::Time(86_399_999_999)),
            (Type::Time, Value::Time(86_400 * second)),
        ],
    );
    assert_eq!(
        found,
        [
            cell("datetime", "2024-02-29T00:00:00", "yyyy-mm-dd"),
            cell("datetime", "1900-03-01T00:00:00", "yyyy-mm-dd"),
            cell("datetime", "9999-12-31T00:00:00", "yyyy-mm-dd"),
            cell("datetime", "2000-01-01T01:02:03", "yyyy-mm-dd hh:mm:ss"),
            // Not 2000-01-01 00:00:00, and shown with the milliseconds that a spreadsheet would otherwise round away.
            cell("datetime", "1999-12-31T23:59:59.999000", "yyyy-mm-dd hh:mm:ss.000"),
            cell("datetime", "2000-01-01T08:00:00", "yyyy-mm-dd hh:mm:ss"),
            cell("datetime", "2000-01-01T08:00:00.059000", "yyyy-mm-dd hh:mm:ss.000"),
            cell("time", "01:02:03", "hh:mm:ss"),
            cell("time", "23:59:59.999000", "hh:mm:ss.000"),
            cell("timedelta", 86_400.0, "[hh]:mm:ss"),
        ]
    );
}

#[test]
fn what_a_spreadsheet_would_change_stays_text() {
    let (long, exact) = (decimal("12345678901234.56"), decimal("1.50000000000000000000"));
    let values = [
        (Type::Int64, Value::Int(1_000_000_000_000_000)),
        (Type::Int64, Value::Int(i64::MIN)),
        (Type::Numeric, Value::Decimal(long.get())),
        (Type::Float64, Value::Float64(f64::NAN)),
        (Type::Float32, Value::Float32(f32::NEG_INFINITY)),
        (Type::Date, Value::Date(-36_466)),
        (Type::Date, Value::Date(2_921_940)),
        (Type::Date, Value::Date(DAY_INFINITY)),
        (Type::Timestamp, Value::Timestamp(-36_466 * 86_400_000_000 + 1)),
        (Type::TimestampTz, Value::TimestampTz(MICROS_NEG_INFINITY)),
        (Type::TimestampTz, Value::TimestampTz(MICROS_INFINITY)),
        (Type::Numeric, Value::Decimal(exact.get())),
    ];
    // In the far west, where the latest instant of all would be another one.
    let zone = TimeZone::get("America/Los_Angeles").unwrap();
    let found = cells(&Options { zone, ..Options::default() }, &values);
    assert_eq!(
        found,
        [
            kept("1000000000000000"),
            kept("-9223372036854775808"),
            kept("12345678901234.56"),
            kept("NaN"),
            kept("-Infinity"),
            kept("1900-02-28"),
            kept("10000-01-01"),
            kept("infinity"),
            kept("1900-02-28 00:00:00.000001"),
            kept("-infinity"),
            kept("infinity"),
            cell("float", 1.5, "General"),
        ]
    );
    let types: Vec<Type> = values.iter().map(|(ty, _)| *ty).collect();
    let record: Vec<Value<'_>> = values.iter().map(|(_, value)| *value).collect();
    let (_, notes) = encode(&Options::default(), &columns(&types), &[record]);
    assert_eq!(notes.len(), 1);
    assert!(notes[0].starts_with("11 numbers and times are kept as text"), "{notes:?}");
}

#[test]
fn each_scale_has_its_format() {
    let numbers: Vec<DecimalBuf> = (0..=15).map(|scale| decimal(&format!("1.{:0>15}", 0)[..2 + scale])).collect();
    let values: Vec<_> = numbers.iter().map(|number| (Type::Numeric, Value::Decimal(number.get()))).collect();
    let found = cells(&Options::default(), &values);
    for (scale, cell) in found.iter().enumerate() {
        let format = if scale == 0 { "0".to_owned() } else { format!("0.{}", "0".repeat(scale)) };
        assert_eq!(cell["format"], format);
    }
    // A column that says its scale shows it, whatever its numbers have.
    let number = decimal("2.5");
    let found =
        cells(&Options::default(), &[(Type::Decimal { precision: 18, scale: 4 }, Value::Decimal(number.get()))]);
    assert_eq!(found, [cell("float", 2.5, "0.0000")]);
}

#[test]
fn any_text_comes_back_and_none_is_a_formula() {
    let texts = [
        "=cmd|' /C calc'!A0",
        "+1",
        "@sum",
        "00123",
        "TRUE",
        "https://example.com/?a=1&b=2",
        " leading",
        "trailing\n",
        "two\nlines",
        "\t",
        "\u{1}\u{8}\r\n\u{1f}",
        "_x0041_",
        "_x005F_",
        "_x0041\u{2}",
        "\u{fffe}\u{ffff}",
        "<b>&amp;\"'</b>]]>",
        "😀，＝",
    ];
    let record: Vec<Value<'_>> = texts.into_iter().map(Value::Text).collect();
    let (workbook, notes) = encode(&Options::default(), &columns(&[Type::Text; 17]), &[record]);
    assert_eq!(second_row(&workbook), texts.map(|text| cell("str", text, "@")));
    assert_eq!(notes, [""; 0]);
}

#[test]
fn long_texts_are_cut_with_a_note() {
    let plain = "x".repeat(40_000);
    // One unit, then pairs: the last pair would be split.
    let pairs = format!("x{}", "😀".repeat(20_000));
    let fits = "王".repeat(32_767);
    let bytes = vec![0xab; 20_000];
    let record = vec![Value::Text(&plain), Value::Json(&pairs), Value::Text(&fits), Value::Bytes(&bytes)];
    let types = [Type::Text, Type::Json, Type::Text, Type::Bytes];
    let (workbook, notes) = encode(&Options::default(), &columns(&types), &[record]);
    let row = second_row(&workbook);
    assert_eq!(row[0]["value"], plain[..32_767]);
    assert_eq!(row[1]["value"], format!("x{}", "😀".repeat(16_383)));
    assert_eq!(row[2]["value"], fits);
    assert_eq!(row[3]["value"], format!("\\x{}", "ab".repeat(16_383))[..32_767]);
    assert_eq!(notes, ["3 texts were cut to the 32,767 characters that a cell holds"]);
}

#[test]
fn the_sheet_is_ready_to_read() {
    let columns = [
        Column::new("id", Type::Int64),
        Column::new("客户", Type::Text),
        Column::new("at", Type::TimestampTz),
        Column::new("note", Type::Text),
        Column::new("=1+1", Type::Text),
    ];
    let zone = TimeZone::get("Asia/Shanghai").unwrap();
    let options = Options { zone, sheet: "it's <ours> & \"订单\"".to_owned(), ..Options::default() };
    let long = "y".repeat(500);
    let row = |name| vec![Value::Int(1), Value::Text(name), Value::TimestampTz(0), Value::Text(&long), Value::Null];
    // The width comes from the sample, which ends before the last record.
    let mut records = vec![row("上海市浦东新区"); 300];
    records.push(row("w".repeat(50).leak()));
    let (workbook, notes) = encode(&options, &columns, &records);
    let found = read(&workbook);
    let sheet = &found["sheets"][0];
    assert_eq!(sheet["name"], options.sheet);
    assert_eq!(sheet["freeze"], "A2");
    assert_eq!(sheet["filter"], "A1:E302");
    assert_eq!(sheet["rows"].as_array().unwrap().len(), 302);
    let header: Vec<&str> = (0..5).map(|column| sheet["rows"][0][column]["value"].as_str().unwrap()).collect();
    assert_eq!(header, ["id", "客户", "at (Asia/Shanghai)", "note", "=1+1"]);
    assert_eq!(sheet["bold"], json!([true, true, true, true, true]));
    assert_eq!(sheet["fill"], json!(vec!["FFE2EFDA"; 5]));
    assert_eq!(sheet["bold_below"], false);
    assert_eq!(sheet["widths"], json!({"A": 12.0, "B": 16.0, "C": 25.0, "D": 62.0, "E": 10.0}));
    assert_eq!(notes, [""; 0]);
}

#[test]
fn a_workbook_without_records_or_columns_is_one() {
    let found = read(&encode(&Options::default(), &columns(&[Type::Int32, Type::Text]), &[]).0);
    assert_eq!(found["sheets"][0]["filter"], "A1:B1");
    assert_eq!(found["sheets"][0]["rows"].as_array().unwrap().len(), 1);
    let found = read(&encode(&Options::default(), &[], &[vec![], vec![]]).0);
    assert_eq!(found["sheets"][0]["filter"], Json::Null);
}

#[test]
fn the_archive_is_plain_and_its_bytes_are_the_records_alone() {
    let records = vec![vec![Value::Int(7), Value::Text("seven")]; 1_000];
    let write = || encode(&Options::default(), &columns(&[Type::Int64, Type::Text]), &records).0;
    let (first, second) = (write(), write());
    assert!(first == second, "no clock and no chance is in it");
    let found = read(&first);
    assert_eq!(found["zip64"], false, "Excel takes most archives of that kind for damaged");
    assert_eq!(found["times"], json!([[1980, 1, 1, 0, 0, 0]]));
    // By its first parts it is known for a workbook, and those that name the sheets stand after them.
    let parts = json!([
        "_rels/.rels",
        "docProps/app.xml",
        "xl/styles.xml",
        "xl/worksheets/sheet1.xml",
        "xl/workbook.xml",
        "xl/_rels/workbook.xml.rels",
        "[Content_Types].xml"
    ]);
    assert_eq!(found["parts"], parts);
}

#[test]
fn what_no_workbook_holds_is_refused_before_a_byte_is_written() {
    let refused = |columns: &[Column], sheet: &str| {
        let out = Shared::default();
        let options = Options { sheet: sheet.to_owned(), ..Options::default() };
        let error = encoder(Format::Xlsx, columns, &options, Box::new(out.clone())).err().unwrap();
        assert_eq!(out.len(), 0);
        let EncodeError::Invalid(invalid) = error else { panic!("{error}") };
        invalid.field
    };
    assert_eq!(refused(&columns(&[Type::Int32]), "a/b"), "sheet");
    assert_eq!(refused(&columns(&vec![Type::Int32; 16_385]), "data"), "columns");
    let (mut widest, _) = begin(&Options::default(), &columns(&vec![Type::Int32; 16_384]));
    widest.record(&vec![Value::Int(1); 16_384]).unwrap();
    widest.finish().unwrap();
}

#[test]
fn bytes_leave_with_the_records_and_nothing_is_left_behind_in_memory() {
    let (mut encoder, out) = begin(&Options::default(), &columns(&[Type::Text]));
    let mut seed = 1_u64;
    let mut noise = || {
        let mut next = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            format!("{:08x}", seed >> 32)
        };
        (0..64).map(|_| next()).collect::<String>()
    };
    let (mut given, mut most_behind) = (0, 0);
    for _ in 0..10_000 {
        let text = noise();
        // Hexadecimal digits: half of it is information.
        given += text.len() / 2;
        encoder.record(&[Value::Text(&text)]).unwrap();
        most_behind = most_behind.max(given.saturating_sub(out.len()));
    }
    assert!(given > 2_000_000, "{given}");
    assert!(most_behind < 512 * 1024, "{most_behind} bytes of records wait at some moment");
    encoder.finish().unwrap();
}

#[test]
fn a_workbook_that_is_given_up_is_not_completed() {
    let (mut encoder, out) = begin(&Options::default(), &columns(&[Type::Int64]));
    for number in 0..50_000 {
        encoder.record(&[Value::Int(number)]).unwrap();
    }
    let written = out.len();
    assert!(written > 0);
    drop(encoder);
    assert_eq!(out.len(), written);
}

/// Takes so many bytes and no more, until it is told to.
struct Full {
    room: Arc<Mutex<usize>>,
    out: Shared,
}

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut room = self.room.lock().unwrap();
        if *room == 0 {
            return Err(io::Error::other("cancelled"));
        }
        let taken = bytes.len().min(*room);
        *room -= taken;
        self.out.write(&bytes[..taken])
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn an_output_that_fails_is_an_error_and_stays_one() {
    let (room, out) = (Arc::new(Mutex::new(70_000)), Shared::default());
    let full = Full { room: Arc::clone(&room), out: out.clone() };
    let mut encoder = encoder(Format::Xlsx, &columns(&[Type::Int64]), &Options::default(), Box::new(full)).unwrap();
    let error = (0..1_000_000).find_map(|number| encoder.record(&[Value::Int(number)]).err()).expect("it is full");
    assert_eq!(error.to_string(), "cancelled");
    *room.lock().unwrap() = usize::MAX;
    encoder.finish().unwrap_err();
    assert_eq!(out.len(), 70_000, "there is a hole in it: nothing may follow");
}

#[test]
fn an_output_that_fails_at_the_end_is_an_error() {
    let (room, out) = (Arc::new(Mutex::new(100)), Shared::default());
    let full = Full { room, out: out.clone() };
    let encoder = encoder(Format::Xlsx, &columns(&[Type::Int64]), &Options::default(), Box::new(full)).unwrap();
    assert_eq!(encoder.finish().unwrap_err().to_string(), "cancelled");
    assert_eq!(out.len(), 100);
}
