//! A dataset in chunks: each reads the next records by their key into a file of its own and commits it with the key of its
//! last record. An attempt that finds committed chunks goes on behind them, so a crash or a deploy costs at most one.
//!
//! Each chunk has a snapshot of its own. That is the same data as one snapshot only because the dataset declares its records
//! immutable and its key unique; records that are added meanwhile stay out, because the largest key is fixed by the first
//! chunk and carried along by all others.

use std::collections::BTreeMap;

use lovage_artifacts::{ArtifactError, Chunk, FileName, LeaseCheck as _, ManifestFile, sha256_hex};
use lovage_core::{Invalid, LogLevel};
use lovage_worker::artifacts::{self, JobLease, owner};
use lovage_worker::{JobContext, JobError};
use serde::{Deserialize, Serialize};

use super::dataset::{Chunks, Count};
use super::params::{Bound, BoundValue};
use super::pipeline::Total;
use super::plan::{File, Plan, Query};
use super::write::{Before, Written, write};
use super::{fault, postgres, sqlite};
use crate::Services;
use crate::sources::Source;

/// Names of the two bounds in the statement; a dataset cannot declare them (`dataset::OURS`).
const AFTER: &str = "lovage_after";
const UNTIL: &str = "lovage_until";

/// Where a chunk stands among the others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Checkpoint {
    /// What it is a part of.
    of: String,
    /// The key behind which it begins; none for the first.
    after: Option<String>,
    /// The largest key of the export; none if there was no record.
    until: Option<String>,
    /// The key of its last record; none if it has no record.
    last: Option<String>,
    /// Whether another chunk follows.
    more: bool,
}

/// Writes what is missing and answers the files of all chunks, in order.
pub(super) async fn files(
    services: &Services,
    job: &JobContext,
    source: &Source,
    plan: &Plan,
    chunks: &Chunks,
) -> Result<Vec<ManifestFile>, JobError> {
    let store = &services.artifacts;
    let of = fingerprint(plan, chunks);
    let found = resumable(services, job, &of).await?;
    if let Some((last, _)) = found.last() {
        job.log(LogLevel::Info, format!("goes on behind chunk {}, which attempt {} wrote", last.number, last.attempt));
    }
    let mut place: Option<Checkpoint> = found.last().map(|(_, checkpoint)| checkpoint.clone());
    let mut files: Vec<ManifestFile> = found.into_iter().map(|(chunk, _)| chunk.file).collect();
    let mut total = None;
    if place.as_ref().is_none_or(|place| place.more) {
        job.unless_cancelled(refuse_null(job, source, plan, chunks)).await?;
        total = job.unless_cancelled(count(job, source, plan)).await?;
    }
    while place.as_ref().is_none_or(|place| place.more) {
        let (after, until) = match &place {
            Some(place) => (place.last.clone(), place.until.clone()),
            None => (None, job.unless_cancelled(largest(job, source, plan, chunks)).await?),
        };
        let number = files.len() as u32 + 1;
        let query = slice(&plan.query, chunks, after.as_deref(), until.as_deref());
        let file = numbered(&plan.file, number)?;
        let before = Before { rows: files.iter().filter_map(|file| file.rows).sum(), total };
        let written = write(services, job, source, (&query, &file), before).await?;
        let more = written.last != until;
        if more {
            let checked = check_end(job, source, plan, chunks, &written, until.as_deref());
            if let Err(refused) = job.unless_cancelled(checked).await {
                remove(services, &written.file).await;
                return Err(refused);
            }
        }
        let ours = Checkpoint { of: of.clone(), after, until, last: written.last, more };
        let value = serde_json::to_value(&ours).map_err(|error| JobError::Retry(error.into()))?;
        let chunk = Chunk::new(number, &owner(job), written.file, value);
        let chunk = store.commit_chunk(&owner(job), chunk, &JobLease(job)).await.map_err(artifacts::failed)?;
        // Another attempt may have been first: its chunk counts, if it continues the same chain.
        let theirs = read(&chunk).filter(|theirs| theirs.begins_like(&ours));
        let Some(theirs) = theirs else { return Err(strangers(services, job).await) };
        place = Some(theirs);
        files.push(chunk.file);
    }
    // The sweeper may have taken this job for one that can run no more, between its end and its redrive: see `sweep.rs`.
    let still = store.chunks(job.queue(), job.id()).await.map_err(artifacts::failed)?;
    if still.len() < files.len() || still.iter().zip(&files).any(|(chunk, file)| chunk.file.key != file.key) {
        return Err(strangers(services, job).await);
    }
    Ok(files)
}

