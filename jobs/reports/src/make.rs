//! Makes the report's file on this machine: one sheet after the other. Runs on a thread that may block.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use lovage_artifacts::Column;
use lovage_core::{LogLevel, Progress, Timestamp};
use lovage_payloads::{ReportFormat, ReportParam, ReportSheet};
use lovage_worker::{JobContext, JobError};
use polars::prelude::Schema;
use polars::sql::SQLContext;

use crate::flat::Flat;
use crate::grid::{self, Grid};
use crate::query::{Bounds, Kept, Query, Sink as _};
use crate::stage::Staged;
use crate::workbook::Book;
use crate::{fault, pivot, tables};

/// What is to be made.
#[derive(Debug)]
pub(crate) struct Order {
    pub inputs: Vec<Staged>,
    pub params: BTreeMap<String, ReportParam>,
    pub sheets: Vec<ReportSheet>,
    pub format: ReportFormat,
    pub max_rows: u64,
    pub now: Timestamp,
}

/// A file that nobody sees yet.
#[derive(Debug)]
pub(crate) struct Made {
    pub file: PathBuf,
    pub rows: u64,
    /// Of the only sheet; a workbook with several has none.
    pub columns: Vec<Column>,
    /// What the file does not hold as it was.
    pub notes: Vec<String>,
}

/// The stack of the thread that plans and runs queries. polars walks plans by recursion; only what is used gets memory.
pub(crate) const STACK: usize = 64 << 20;

/// Makes the file in `folder`. Blocks its thread until another one with a deep stack is done.
pub(crate) fn make(order: &Order, folder: &Path, job: &JobContext) -> Result<Made, JobError> {
    let made = std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("lovage-report".to_owned()).stack_size(STACK);
        thread.spawn_scoped(scope, || on_this_thread(order, folder, job)).map(std::thread::ScopedJoinHandle::join)
    });
    match made.map_err(|error| fault::disk("start a thread", &error))? {
        Ok(made) => made,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

fn on_this_thread(order: &Order, folder: &Path, job: &JobContext) -> Result<Made, JobError> {
    let mut context = tables::open(&order.inputs, &order.params)?;
    let file = folder.join("report");
    let mut made = Made { file, rows: 0, columns: Vec::new(), notes: Vec::new() };
    if order.format == ReportFormat::Xlsx {
        workbook(order, &mut context, folder, job, &mut made)?;
    } else {
        let (field, sheet) = ("sheets[0].sql", &order.sheets[0]);
        tell(order, job, 0, "query");
        let query = Query::new(&mut context, &sheet.sql, field)?;
        made.columns = columns(&query.schema);
        let flat = Flat::begin(&made.file, order.format, &query.schema)?;
        let (flat, rows) = query.run(flat, &Bounds { field: field.to_owned(), max_rows: order.max_rows }, job)?;
        flat.finish()?;
        made.rows = rows;
    }
    Ok(made)
}

fn workbook(
    order: &Order,
    context: &mut SQLContext,
    folder: &Path,
    job: &JobContext,
    made: &mut Made,
) -> Result<(), JobError> {
    let mut book = Book::new(folder, order.now)?;
    for (index, sheet) in order.sheets.iter().enumerate() {
        if job.is_cancelled() {
            return Err(JobError::Cancelled);
        }
        tell(order, job, index, &format!("query {}", sheet.name));
        let field = format!("sheets[{index}]");
        let sql = format!("{field}.sql");
        let query = Query::new(context, &sheet.sql, &sql)?;
        let bounds = Bounds { field: sql.clone(), max_rows: order.max_rows.min(grid::MOST_ROWS) };
        let (grid, rows, schema) = match &sheet.pivot {
            None => {
                let schema = query.schema.clone();
                let grid = book.sheet(&schema, sheet, &field)?;
                let (grid, rows) = query.run(grid, &bounds, job)?;
                (grid, rows, schema)
            }
            Some(wanted) => {
                let schema = query.schema.clone();
                let (kept, _) = query.run(Kept::default(), &bounds, job)?;
                let frame = pivot::pivot(kept.frame(&schema), wanted, &field)?;
                let (rows, schema) = (frame.height() as u64, frame.schema().clone());
                let mut grid: Grid = book.sheet(&schema, sheet, &field)?;
                grid.take(frame).map_err(|error| fault::polars(&sql, &error))?;
                (grid, rows, schema)
            }
        };
        let written = grid.finish(sheet, &field)?;
        if written.cut > 0 {
            let text = format!("sheet {:?}: {} texts were longer than a cell and are cut", sheet.name, written.cut);
            job.log(LogLevel::Warn, &text);
            made.notes.push(text);
        }
        book.add(written);
        made.rows += rows;
        if order.sheets.len() == 1 {
            made.columns = columns(&schema);
        }
    }
    tell(order, job, order.sheets.len(), "pack");
    book.save(&made.file)
}

fn tell(order: &Order, job: &JobContext, done: usize, phase: &str) {
    let total = Some(order.sheets.len() as u64);
    let (unit, phase) = ("sheets".to_owned(), phase.to_owned());
    job.progress(Progress { done: done as u64, total, unit, phase, ..Progress::default() });
}

fn columns(schema: &Schema) -> Vec<Column> {
    let column = |(name, dtype): (&polars::prelude::PlSmallStr, &polars::prelude::DataType)| Column {
        name: name.to_string(),
        type_name: dtype.to_string(),
    };
    schema.iter().map(column).collect()
}
