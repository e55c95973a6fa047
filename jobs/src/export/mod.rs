//! `export.query`: the result of a query, as a file in the artifact store.
//!
//! One attempt: look for a manifest (an earlier attempt may have published and died before it could say so), open
//! one snapshot of the source, stream it through `pipeline.rs` to a key of its own, publish the manifest while the lease
//! holds. Nothing is visible before the last step, and a second attempt adds nothing after it.

mod chunked;
mod dataset;
mod fault;
mod params;
mod pipeline;
mod plan;
mod postgres;
mod record;
mod sqlite;
mod statement;
mod table;
mod write;

use std::time::Duration;

use lovage_artifacts::{Manifest, Published, sha256_hex};
use lovage_core::LogLevel;
use lovage_payloads::{ExportQuery, ExportResult};
use lovage_worker::artifacts;
use lovage_worker::{Handler, JobContext, JobError, KindOptions};

pub use self::dataset::{Chunks, ColumnOptions, Count, Dataset, Datasets};
pub use self::params::{Param, ParamType};
use self::plan::Known;
pub use self::plan::{ExportRules, Most};
pub(crate) use self::statement::Dialect;
pub use self::table::read_dataset;
use self::write::Before;
use crate::Services;

/// Notes that a result repeats; all stand in the manifest.
const NOTES: usize = 10;

/// Runs `export.query`.
#[derive(Debug)]
pub struct ExportQueryHandler {
    services: Services,
}

impl ExportQueryHandler {
    /// A handler that reads and writes through these services.
    pub fn new(services: Services) -> Self {
        Self { services }
    }

    /// Writes the files and answers a manifest that names them.
    async fn export(&self, args: &ExportQuery, job: &JobContext, request: String) -> Result<Manifest, JobError> {
        let Services { sources, datasets, rules, .. } = &self.services;
        let (plan, source) = Known { sources, datasets, rules }.plan(args, job.tenant()).map_err(fault::invalid)?;
        let files = match &plan.chunks {
            Some(chunks) => chunked::files(&self.services, job, source, &plan, chunks).await?,
            None => vec![
                write::write(&self.services, job, source, (&plan.query, &plan.file), Before::default()).await?.file,
            ],
        };
        let now = self.services.clock.now();
        Ok(Manifest {
            expires_at: plan.keep.map(|keep| now.plus(keep)),
            dataset: plan.dataset,
            chunked: plan.chunks.is_some(),
            ..artifacts::manifest(job, now, request, files)
        })
    }

    /// What the job answers: its file, or, if it has several, their sums under the manifest.
    fn result(&self, manifest: &Manifest) -> Result<ExportResult, JobError> {
        let store = &self.services.artifacts;
        let first = manifest.files.first().ok_or_else(|| anyhow::anyhow!("the manifest names no file"))?;
        let mut result = ExportResult {
            key: first.key.clone(),
            location: store.location(&first.key),
            name: first.name.clone(),
            rows: manifest.files.iter().filter_map(|file| file.rows).sum(),
            bytes: manifest.files.iter().map(|file| file.bytes).sum(),
            sha256: first.sha256.clone(),
            attempt: manifest.attempt,
            files: manifest.files.len(),
            notes: manifest.files.iter().flat_map(|file| file.notes.clone()).take(NOTES).collect(),
        };
        if manifest.chunked {
            result.key = store.manifest_key(&manifest.queue, &manifest.job);
            result.location = store.location(&result.key);
            let digests: Vec<&str> = manifest.files.iter().map(|file| file.sha256.as_str()).collect();
            result.sha256 = sha256_hex(&digests.join("\n"));
        }
        Ok(result)
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
        let request = artifacts::request(&args, job.tenant())?;
        if let Some(manifest) = artifacts::published(store, &job, &request).await? {
            return self.result(&manifest);
        }
        let manifest = self.export(&args, &job, request).await?;
        let rows = manifest.files.iter().filter_map(|file| file.rows).sum();
        job.progress(pipeline::progress(rows, "publish"));
        let published = artifacts::publish(store, &job, manifest).await?;
        let result = self.result(published.manifest())?;
        match published {
            Published::New(manifest) => {
                if manifest.chunked {
                    // Nobody reads them any more; what stays the sweeper removes.
                    let _ = store.forget_chunks(job.queue(), job.id()).await;
                }
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
