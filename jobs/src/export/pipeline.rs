//! Three stages at once: the database is read, records are collected into chunks, chunks are uploaded.
//!
//! The reader runs in a task of its own and hands chunks over through a bounded channel; the uploader takes them as fast
//! as the store does. When the store is slow the channel fills, the reader waits, and the database's socket with it,
//! so memory stays flat: some chunks here, three parts in the writer. Whoever ends first ends the other.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use lovage_artifacts::{ArtifactWriter, Staged};
use lovage_core::Progress;
use lovage_worker::{JobContext, JobError};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::fault;
use super::sink::{Sink, WAITING};

/// How long an abort is waited for.
const ABORT: Duration = Duration::from_millis(500);

/// What went through.
#[derive(Debug)]
pub(super) struct Piped {
    pub(super) staged: Staged,
    pub(super) rows: u64,
}

/// Runs `read` against `writer` to the end of both. If either fails or the job is cancelled, nothing stays: the reader
/// is stopped and the upload aborted.
pub(super) async fn run<R, F>(job: &JobContext, mut writer: ArtifactWriter, read: R) -> Result<Piped, JobError>
where
    R: FnOnce(Sink) -> F,
    F: Future<Output = Result<(), JobError>> + Send + 'static,
{
    let (sender, chunks) = mpsc::channel(WAITING);
    let rows = Arc::new(AtomicU64::new(0));
    // Dropping the set stops the reader; so does the worker when it drops this whole future.
    let mut reader = JoinSet::new();
    reader.spawn(read(Sink::new(sender, Arc::clone(&rows))));
    let uploaded = tokio::select! {
        biased;
        () = job.cancelled().cancelled() => Err(JobError::Cancelled),
        uploaded = upload(job, &mut writer, chunks, &rows, &mut reader) => uploaded,
    };
    if let Err(error) = uploaded {
        reader.shutdown().await;
        // Goes on by itself if the store takes longer: whoever cancels does not wait for a store that hangs.
        let _ = tokio::time::timeout(ABORT, tokio::spawn(writer.abort())).await;
        return Err(error);
    }
    let rows = rows.load(Ordering::Relaxed);
    job.progress(progress(rows, "upload"));
    let staged = tokio::select! {
        biased;
        // The dropped writer aborts its upload.
        () = job.cancelled().cancelled() => return Err(JobError::Cancelled),
        staged = writer.finish() => staged.map_err(fault::artifact)?,
    };
    Ok(Piped { staged, rows })
}

async fn upload(
    job: &JobContext,
    writer: &mut ArtifactWriter,
    mut chunks: mpsc::Receiver<Bytes>,
    rows: &AtomicU64,
    reader: &mut JoinSet<Result<(), JobError>>,
) -> Result<(), JobError> {
    while let Some(chunk) = chunks.recv().await {
        writer.write(chunk).await.map_err(fault::artifact)?;
        job.progress(progress(rows.load(Ordering::Relaxed), "export"));
    }
    // The channel is closed: the reader has ended, well or not.
    match reader.join_next().await {
        Some(Ok(ended)) => ended,
        Some(Err(error)) => Err(JobError::Retry(anyhow::anyhow!("the reader broke: {error}"))),
        None => Ok(()),
    }
}

pub(super) fn progress(rows: u64, phase: &str) -> Progress {
    Progress { done: rows, total: None, unit: "rows".to_owned(), phase: phase.to_owned() }
}
