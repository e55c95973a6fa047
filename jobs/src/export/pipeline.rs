//! Three stages at once: the database is read, records are encoded, bytes are uploaded.
//!
//! The reader is a task and hands batches over through a bounded channel; the encoder has a thread of its own, because
//! encoding is work for a processor and would keep an async thread from everything else; what it writes goes through
//! a second bounded channel to the uploader. When the store is slow the channels fill, the encoder waits, then the reader,
//! and the database's socket with it, so memory stays flat. Whoever ends first ends the others.
//!
//! An encoder cannot tell a reader that has broken off from one that is done, and a finished file of half the records
//! would look whole. So the reader says when it has sent everything, and only then the file is finished.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use lovage_artifacts::{ArtifactWriter, Staged};
use lovage_core::{Invalid, Progress};
use lovage_formats::Column;
use lovage_worker::{JobContext, JobError};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};

use super::fault;
use super::plan::{File, Purpose, Query};
use super::record::{Decode, Recorded, Recorder, Stop};
use super::write::Before;

/// How long an abort is waited for.
const ABORT: Duration = Duration::from_millis(500);
/// Batches between reader and encoder.
const BATCHES: usize = 2;
/// Chunks between encoder and uploader.
const WAITING: usize = 4;
/// Bytes of a batch: large enough that handing it over costs nothing, small enough that progress and cancellation are
/// noticed at once.
pub(super) const BATCH: usize = 256 * 1024;
/// Largest record. A batch has at least one, and several batches are on their way.
pub(super) const RECORD: usize = 64 * 1024 * 1024;
/// A chunk is handed over once it has this size.
const CHUNK: usize = 256 * 1024;

/// What a reader knows before the first record.
pub(super) struct Reading {
    /// The columns, as the encoder sees them.
    pub(super) columns: Vec<Column>,
    /// Their names in the query, which the encoder's may differ from.
    pub(super) names: Vec<String>,
    /// The columns, as the manifest describes them.
    pub(super) described: Vec<lovage_artifacts::Column>,
    /// The kind of database.
    pub(super) engine: &'static str,
    /// The one state that is read, in the database's own words.
    pub(super) snapshot: String,
    /// How many records will come, if that is known.
    pub(super) total: Option<Total>,
}

/// How many records will come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Total {
    pub(super) rows: u64,
    /// Whether it is a guess.
    pub(super) approximate: bool,
}

/// What went through.
#[derive(Debug)]
pub(super) struct Piped {
    pub(super) staged: Staged,
    pub(super) recorded: Recorded,
}

/// The reader's end of the first channel.
pub(super) struct Batches<B>(mpsc::Sender<Sent<B>>);

enum Sent<B> {
    Batch(B),
    /// All of them were sent.
    Complete,
}

impl<B> Batches<B> {
    /// Hands a batch over; waits while the encoder is behind.
    pub(super) async fn send(&mut self, batch: B) -> Result<(), JobError> {
        // The encoder goes away first only when it has failed or the export was cancelled; whoever waits for it knows.
        self.0.send(Sent::Batch(batch)).await.map_err(|_| JobError::Cancelled)
    }

    /// Says that everything was sent.
    pub(super) async fn complete(self) -> Result<(), JobError> {
        self.0.send(Sent::Complete).await.map_err(|_| JobError::Cancelled)
    }
}

/// The encoder's end of the second channel: collects bytes into chunks.
struct Chunks {
    sender: mpsc::Sender<Bytes>,
    buffer: Vec<u8>,
}