/// The chunks that this export can go on behind. Those of another one (the dataset was changed, or the job's id is used
/// again) and broken ones are forgotten.
async fn resumable(services: &Services, job: &JobContext, of: &str) -> Result<Vec<(Chunk, Checkpoint)>, JobError> {
    let found = match services.artifacts.chunks(job.queue(), job.id()).await {
        Ok(found) => found,
        Err(error @ (ArtifactError::NotFound(_) | ArtifactError::Mismatch(_) | ArtifactError::Unreadable { .. })) => {
            job.log(LogLevel::Warn, format!("begins anew: {error}"));
            forget(services, job).await?;
            return Ok(Vec::new());
        }
        Err(error) => return Err(artifacts::failed(error)),
    };
    let mut chain: Vec<(Chunk, Checkpoint)> = Vec::with_capacity(found.len());
    for chunk in found {
        let fits = |checkpoint: &Checkpoint| {
            let behind = chain.last().is_none_or(|(_, before)| before.leads_to(checkpoint));
            checkpoint.of == of && behind
        };
        let Some(checkpoint) = read(&chunk).filter(fits) else {
            job.log(LogLevel::Warn, "begins anew: the chunks that are there belong to another export");
            forget(services, job).await?;
            return Ok(Vec::new());
        };
        chain.push((chunk, checkpoint));
    }
    Ok(chain)
}

impl Checkpoint {
    fn leads_to(&self, next: &Self) -> bool {
        self.more && self.last == next.after && self.until == next.until
    }

    fn begins_like(&self, other: &Self) -> bool {
        (&self.of, &self.after, &self.until) == (&other.of, &other.after, &other.until)
    }
}

fn read(chunk: &Chunk) -> Option<Checkpoint> {
    serde_json::from_value(chunk.checkpoint.clone()).ok()
}

/// Everything that makes two chunks parts of one file.
fn fingerprint(plan: &Plan, chunks: &Chunks) -> String {
    let Plan { dataset, query, file, .. } = plan;
    let zone = file.options.zone.iana_name();
    let options = (file.options.delimiter, file.options.compression, &file.options.entry, file.options.rows_per_file);
    let Query { source, statement, params, columns, .. } = query;
    let parts = (dataset, source, statement, params, columns, chunks);
    sha256_hex(&format!("{parts:?} {zone:?} {options:?} {:?} {}", file.format, file.name))
}

/// Forgets the records, if this attempt still holds the job: a late one must not undo the work of the next.
async fn forget(services: &Services, job: &JobContext) -> Result<(), JobError> {
    JobLease(job).confirm().await.map_err(|lost| artifacts::failed(lost.into()))?;
    services.artifacts.forget_chunks(job.queue(), job.id()).await.map_err(artifacts::failed)
}

/// Records of two runs have met. None of them is visible: they are forgotten and the next attempt begins with the first.
async fn strangers(services: &Services, job: &JobContext) -> JobError {
    match forget(services, job).await {
        Ok(()) => {
            JobError::Retry(anyhow::anyhow!("the chunks of an earlier attempt do not fit together; it begins anew"))
        }
        Err(error) => error,
    }
}

async fn remove(services: &Services, file: &ManifestFile) {
    if let Err(error) = services.artifacts.remove(&file.key).await {
        tracing::warn!(key = file.key, %error, "the file of a refused chunk could not be removed; the sweeper will");
    }
}

/// A record without a key is in no chunk.
async fn refuse_null(job: &JobContext, source: &Source, plan: &Plan, chunks: &Chunks) -> Result<(), JobError> {
    let tail = format!("\n) AS q WHERE q.{} IS NULL LIMIT 1", quoted(&chunks.key));
    if first(job, source, plan, "SELECT '1' FROM (", &tail, BTreeMap::new()).await?.is_none() {
        return Ok(());
    }
    let help = "name a column that is never null";
    Err(fault::invalid(Invalid::new("chunks.key", format!("{:?} is null in a record", chunks.key), help)))
}

