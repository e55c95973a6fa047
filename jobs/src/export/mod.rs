//! `export.query`: the result of a query, as a file in the artifact store.
//!
//! One attempt: look for a manifest (an earlier attempt may have published and died before it could say so), open
//! one snapshot of the source, stream it through `pipeline.rs` to a key of its own, publish the manifest while the lease
//! holds. Nothing is visible before the last step, and a second attempt adds nothing after it.

mod csv;
mod fault;
mod pipeline;
mod postgres;
mod sink;
mod sqlite;
mod statement;

use std::fmt::Write as _;
use std::future::Future;
use std::time::Duration;

use lovage_artifacts::{ArtifactWriter, Column, FileName, MANIFEST_VERSION, Manifest, ManifestFile, Origin, Published};
use lovage_core::LogLevel;
use lovage_payloads::{ExportFormat, ExportQuery, ExportResult};
use lovage_worker::artifacts::{self, owner};
use lovage_worker::{Handler, JobContext, JobError, KindOptions};
use sha2::{Digest as _, Sha256};

use self::pipeline::Piped;
use self::statement::{Dialect, Statement};
use crate::Services;
use crate::sources::Source;

/// The file's name when the job names none.
const NAME: &str = "export.csv";
const CSV: &str = "text/csv; charset=utf-8";

/// Runs `export.query`.
#[derive(Debug)]
pub struct ExportQueryHandler {
    services: Services,
}

/// A file that was read from a source and that nobody sees yet.
struct Exported {
    piped: Piped,
    columns: Vec<Column>,
    origin: Origin,
}

impl ExportQueryHandler {
    /// A handler that reads and writes through these services.
    pub fn new(services: Services) -> Self {
        Self { services }
    }

    async fn export(&self, args: &ExportQuery, job: &JobContext) -> Result<Exported, JobError> {
        let name: FileName = args.name.as_deref().unwrap_or(NAME).parse().map_err(fault::invalid)?;
        let source = self.services.sources.get(&args.source).map_err(fault::invalid)?;
        let content_type = match args.format {
            ExportFormat::Csv => CSV,
        };
        let writer = self.services.artifacts.create(&owner(job), &name, content_type).map_err(fault::artifact)?;
        read(source, args, job, writer).await
    }

    fn manifest(&self, job: &JobContext, exported: Exported) -> Manifest {
        let Exported { piped, columns, origin } = exported;
        Manifest {
            version: MANIFEST_VERSION,
            queue: job.queue().clone(),
            job: job.id().clone(),
            kind: job.kind().clone(),
            attempt: job.attempt(),
            token: job.token(),
            producer: concat!("lovage ", env!("CARGO_PKG_VERSION")).to_owned(),
            created_at: self.services.clock.now(),
            files: vec![piped.staged.into_file(Some(piped.rows), columns, Some(origin))],
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

async fn read(
    source: &Source,
    args: &ExportQuery,
    job: &JobContext,
    writer: ArtifactWriter,
) -> Result<Exported, JobError> {
    job.progress(pipeline::progress(0, "connect"));
    let origin = |engine: &str, snapshot: String| Origin {
        source: args.source.clone(),
        engine: engine.to_owned(),
        snapshot: Some(snapshot),
        query_sha256: Some(hex_sha256(&args.sql)),
    };
    match source {
        Source::Postgres(options) => {
            let statement = Statement::parse(&args.sql, Dialect::Postgres).map_err(fault::invalid)?;
            let opening = postgres::Reader::open(&args.source, options, &statement);
            let mut reader = unless_cancelled(job, opening).await?;
            let (columns, snapshot) = (std::mem::take(&mut reader.columns), std::mem::take(&mut reader.snapshot));
            let piped = pipeline::run(job, writer, |sink| reader.read(sink)).await?;
            Ok(Exported { piped, columns, origin: origin("postgres", snapshot) })
        }
        Source::Sqlite(file) => {
            let statement = Statement::parse(&args.sql, Dialect::Sqlite).map_err(fault::invalid)?;
            let opening = sqlite::Reader::open(&args.source, file, statement, job.cancelled().clone());
            let reader = unless_cancelled(job, opening).await?;
            let (columns, snapshot) = (reader.columns.clone(), reader.snapshot.clone());
            let piped = pipeline::run(job, writer, |sink| reader.read(sink)).await?;
            Ok(Exported { piped, columns, origin: origin("sqlite", snapshot) })
        }
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
