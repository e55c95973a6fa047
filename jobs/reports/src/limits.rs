//! What one report may take.

use std::path::PathBuf;

/// Bounds of a report and where its temporary files go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportLimits {
    /// Most bytes that the inputs of one report have together: files as they lie in the store, rows of datasets as Parquet.
    pub max_input_bytes: u64,
    /// Most rows of one sheet or file.
    pub max_rows: u64,
    /// The folder in which each report makes one of its own for as long as it runs; the system's when absent.
    pub temp_dir: Option<PathBuf>,
}

impl Default for ReportLimits {
    fn default() -> Self {
        Self { max_input_bytes: 2 << 30, max_rows: 1_000_000, temp_dir: None }
    }
}
