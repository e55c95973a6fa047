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
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use lovage_artifacts::{ArtifactWriter, Staged};
use lovage_core::{Invalid, Progress};
use lovage_formats::{Column, EncodeError, Encoder, Summary, Value};
use lovage_worker::{JobContext, JobError};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};

use super::fault;
use super::plan::{File, Query};

/// How long an abort is waited for.
const ABORT: Duration = Duration::from_millis(500);
/// Batches between reader and encoder, and chunks between encoder and uploader.
const WAITING: usize = 4;
/// A chunk is handed over once it has this size.
const CHUNK: usize = 256 * 1024;

/// What a reader knows before the first record.
pub(super) struct Reading {
    /// The columns, as the encoder sees them.
    pub(super) columns: Vec<Column>,
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

/// Turns what a reader sends into values. Runs on the encoder's thread.
pub(super) trait Decode: Send + 'static {
    type Batch: Send + 'static;

    fn decode(&mut self, batch: Self::Batch, records: &mut Recorder) -> Result<(), Stop>;
}

/// What went through.
#[derive(Debug)]
pub(super) struct Piped {
    pub(super) staged: Staged,
    pub(super) rows: u64,
    pub(super) summary: Summary,
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

/// Why the encoder stopped early.
#[derive(Debug)]
pub(super) enum Stop {
    /// The uploader takes no more, or the reader sends no more; they know why.
    Abandoned,
    /// This file cannot be made.
    Encode(EncodeError),
    /// More records than the dataset allows.
    Limit(u64),
    /// What came from the source cannot be understood.
    Broken(String),
}

/// Where decoded records go.
pub(super) struct Recorder {
    encoder: Box<dyn Encoder>,
    names: Vec<String>,
    done: Arc<AtomicU64>,
    rows: u64,
    limit: Option<u64>,
}

impl Recorder {
    /// Adds a record.
    pub(super) fn record(&mut self, values: &[Value<'_>]) -> Result<(), Stop> {
        if let Some(limit) = self.limit.filter(|limit| self.rows >= *limit) {
            return Err(Stop::Limit(limit));
        }
        self.encoder.record(values)?;
        self.rows += 1;
        Ok(())
    }

    /// That a field of the record that comes next cannot be read.
    pub(super) fn cell(&self, column: usize, problem: impl Into<String>) -> Stop {
        let column = self.names.get(column).cloned().unwrap_or_default();
        Stop::Encode(EncodeError::Cell { column, record: self.rows + 1, problem: problem.into() })
    }
}

impl From<EncodeError> for Stop {
    fn from(error: EncodeError) -> Self {
        match error {
            // The only output is the channel to the uploader.
            EncodeError::Io(_) => Self::Abandoned,
            other => Self::Encode(other),
        }
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

impl Write for Chunks {
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
    (query, file, reading): (&Query, &File, &Reading),
    mut writer: ArtifactWriter,
    decoder: D,
    read: R,
) -> Result<Piped, JobError>
where
    D: Decode,
    R: FnOnce(Batches<D::Batch>) -> F,
    F: Future<Output = Result<(), JobError>> + Send + 'static,
{
    let (batch_sender, batches) = mpsc::channel(WAITING);
    let (sender, mut chunks) = mpsc::channel(WAITING);
    let done = Arc::new(AtomicU64::new(0));
    let output = Chunks { sender, buffer: Vec::with_capacity(CHUNK + CHUNK / 4) };
    let encoder = lovage_formats::encoder(file.format, &reading.columns, &file.options, Box::new(output));
    let recorder = Recorder {
        encoder: encoder.map_err(|error| stopped(Stop::from(error)))?,
        names: reading.columns.iter().map(|column| column.name.clone()).collect(),
        done: Arc::clone(&done),
        rows: 0,
        limit: query.row_limit,
    };
    let mut encoding = tokio::task::spawn_blocking(move || encode(batches, decoder, recorder));
    // Dropping the set stops the reader; so does the worker when it drops this whole future.
    let mut reader = JoinSet::new();
    reader.spawn(read(Batches(batch_sender)));
    let meter = Meter { job, done: &done, total: reading.total };
    let uploaded = tokio::select! {
        biased;
        () = job.cancelled().cancelled() => Err(JobError::Cancelled),
        uploaded = upload(&meter, &mut writer, &mut chunks, &mut encoding, &mut reader) => uploaded,
    };
    let (rows, summary) = match uploaded {
        Ok(encoded) => encoded,
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
        staged = writer.finish() => staged.map_err(fault::artifact)?,
    };
    Ok(Piped { staged, rows, summary })
}

/// The encoder's thread.
fn encode<D: Decode>(
    mut batches: mpsc::Receiver<Sent<D::Batch>>,
    mut decoder: D,
    mut recorder: Recorder,
) -> Result<(u64, Summary), Stop> {
    loop {
        match batches.blocking_recv() {
            Some(Sent::Batch(batch)) => {
                decoder.decode(batch, &mut recorder)?;
                recorder.done.store(recorder.rows, Ordering::Relaxed);
            }
            Some(Sent::Complete) => return Ok((recorder.rows, recorder.encoder.finish()?)),
            None => return Err(Stop::Abandoned),
        }
    }
}

async fn upload(
    meter: &Meter<'_>,
    writer: &mut ArtifactWriter,
    chunks: &mut mpsc::Receiver<Bytes>,
    encoding: &mut JoinHandle<Result<(u64, Summary), Stop>>,
    reader: &mut JoinSet<Result<(), JobError>>,
) -> Result<(u64, Summary), JobError> {
    while let Some(chunk) = chunks.recv().await {
        writer.write(chunk).await.map_err(fault::artifact)?;
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
        Err(stop) => Err(stopped(stop)),
    }
}

/// What follows from the encoder's end.
fn stopped(stop: Stop) -> JobError {
    match stop {
        Stop::Abandoned => JobError::Cancelled,
        Stop::Encode(error) => JobError::Discard(error.into()),
        Stop::Limit(limit) => {
            let help = "narrow it with the parameters, or raise row_limit of the dataset";
            fault::invalid(Invalid::new("rows", format!("are more than {limit}, the dataset's row_limit"), help))
        }
        Stop::Broken(problem) => JobError::Retry(anyhow::anyhow!(problem)),
    }
}

/// Tells the job how far its export is.
struct Meter<'a> {
    job: &'a JobContext,
    done: &'a AtomicU64,
    total: Option<Total>,
}

impl Meter<'_> {
    fn tell(&self, phase: &str, bytes: u64) {
        let done = self.done.load(Ordering::Relaxed);
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

pub(super) fn progress(rows: u64, phase: &str) -> Progress {
    Progress { done: rows, unit: "rows".to_owned(), phase: phase.to_owned(), ..Progress::default() }
}
