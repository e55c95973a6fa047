//! Apache Parquet, by the writer of the Arrow project (ADR 013 has what was measured).
//!
//! A row group is what a reader takes into memory at once, and what the writer holds until it is complete: it is closed
//! after [`GROUP_ROWS`] records, or earlier when it takes [`GROUP_BYTES`] of memory, so that a table of long texts or of a
//! thousand columns costs no more than a narrow one.

use ::parquet::arrow::ArrowWriter;
use ::parquet::basic::{Compression, ZstdLevel};
use ::parquet::errors::ParquetError;
use ::parquet::file::properties::{EnabledStatistics, WriterProperties};
use arrow_array::RecordBatch;

use super::Batches;
use crate::encoder::{Encoder, Options, Output, Summary};
use crate::error::EncodeError;
use crate::schema::Column;
use crate::value::Value;

/// Records in a batch.
const BATCH_ROWS: usize = 8 * 1024;
/// Records in a row group.
const GROUP_ROWS: usize = 128 * 1024;
/// Memory of a row group that is not complete.
const GROUP_BYTES: usize = 16 * 1024 * 1024;
/// Bytes of different values after which a column's row group goes on without a dictionary.
const DICTIONARY_BYTES: usize = 64 * 1024;
/// Bytes of a page before it is compressed; each column collects one.
const PAGE_BYTES: usize = 256 * 1024;
const ZSTD_LEVEL: i32 = 3;

/// Writes Parquet.
pub(crate) struct Parquet {
    batches: Batches,
    writer: ArrowWriter<Output>,
}

impl Parquet {
    pub(crate) fn new(columns: &[Column], options: &Options, out: Output) -> Result<Self, EncodeError> {
        let batches = Batches::new(columns, &options.zone, BATCH_ROWS)?;
        let level = ZstdLevel::try_new(ZSTD_LEVEL).map_err(failed)?;
        let properties = WriterProperties::builder()
            .set_created_by(concat!("lovage ", env!("CARGO_PKG_VERSION")).to_owned())
            .set_compression(Compression::ZSTD(level))
            .set_max_row_group_row_count(Some(GROUP_ROWS))
            .set_data_page_size_limit(PAGE_BYTES)
            .set_dictionary_page_size_limit(DICTIONARY_BYTES)
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .build();
        let writer = ArrowWriter::try_new(out, batches.schema.clone(), Some(properties)).map_err(failed)?;
        Ok(Self { batches, writer })
    }

    fn write(&mut self, batch: &RecordBatch) -> Result<(), EncodeError> {
        self.writer.write(batch).map_err(failed)?;
        // The writer itself closes a group by its rows.
        if self.writer.memory_size() >= GROUP_BYTES {
            self.writer.flush().map_err(failed)?;
        }
        Ok(())
    }
}

impl Encoder for Parquet {
    fn record(&mut self, values: &[Value<'_>]) -> Result<(), EncodeError> {
        match self.batches.push(values)? {
            Some(batch) => self.write(&batch),
            None => Ok(()),
        }
    }

    fn finish(mut self: Box<Self>) -> Result<Summary, EncodeError> {
        if let Some(batch) = self.batches.take()? {
            self.write(&batch)?;
        }
        let notes = self.batches.notes();
        self.writer.finish().map_err(failed)?;
        self.writer.sync()?;
        Ok(Summary { notes })
    }
}

/// An error of the library; one of the output comes out as it went in.
fn failed(error: ParquetError) -> EncodeError {
    match error {
        ParquetError::External(source) => match source.downcast::<std::io::Error>() {
            Ok(error) => EncodeError::Io(*error),
            Err(other) => EncodeError::Io(std::io::Error::other(other)),
        },
        other => EncodeError::Io(std::io::Error::other(other)),
    }
}
