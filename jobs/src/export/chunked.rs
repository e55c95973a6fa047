//! A dataset in chunks: each reads the next records by their key into a file of its own and commits it with the key of its
//! last record. An attempt that finds committed chunks goes on behind them, so a crash or a deploy costs at most one.
//!
//! Each chunk has a snapshot of its own. That is the same data as one snapshot only because the dataset declares its records
//! immutable and its key unique; records that are added meanwhile stay out, because the largest key is fixed by the first
//! chunk and carried along by all others.

use std::collections::BTreeMap;

use lovage_artifacts::{Chunk, FileName, ManifestFile};
use lovage_core::LogLevel;
use lovage_worker::{JobContext, JobError};
use serde::{Deserialize, Serialize};

use super::dataset::{Chunks, Count};
use super::params::{Bound, BoundValue};
use super::pipeline::Total;
use super::plan::{File, Plan, Query};
use super::write::{Before, unless_cancelled, write};
use super::{fault, postgres, sqlite};
use crate::Services;
use crate::lease::{JobLease, owner};
use crate::sources::Source;

/// Names of the two bounds in the statement; a dataset cannot declare them (`dataset::OURS`).
const AFTER: &str = "lovage_after";
const UNTIL: &str = "lovage_until";

/// Where a chunk stands among the others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Checkpoint {
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
    let found = store.chunks(job.queue(), job.id()).await.map_err(fault::artifact)?;
    if let Some(last) = found.last() {
        job.log(LogLevel::Info, format!("goes on behind chunk {}, which attempt {} wrote", last.number, last.attempt));
    }
    let mut files: Vec<ManifestFile> = Vec::with_capacity(found.len() + 1);
    let mut place: Option<Checkpoint> = None;
    for chunk in found {
        let checkpoint = read(&chunk)?;
        if place.as_ref().is_some_and(|place| !place.leads_to(&checkpoint)) {
            return Err(begin_anew(services, job).await);
        }
        place = Some(checkpoint);
        files.push(chunk.file);
    }
    let total = unless_cancelled(job, total(source, plan, job)).await?;
    while place.as_ref().is_none_or(|place| place.more) {
        let (after, until) = match &place {
            Some(place) => (place.last.clone(), place.until.clone()),
            None => (None, unless_cancelled(job, largest(source, &plan.query, chunks)).await?),
        };
        let number = files.len() as u32 + 1;
        let query = slice(&plan.query, chunks, after.as_deref(), until.as_deref());
        let file = numbered(&plan.file, number)?;
        let before = Before { rows: files.iter().filter_map(|file| file.rows).sum(), total };
        let written = write(services, job, source, (&query, &file), before).await?;
        let more = written.file.rows.is_some_and(|rows| rows >= chunks.rows) && written.last != until;
        let ours = Checkpoint { after, until, last: written.last, more };
        let value = serde_json::to_value(&ours).map_err(|error| JobError::Retry(error.into()))?;
        let chunk = Chunk::new(number, &owner(job), written.file, value);
        let chunk = store.commit_chunk(&owner(job), chunk, &JobLease(job)).await.map_err(fault::artifact)?;
        let theirs = read(&chunk)?;
        // Another attempt may have been first: its chunk counts, if it continues the same chain.
        if (&theirs.after, &theirs.until) != (&ours.after, &ours.until) {
            return Err(begin_anew(services, job).await);
        }
        place = Some(theirs);
        files.push(chunk.file);
    }
    // The sweeper may have taken this job for one that can run no more, between its end and its redrive: see `sweep.rs`.
    let still = store.chunks(job.queue(), job.id()).await.map_err(fault::artifact)?;
    if still.len() < files.len() || still.iter().zip(&files).any(|(chunk, file)| chunk.file.key != file.key) {
        return Err(begin_anew(services, job).await);
    }
    Ok(files)
}

impl Checkpoint {
    fn leads_to(&self, next: &Self) -> bool {
        self.more && self.last == next.after && self.until == next.until
    }
}

fn read(chunk: &Chunk) -> Result<Checkpoint, JobError> {
    let read = serde_json::from_value(chunk.checkpoint.clone());
    read.map_err(|error| {
        JobError::Discard(anyhow::anyhow!("chunk {} has an unknown checkpoint: {error}", chunk.number))
    })
}

/// Records of two runs have met. None of them is visible: they are forgotten and the next attempt begins with the first.
async fn begin_anew(services: &Services, job: &JobContext) -> JobError {
    if let Err(error) = services.artifacts.forget_chunks(job.queue(), job.id()).await {
        return fault::artifact(error);
    }
    JobError::Retry(anyhow::anyhow!("the chunks of an earlier attempt do not fit together; it begins anew"))
}

/// How many records all chunks will hold: a guess, because records are added meanwhile.
async fn total(source: &Source, plan: &Plan, job: &JobContext) -> Result<Option<Total>, JobError> {
    let found = match source {
        Source::Postgres(options) => postgres::count(options, &plan.query, &plan.file).await?,
        Source::Sqlite(file) => sqlite::count(file, &plan.query, job.cancelled().clone()).await?,
    };
    Ok(found.map(|total| Total { approximate: true, ..total }))
}

/// The largest key, as text.
async fn largest(source: &Source, query: &Query, chunks: &Chunks) -> Result<Option<String>, JobError> {
    let key = quoted(&chunks.key);
    match source {
        Source::Postgres(options) => {
            let (before, after) =
                (format!("SELECT q.{key}::text FROM ("), format!("\n) AS q ORDER BY q.{key} DESC NULLS LAST LIMIT 1"));
            let query = Query { statement: query.statement.wrapped(&before, &after), ..query.clone() };
            postgres::first(options, &query).await
        }
        Source::Sqlite(file) => {
            let (before, after) =
                (format!("SELECT CAST(q.{key} AS TEXT) FROM ("), format!("\n) AS q ORDER BY q.{key} DESC LIMIT 1"));
            let query = Query { statement: query.statement.wrapped(&before, &after), ..query.clone() };
            sqlite::first(file, &query).await
        }
    }
}

/// The query of one chunk.
fn slice(query: &Query, chunks: &Chunks, after: Option<&str>, until: Option<&str>) -> Query {
    let key = quoted(&chunks.key);
    let mut params: BTreeMap<String, Bound> = query.params.clone();
    let mut bound = |name: &str, value: Option<&str>| {
        let value = value.map_or(BoundValue::Null, |value| BoundValue::One(value.to_owned()));
        params.insert(name.to_owned(), Bound { ty: chunks.ty, value });
    };
    // Without a largest key there is no record, and none compares to null.
    bound(UNTIL, until);
    let mut condition = format!("q.{key} <= :{UNTIL}");
    if after.is_some() {
        bound(AFTER, after);
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
