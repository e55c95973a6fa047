//! The way from the reader to the uploader: bytes collected into chunks, a bounded channel, counters.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use lovage_worker::JobError;
use tokio::sync::mpsc;

/// A chunk is sent once it has this size: large enough that a hand-over between tasks is cheap, small enough that
/// progress and cancellation are noticed at once.
const CHUNK: usize = 256 * 1024;
/// Chunks that wait for the uploader. With [`CHUNK`] it bounds what the two sides hold between them to about 1 MiB.
pub(super) const WAITING: usize = 4;

/// The reader's end.
pub(super) struct Sink {
    sender: mpsc::Sender<Bytes>,
    rows: Arc<AtomicU64>,
    buffer: Vec<u8>,
    pending: u64,
}

impl Sink {
    pub(super) fn new(sender: mpsc::Sender<Bytes>, rows: Arc<AtomicU64>) -> Self {
        Self { sender, rows, buffer: Vec::with_capacity(CHUNK + CHUNK / 8), pending: 0 }
    }

    /// Where to append bytes. Call [`Self::end_row`] after each record.
    pub(super) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Counts a record; waits while the uploader is behind.
    pub(super) async fn end_row(&mut self) -> Result<(), JobError> {
        self.pending += 1;
        if self.buffer.len() >= CHUNK { self.flush().await } else { Ok(()) }
    }

    /// Sends what was collected.
    pub(super) async fn flush(&mut self) -> Result<(), JobError> {
        self.rows.fetch_add(std::mem::take(&mut self.pending), Ordering::Relaxed);
        if self.buffer.is_empty() {
            return Ok(());
        }
        let chunk = std::mem::replace(&mut self.buffer, Vec::with_capacity(CHUNK + CHUNK / 8));
        // The uploader goes away first only when it has failed or was cancelled; it knows why.
        self.sender.send(Bytes::from(chunk)).await.map_err(|_| JobError::Cancelled)
    }
}
