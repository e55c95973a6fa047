//! The workbook around the sheets.

use std::path::Path;

use lovage_core::Timestamp;
use lovage_payloads::ReportSheet;
use lovage_worker::JobError;
use polars::prelude::Schema;
use rust_xlsxwriter::{DocProperties, ExcelDateTime, Workbook, XlsxError};

use crate::fault;
use crate::grid::{Grid, Written};

/// A workbook that is being written.
pub(crate) struct Book(Workbook);

impl Book {
    /// An empty one. Sheets lie in `folder` until [`Book::save`].
    pub fn new(folder: &Path, now: Timestamp) -> Result<Self, JobError> {
        Self::build(folder, now).map_err(|error| fault::workbook("begin the workbook", error))
    }

    fn build(folder: &Path, now: Timestamp) -> Result<Self, XlsxError> {
        let mut book = Workbook::new();
        book.set_tempdir(folder)?;
        let created = ExcelDateTime::from_timestamp(now.as_millis() as i64 / 1_000)?;
        book.set_properties(&DocProperties::new().set_author("Lovage").set_creation_datetime(&created));
        Ok(Self(book))
    }

    /// Begins a sheet.
    pub fn sheet(&mut self, schema: &Schema, sheet: &ReportSheet, field: &str) -> Result<Grid, JobError> {
        let empty = self.0.new_worksheet_with_constant_memory().map_err(|error| fault::workbook(field, error))?;
        Grid::begin(empty, schema, sheet, field)
    }

    /// Adds a sheet that is whole.
    pub fn add(&mut self, written: Written) {
        self.0.push_worksheet(written.worksheet);
    }

    /// Packs the file.
    pub fn save(mut self, path: &Path) -> Result<(), JobError> {
        self.0.save(path).map_err(|error| fault::workbook("pack the workbook", error))
    }
}
