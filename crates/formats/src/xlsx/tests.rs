//! What only shows with a great many records, with smaller limits. The rest is tested from outside, in `tests/workbooks.rs`.

use std::io::Read as _;
use std::sync::{Arc, Mutex};

use super::*;
use crate::schema::Type;

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn begin(limits: Limits) -> (Box<Xlsx>, Shared) {
    let out = Shared::default();
    let columns = [Column::new("n", Type::Int32), Column::new("t", Type::Text)];
    let xlsx = Xlsx::with_limits(&columns, &Options::default(), Box::new(out.clone()), limits).unwrap();
    (Box::new(xlsx), out)
}

fn part(workbook: &Shared, name: &str) -> String {
    let bytes = workbook.0.lock().unwrap().clone();
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(bytes)).unwrap();
    let mut text = String::new();
    archive.by_name(name).unwrap().read_to_string(&mut text).unwrap();
    text
}

/// The first numbers of the rows of each sheet that there is.
fn numbers(workbook: &Shared, sheets: usize) -> Vec<Vec<u32>> {
    let first = |row: &str| row.split_once("<v>")?.1.split_once("</v>")?.0.parse().ok();
    let of = |sheet: String| sheet.split("<row ").skip(2).filter_map(first).collect();
    (1..=sheets).map(|number| of(part(workbook, &format!("xl/worksheets/sheet{number}.xml")))).collect()
}

#[test]
fn a_full_sheet_is_followed_by_another_with_the_same_head() {
    let (mut xlsx, out) = begin(Limits { rows: 4, ..LIMITS });
    for number in 0..7 {
        xlsx.record(&[Value::Int(number), Value::Text("x")]).unwrap();
    }
    let notes = xlsx.finish().unwrap().notes;
    assert_eq!(notes, ["the records stand on 3 sheets, because they do not fit one"]);
    assert_eq!(numbers(&out, 3), [vec![0, 1, 2], vec![3, 4, 5], vec![6]]);
    let sheets = [1, 2, 3].map(|number| part(&out, &format!("xl/worksheets/sheet{number}.xml")));
    let head = |sheet: &str| sheet.split_once("<row r=\"2\">").unwrap().0.replace(" tabSelected=\"1\"", "");
    assert_eq!(head(&sheets[1]), head(&sheets[0]), "view, widths and names of columns");
    assert_eq!(head(&sheets[2]), head(&sheets[0]));
    assert_eq!(sheets.each_ref().map(|sheet| sheet.contains("tabSelected")), [true, false, false]);
    assert!(sheets[1].ends_with(concat!(
        r#"</sheetData><autoFilter ref="A1:B4"/><ignoredErrors><ignoredError sqref="A1:B4" numberStoredAsText="1"/>"#,
        "</ignoredErrors></worksheet>"
    )));
    let workbook = part(&out, "xl/workbook.xml");
    for (name, range) in [("data", "$A$1:$B$4"), ("data_2", "$A$1:$B$4"), ("data_3", "$A$1:$B$2")] {
        assert!(workbook.contains(&format!("<sheet name=\"{name}\"")), "{workbook}");
        assert!(workbook.contains(&format!("'{name}'!{range}<")), "{workbook}");
    }
}

#[test]
fn a_sheet_that_is_just_full_is_the_last() {
    let (mut xlsx, out) = begin(Limits { rows: 4, ..LIMITS });
    for number in 0..3 {
        xlsx.record(&[Value::Int(number), Value::Null]).unwrap();
    }
    assert_eq!(xlsx.finish().unwrap().notes, [""; 0]);
    assert_eq!(numbers(&out, 1), [[0, 1, 2]]);
    assert!(!part(&out, "xl/workbook.xml").contains("data_2"));
}

#[test]
fn a_sheet_of_too_many_bytes_is_full() {
    let (mut xlsx, out) = begin(Limits { bytes: 300_000, ..LIMITS });
    let text = "x".repeat(1_000);
    for number in 0..900 {
        xlsx.record(&[Value::Int(number), Value::Text(&text)]).unwrap();
    }
    xlsx.finish().unwrap();
    let found = numbers(&out, 3);
    assert_eq!(found.concat(), (0..900).collect::<Vec<_>>(), "none is lost or doubled");
    // A thousand bytes each, looked at whenever 64 KiB are handed on.
    assert!(found[..2].iter().all(|sheet| (290..=370).contains(&sheet.len())), "{found:?}");
}

#[test]
fn too_many_sheets_and_bytes_are_refused() {
    let (mut xlsx, _) = begin(Limits { rows: 2, sheets: 2, ..LIMITS });
    let record = [Value::Int(1), Value::Null];
    xlsx.record(&record).unwrap();
    xlsx.record(&record).unwrap();
    let error = xlsx.record(&record).unwrap_err();
    assert_eq!(
        error.to_string(),
        "format: xlsx would need more than 2 sheets; select fewer records, or use csv or parquet"
    );
    let (mut xlsx, _) = begin(Limits { archive: 100_000, ..LIMITS });
    let error = (0..10_000_000).find_map(|number| xlsx.record(&[Value::Int(number), Value::Null]).err()).unwrap();
    assert_eq!(
        error.to_string(),
        "format: xlsx would need more than 4 GB; select fewer records, or use csv or parquet"
    );
}
