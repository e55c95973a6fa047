//! Files of formats with typed columns and packed files, read back with readers that were not written from the code under
//! test: pyarrow, and Python's own modules for gzip and zip.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bounds;
mod packed;
mod refused;
mod typed;

use std::io::{self, Write};
use std::process::Command;
use std::sync::{Arc, Mutex};

use lovage_formats::{Column, EncodeError, Format, Options, Type, Value, encoder};

/// Somewhere to write to and look at later.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Shared {
    fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap().clone()
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

/// The file with these records, and its notes.
fn file(
    format: Format,
    options: &Options,
    columns: &[Column],
    records: &[Vec<Value<'_>>],
) -> Result<(Vec<u8>, Vec<String>), EncodeError> {
    let out = Shared::default();
    let mut encoder = encoder(format, columns, options, Box::new(out.clone()))?;
    for record in records {
        encoder.record(record)?;
    }
    let notes = encoder.finish()?.notes;
    Ok((out.bytes(), notes))
}

fn column(ty: Type) -> Vec<Column> {
    vec![Column::new("c", ty)]
}

/// What `read.py` says about a file.
fn read(how: &str, file: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    std::fs::write(&path, file).unwrap();
    let python = lovage_testkit::s3::ensure_installed();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/files/read.py");
    let output = Command::new(python).arg(script).arg(how).arg(path).env("PYTHONUTF8", "1").output().unwrap();
    assert!(output.status.success(), "{how}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