impl Chunks {
    fn hand_over(&mut self) -> io::Result<()> {
        let chunk = std::mem::replace(&mut self.buffer, Vec::with_capacity(CHUNK + CHUNK / 4));
        self.sender.blocking_send(Bytes::from(chunk)).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl io::Write for Chunks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= CHUNK {
            self.hand_over()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() { Ok(()) } else { self.hand_over() }
    }
}

/// Runs `read` through `decode` into `writer`, to the end of all. If one fails or the job is cancelled, nothing stays:
/// the reader is stopped and the upload aborted.
pub(super) async fn run<D, R, F>(
    job: &JobContext,
    (query, file, reading, before): (&Query, &File, &Reading, Before),
    mut writer: ArtifactWriter,
    decoder: D,
    read: R,
) -> Result<Piped, JobError>
where
    D: Decode,
    R: FnOnce(Batches<D::Batch>) -> F,
    F: Future<Output = Result<(), JobError>> + Send + 'static,
{
    let (batch_sender, batches) = mpsc::channel(BATCHES);
    let (sender, mut chunks) = mpsc::channel(WAITING);
    let done = Arc::new(AtomicU64::new(0));
    let output = Chunks { sender, buffer: Vec::with_capacity(CHUNK + CHUNK / 4) };
    let (columns, options, format) = (reading.columns.clone(), file.options.clone(), file.format);
    let record = Recorder::prepare(query, reading, before.rows, Arc::clone(&done))?;
    let mut encoding = tokio::task::spawn_blocking(move || {
        // An encoder may write at once, and its output waits: only here it may.
        let encoder = lovage_formats::encoder(format, &columns, &options, Box::new(output))?;
        encode(batches, decoder, record(encoder))
    });
    // Dropping the set stops the reader; so does the worker when it drops this whole future.
    let mut reader = JoinSet::new();
    reader.spawn(read(Batches(batch_sender)));
    let total = before.total.or(reading.total);
    let meter = Meter { job, done: &done, total, before: before.rows, purpose: &file.purpose };
    let uploaded = tokio::select! {
        biased;
        () = job.cancelled().cancelled() => Err(JobError::Cancelled),
        uploaded = upload(&meter, &mut writer, &mut chunks, &mut encoding, &mut reader) => uploaded,
    };
    let recorded = match uploaded {
        Ok(recorded) => recorded,
        Err(error) => {
            reader.shutdown().await;
            // Goes on by itself if the store takes longer: whoever cancels does not wait for a store that hangs.
            let _ = tokio::time::timeout(ABORT, tokio::spawn(writer.abort())).await;
            return Err(error);
        }
    };
    meter.tell("upload", writer.bytes());
    let staged = tokio::select! {
        biased;
        // The dropped writer aborts its upload.
        () = job.cancelled().cancelled() => return Err(JobError::Cancelled),
        staged = writer.finish() => staged.map_err(lovage_worker::artifacts::failed)?,
    };
    Ok(Piped { staged, recorded })
}

/// The encoder's thread.
fn encode<D: Decode>(
    mut batches: mpsc::Receiver<Sent<D::Batch>>,
    mut decoder: D,
    mut recorder: Recorder,
) -> Result<Recorded, Stop> {
    loop {
        match batches.blocking_recv() {
            Some(Sent::Batch(batch)) => {
                decoder.decode(batch, &mut recorder)?;
                recorder.tell();
            }
            Some(Sent::Complete) => return recorder.finish(),
            None => return Err(Stop::Abandoned),
        }
    }
}

async fn upload(
    meter: &Meter<'_>,
    writer: &mut ArtifactWriter,
    chunks: &mut mpsc::Receiver<Bytes>,
    encoding: &mut JoinHandle<Result<Recorded, Stop>>,
    reader: &mut JoinSet<Result<(), JobError>>,
) -> Result<Recorded, JobError> {
    while let Some(chunk) = chunks.recv().await {
        meter.bound(writer.bytes() + chunk.len() as u64)?;
        writer.write(chunk).await.map_err(lovage_worker::artifacts::failed)?;
        meter.tell("export", writer.bytes());
    }
    // The channel is closed: the encoder has ended, well or not.
    let encoded = encoding.await.map_err(|error| JobError::Retry(anyhow::anyhow!("the encoder broke: {error}")))?;
    match encoded {
        Ok(encoded) => Ok(encoded),
        // The reader has ended without saying that it was done.
        Err(Stop::Abandoned) => match reader.join_next().await {
            Some(Ok(Err(error))) => Err(error),
            Some(Err(error)) => Err(JobError::Retry(anyhow::anyhow!("the reader broke: {error}"))),
            _ => Err(JobError::Cancelled),
        },
        Err(stop) => Err(stop.into()),
    }
}

/// Tells the job how far its export is.
struct Meter<'a> {
    job: &'a JobContext,
    done: &'a AtomicU64,
    total: Option<Total>,
    /// Records that other files of the job hold.
    before: u64,
    purpose: &'a Purpose,
}

impl Meter<'_> {
    /// Refuses a file of so many bytes, if it may not become so large.
    fn bound(&self, bytes: u64) -> Result<(), JobError> {
        match self.purpose {
            Purpose::Table(most) if bytes > most.bytes => Err(fault::invalid(most.beyond.clone())),
            Purpose::Table(_) | Purpose::Export => Ok(()),
        }
    }

    fn tell(&self, phase: &str, bytes: u64) {
        let done = self.before + self.done.load(Ordering::Relaxed);
        let phase = if *self.purpose == Purpose::Export { phase } else { "read" };
        // A guess that was too low says nothing any more.
        let total = self.total.filter(|total| !total.approximate || total.rows > done);
        self.job.progress(Progress {
            done,
            total: total.map(|total| total.rows),
            approximate: total.is_some_and(|total| total.approximate),
            bytes: Some(bytes),
            ..progress(done, phase)
        });
    }
}

/// That a record is too large to be exported.
pub(super) fn too_large(record: u64, bytes: usize) -> JobError {
    let problem = format!("has {} MiB in record {record}, and {} MiB are the most", bytes >> 20, RECORD >> 20);
    fault::invalid(Invalid::new("rows", problem, "leave the large column out of the query"))
}

pub(super) fn progress(rows: u64, phase: &str) -> Progress {
    Progress { done: rows, unit: "rows".to_owned(), phase: phase.to_owned(), ..Progress::default() }
}