/// Whether another chunk can begin behind this one: it is full, and no record with the key of its last one is left, which
/// would be in none.
async fn check_end(
    job: &JobContext,
    source: &Source,
    plan: &Plan,
    chunks: &Chunks,
    written: &Written,
    until: Option<&str>,
) -> Result<(), JobError> {
    let last = written.last.as_deref();
    let refuse = |problem: String, help| Err(fault::invalid(Invalid::new("chunks.key", problem, help)));
    if written.file.rows.is_none_or(|rows| rows < chunks.rows) {
        let problem = format!("the records end at {last:?} and not at the largest key {until:?}");
        return refuse(problem, "name a column that is unique, never null, never changes, and has the declared type");
    }
    let tail = format!("\n) AS q WHERE q.{} = :{AFTER} LIMIT 1 OFFSET 1", quoted(&chunks.key));
    let bounds = BTreeMap::from([bound(chunks, AFTER, last)]);
    if first(job, source, plan, "SELECT '1' FROM (", &tail, bounds).await?.is_none() {
        return Ok(());
    }
    let problem = format!("{:?} has the value {} twice", chunks.key, last.unwrap_or_default());
    refuse(problem, "name a column whose values are unique")
}

/// How many records all chunks will hold: a guess, because records are added meanwhile.
async fn count(job: &JobContext, source: &Source, plan: &Plan) -> Result<Option<Total>, JobError> {
    let found = match (plan.query.count, source) {
        (Count::None, _) | (Count::Estimate, Source::Sqlite(_)) => None,
        (_, Source::Postgres(options)) => postgres::count(options, &plan.query, &plan.file).await?,
        (Count::Exact, Source::Sqlite(file)) => sqlite::count(file, &plan.query, job.cancelled().clone()).await?,
    };
    Ok(found.map(|total| Total { approximate: true, ..total }))
}

/// The largest key, as text.
async fn largest(job: &JobContext, source: &Source, plan: &Plan, chunks: &Chunks) -> Result<Option<String>, JobError> {
    let key = quoted(&chunks.key);
    let (head, tail) = match source {
        Source::Postgres(_) => (format!("SELECT q.{key}::text FROM ("), " NULLS LAST"),
        Source::Sqlite(_) => (format!("SELECT CAST(q.{key} AS TEXT) FROM ("), ""),
    };
    let tail = format!("\n) AS q ORDER BY q.{key} DESC{tail} LIMIT 1");
    first(job, source, plan, &head, &tail, BTreeMap::new()).await
}

/// The first value that the dataset answers between these two texts.
async fn first(
    job: &JobContext,
    source: &Source,
    plan: &Plan,
    head: &str,
    tail: &str,
    bounds: BTreeMap<String, Bound>,
) -> Result<Option<String>, JobError> {
    let mut query = Query { statement: plan.query.statement.wrapped(head, tail), ..plan.query.clone() };
    query.params.extend(bounds);
    match source {
        Source::Postgres(options) => postgres::first(options, &query, &plan.file).await,
        Source::Sqlite(file) => sqlite::first(file, &query, job.cancelled().clone()).await,
    }
}

/// A bound of a chunk as a parameter.
fn bound(chunks: &Chunks, name: &str, value: Option<&str>) -> (String, Bound) {
    let value = value.map_or(BoundValue::Null, |value| BoundValue::One(value.to_owned()));
    (name.to_owned(), Bound { ty: chunks.ty, list: false, value })
}

/// The query of one chunk.
fn slice(query: &Query, chunks: &Chunks, after: Option<&str>, until: Option<&str>) -> Query {
    let key = quoted(&chunks.key);
    // Without a largest key there is no record, and none compares to null.
    let mut params = query.params.clone();
    params.extend([bound(chunks, UNTIL, until)]);
    let mut condition = format!("q.{key} <= :{UNTIL}");
    if after.is_some() {
        params.extend([bound(chunks, AFTER, after)]);
        condition = format!("{condition} AND q.{key} > :{AFTER}");
    }
    let tail = format!("\n) AS q WHERE {condition} ORDER BY q.{key} LIMIT {}", chunks.rows);
    Query {
        statement: query.statement.wrapped("SELECT * FROM (", &tail),
        params,
        key: Some(chunks.key.clone()),
        count: Count::None,
        ..query.clone()
    }
}

/// The name as an identifier of SQL.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The file of one chunk: `orders.csv` becomes `orders-0001.csv`.
fn numbered(file: &File, number: u32) -> Result<File, JobError> {
    let name = file.name.as_str();
    let extension = format!(".{}", file.format.extension());
    let at = name.rfind(&extension).or_else(|| name.rfind('.')).unwrap_or(name.len());
    let name: FileName = format!("{}-{number:04}{}", &name[..at], &name[at..]).parse().map_err(fault::invalid)?;
    Ok(File { name, ..file.clone() })
}
