//! One file: opens the source, runs the pipeline, describes what came out.

use lovage_artifacts::{ManifestFile, Origin, sha256_hex};
use lovage_worker::artifacts::{self, owner};
use lovage_worker::{JobContext, JobError};

use super::pipeline::{self, Piped, Reading, Total};
use super::plan::{File, Query};
use super::{postgres, sqlite};
use crate::Services;

use crate::sources::Source;

/// A file in the store that nobody sees yet.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) file: ManifestFile,
    /// The value of [`Query::key`] in the last record.
    pub(super) last: Option<String>,
}

/// What other files of the job hold.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Before {
    /// Their records.
    pub(super) rows: u64,
    /// Records of all files, if that is known.
    pub(super) total: Option<Total>,
}

/// Reads the query's result into a file of this attempt.
pub(super) async fn write(
    services: &Services,
    job: &JobContext,
    source: &Source,
    (query, file): (&Query, &File),
    before: Before,
) -> Result<Written, JobError> {
    let created = services.artifacts.create(&owner(job), &file.name, &file.content_type);
    let writer = created.map_err(artifacts::failed)?;
    job.progress(pipeline::progress(before.rows, "connect"));
    let (piped, reading) = match source {
        Source::Postgres(options) => {
            let opening = postgres::Reader::open(options, query, file);
            let reader = job.unless_cancelled(opening).await?;
            let (reading, decoder) = (reader.reading(), reader.decoder());
            let what = (query, file, &reading, before);
            let piped = pipeline::run(job, what, writer, decoder, |batches| reader.read(batches)).await?;
            (piped, reading)
        }
        Source::Sqlite(path) => {
            let opening = sqlite::Reader::open(path, query, job.cancelled().clone());
            let reader = job.unless_cancelled(opening).await?;
            let (reading, decoder) = (reader.reading(), reader.decoder());
            let what = (query, file, &reading, before);
            let piped = pipeline::run(job, what, writer, decoder, |batches| reader.read(batches)).await?;
            (piped, reading)
        }
    };
    Ok(describe(piped, reading, query))
}

fn describe(piped: Piped, reading: Reading, query: &Query) -> Written {
    let origin = Origin {
        source: query.source.clone(),
        engine: reading.engine.to_owned(),
        snapshot: Some(reading.snapshot),
        query_sha256: Some(sha256_hex(query.statement.as_str())),
    };
    let mut file = piped.staged.into_file(Some(piped.recorded.rows), reading.described, Some(origin));
    file.notes = piped.recorded.summary.notes;
    Written { file, last: piped.recorded.last }
}
