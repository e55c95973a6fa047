//! `export.report`: SQL over stored files and datasets, as a workbook with totals and charts, or as one CSV, JSON lines or Parquet file.
//!
//! In the walk of a job this is step 6, as in `lovage-jobs`; it is a crate of its own because of polars, which takes
//! minutes to build and belongs to this kind alone (ADR 011). One attempt walks through: `plan` (what can be told
//! from the arguments), `stage` and `dataset` (inputs onto this machine), `make` (on a thread that may block: `tables`, `query`,
//! `pivot`, then `workbook` or `flat`), `handler` (upload and publish, as every job that writes a file).
//!
//! Nothing of this knows a database: rows of datasets are brought by a [`DatasetReader`]. What SQL may touch is decided by `statement`: the inputs and nothing else.

mod cell;
mod chart;
mod dataset;
mod fault;
mod flat;
mod grid;
mod handler;
mod limits;
mod look;
mod make;
mod pivot;
mod place;
mod plan;
mod query;
mod stage;
mod statement;
mod tables;
mod totals;
mod types;
mod workbook;

pub use dataset::DatasetReader;
pub use handler::{ExportReportHandler, Services};
pub use limits::ReportLimits;
