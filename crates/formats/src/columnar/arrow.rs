//! Arrow's IPC file, which Python and R map into memory as it is; also known as Feather.
//!
//! Its record batches are larger than those on their way into Parquet, because a reader takes them as they are. Their
//! buffers are compressed with Zstandard.

use arrow_ipc::CompressionType;
use arrow_ipc::writer::{FileWriter, IpcWriteOptions};

use super::{Batches, arrow_failed};
use crate::encoder::{Encoder, Options, Output, Summary};
use crate::error::EncodeError;
use crate::schema::Column;
use crate::value::Value;

/// Records in a batch.
const BATCH_ROWS: usize = 64 * 1024;

/// Writes an Arrow file.
pub(crate) struct Arrow {
    batches: Batches,
    writer: FileWriter<Output>,
}

impl Arrow {
    pub(crate) fn new(columns: &[Column], options: &Options, out: Output) -> Result<Self, EncodeError> {
        let batches = Batches::new(columns, &options.zone, BATCH_ROWS)?;
        let packed = IpcWriteOptions::default().try_with_compression(Some(CompressionType::ZSTD));
        let writer = FileWriter::try_new_with_options(out, &batches.schema, packed.map_err(arrow_failed)?);
        Ok(Self { writer: writer.map_err(arrow_failed)?, batches })
    }
}

impl Encoder for Arrow {
    fn record(&mut self, values: &[Value<'_>]) -> Result<(), EncodeError> {
        if let Some(batch) = self.batches.push(values)? {
            self.writer.write(&batch).map_err(arrow_failed)?;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<Summary, EncodeError> {
        if let Some(batch) = self.batches.take()? {
            self.writer.write(&batch).map_err(arrow_failed)?;
        }
        self.writer.finish().map_err(arrow_failed)?;
        Ok(Summary { notes: self.batches.notes() })
    }
}
