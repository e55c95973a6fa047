//! One query as one CSV, JSON lines or Parquet file, written as the rows come.

use std::fs::File;
use std::path::Path;

use lovage_payloads::ReportFormat;
use lovage_worker::JobError;
use polars::io::csv::write::BatchedWriter as CsvBatches;
use polars::io::json::BatchedWriter as JsonBatches;
use polars::io::parquet::write::BatchedWriter as ParquetBatches;
use polars::prelude::{
    CsvWriter, DataFrame, DataType, IntoLazy as _, ParquetWriter, PolarsResult, Schema, SerWriter as _, col,
};

use crate::fault;
use crate::query::Sink;

/// A file that is being written. Every writer gathers before it writes, so the file itself needs no buffer, and an
/// error of the disk is met where it happens.
pub(crate) enum Flat {
    Csv(Box<CsvBatches<File>>),
    Jsonl(JsonBatches<File>),
    Parquet(Box<ParquetBatches<File>>),
}

impl Flat {
    /// Begins the file at `path`. A workbook is none of these.
    pub fn begin(path: &Path, format: ReportFormat, schema: &Schema) -> Result<Self, JobError> {
        let file = File::create(path).map_err(|error| fault::disk(&format!("write {}", path.display()), &error))?;
        let begun = match format {
            ReportFormat::Csv => CsvWriter::new(file).batched(schema).map(|writer| Self::Csv(Box::new(writer))),
            ReportFormat::Jsonl => Ok(Self::Jsonl(JsonBatches::new(file))),
            ReportFormat::Parquet | ReportFormat::Xlsx => {
                ParquetWriter::new(file).batched(schema).map(|writer| Self::Parquet(Box::new(writer)))
            }
        };
        begun.map_err(|error| fault::polars("sheets[0].sql", &error))
    }

    /// Writes what belongs at the end.
    pub fn finish(self) -> Result<(), JobError> {
        let finished = match self {
            Self::Csv(mut writer) => writer.finish(),
            Self::Jsonl(_) => Ok(()),
            Self::Parquet(writer) => writer.finish().map(|_| ()),
        };
        finished.map_err(|error| fault::polars("finish the file", &error))
    }
}

impl Sink for Flat {
    fn take(&mut self, mut rows: DataFrame) -> PolarsResult<()> {
        match self {
            Self::Csv(writer) => {
                rows.align_chunks_par();
                writer.write_batch(&rows)
            }
            Self::Jsonl(writer) => {
                let mut rows = for_json(rows)?;
                rows.align_chunks_par();
                writer.write_batch(&rows)
            }
            Self::Parquet(writer) => {
                // One row group a batch.
                rows.rechunk_mut();
                writer.write_batch(&rows)
            }
        }
    }
}

/// JSON has no decimals and no times: decimals go as text, which no reader rounds, times in ISO 8601.
fn for_json(rows: DataFrame) -> PolarsResult<DataFrame> {
    let columns: Vec<_> = rows
        .schema()
        .iter()
        .filter_map(|(name, dtype)| match dtype {
            DataType::Decimal(..) => Some(col(name.clone()).cast(DataType::String)),
            DataType::Datetime(..) => Some(col(name.clone()).dt().to_string("iso:strict")),
            _ => None,
        })
        .collect();
    if columns.is_empty() { Ok(rows) } else { rows.lazy().with_columns(columns).collect() }
}
