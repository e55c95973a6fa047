//! `export.query`: the result of a query, as a file in the artifact store.
//!
//! One attempt: look for a manifest (an earlier attempt may have published and died before it could say so), open
//! one snapshot of the source, stream it through `pipeline.rs` to a key of its own, publish the manifest while the lease
//! holds. Nothing is visible before the last step, and a second attempt adds nothing after it.

mod dataset;
mod fault;
mod params;
mod pipeline;
mod plan;
mod postgres;
mod sqlite;
mod statement;

use std::fmt::Write as _;
use std::future::Future;
use std::time::Duration;

use lovage_artifacts::{MANIFEST_VERSION, Manifest, ManifestFile, Origin, Published};
use lovage_core::LogLevel;
use lovage_payloads::{ExportQuery, ExportResult};
use lovage_worker::artifacts::{self, owner};
use lovage_worker::{Handler, JobContext, JobError, KindOptions};
use sha2::{Digest as _, Sha256};

pub use self::dataset::{ColumnOptions, Count, Dataset, Datasets};
pub use self::params::{Param, ParamType};
use self::pipeline::{Piped, Reading};
pub use self::plan::ExportRules;
use self::plan::{Known, Plan};
pub(crate) use self::statement::Dialect;
use crate::Services;
use crate::sources::Source;

/// Runs `export.query`.
#[derive(Debug)]
pub struct ExportQueryHandler {
    services: Services,
}

/// A file that was read from a source and that nobody sees yet.
struct Exported {
    piped: Piped,
    reading: Reading,
    plan: Plan,
}

impl ExportQueryHandler {
    /// A handler that reads and writes through these services.
    pub fn new(services: Services) -> Self {
        Self { services }
    }

    async fn export(&self, args: &ExportQuery, job: &JobContext) -> Result<Exported, JobError> {
        let Services { sources, datasets, rules, artifacts, .. } = &self.services;
        let (plan, source) = Known { sources, datasets, rules }.plan(args, job.tenant()).map_err(fault::invalid)?;
        let writer = artifacts.create(&owner(job), &plan.file.name, plan.file.content_type).map_err(fault::artifact)?;
        job.progress(pipeline::progress(0, "connect"));
        match source {
            Source::Postgres(options) => {
                let opening = postgres::Reader::open(options, &plan.query, &plan.file);
                let reader = unless_cancelled(job, opening).await?;
                let (reading, decoder) = (reader.reading(), reader.decoder());
                let what = (&plan.query, &plan.file, &reading);
                let piped = pipeline::run(job, what, writer, decoder, |batches| reader.read(batches)).await?;
                Ok(Exported { piped, reading, plan })
            }
            Source::Sqlite(file) => {
                let opening = sqlite::Reader::open(file, &plan.query, job.cancelled().clone());
                let reader = unless_cancelled(job, opening).await?;
                let (reading, decoder) = (reader.reading(), reader.decoder());
                let what = (&plan.query, &plan.file, &reading);
                let piped = pipeline::run(job, what, writer, decoder, |batches| reader.read(batches)).await?;
                Ok(Exported { piped, reading, plan })
            }
        }
    }

    fn manifest(&self, job: &JobContext, exported: Exported) -> Manifest {
        let Exported { piped, reading, plan } = exported;
        let now = self.services.clock.now();
        let origin = Origin {
            source: plan.query.source,
            engine: reading.engine.to_owned(),
            snapshot: Some(reading.snapshot),
            query_sha256: Some(hex_sha256(plan.query.statement.as_str())),
        };
        let mut file = piped.staged.into_file(Some(piped.rows), reading.described, Some(origin));
        file.notes = piped.summary.notes;
        Manifest {
            version: MANIFEST_VERSION,
            queue: job.queue().clone(),
            job: job.id().clone(),
            kind: job.kind().clone(),
            attempt: job.attempt(),
            token: job.token(),
            producer: concat!("lovage ", env!("CARGO_PKG_VERSION")).to_owned(),
            created_at: now,
            expires_at: plan.keep.map(|keep| now.plus(keep)),
            tenant: job.tenant().cloned(),
            dataset: plan.dataset,
            files: vec![file],
        }
    }

    fn result(&self, manifest: &Manifest) -> Result<ExportResult, JobError> {
        let file: &ManifestFile =
            manifest.files.first().ok_or_else(|| anyhow::anyhow!("the manifest names no file"))?;
        Ok(ExportResult {
            key: file.key.clone(),
            location: self.services.artifacts.location(&file.key),
            name: file.name.clone(),
            rows: file.rows.unwrap_or_default(),
            bytes: file.bytes,
            sha256: file.sha256.clone(),
            attempt: manifest.attempt,
            notes: file.notes.clone(),
        })
    }
}

impl Handler for ExportQueryHandler {
    type Args = ExportQuery;
    type Output = ExportResult;
    const KIND: &'static str = ExportQuery::KIND;

    fn options(&self) -> KindOptions {
        KindOptions { timeout: Duration::from_hours(4), ..KindOptions::default() }
    }

    async fn run(&self, args: ExportQuery, job: JobContext) -> Result<ExportResult, JobError> {
        let store = &self.services.artifacts;
        if let Some(manifest) = store.existing(job.queue(), job.id()).await.map_err(fault::artifact)? {
            job.log(LogLevel::Info, format!("attempt {} has already published the file", manifest.attempt));
            return self.result(&manifest);
        }
        let exported = self.export(&args, &job).await?;
        let rows = exported.piped.rows;
        job.progress(pipeline::progress(rows, "publish"));
        let manifest = self.manifest(&job, exported);
        let published = artifacts::publish(store, &job, manifest).await?;
        let result = self.result(published.manifest())?;
        match published {
            Published::New(_) => {
                job.log(LogLevel::Info, format!("{rows} rows, {} bytes: {}", result.bytes, result.location));
            }
            Published::Existing(manifest) => {
                job.log(LogLevel::Info, format!("attempt {} was first; this one's file is removed", manifest.attempt));
            }
        }
        job.progress(pipeline::progress(result.rows, "done"));
        Ok(result)
    }
}

/// Waits for `opening` unless the job is cancelled first.
async fn unless_cancelled<T>(
    job: &JobContext,
    opening: impl Future<Output = Result<T, JobError>>,
) -> Result<T, JobError> {
    tokio::select! {
        biased;
        () = job.cancelled().cancelled() => Err(JobError::Cancelled),
        opened = opening => opened,
    }
}

fn hex_sha256(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().fold(String::with_capacity(64), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}
