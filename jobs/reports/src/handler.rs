//! `export.report`: the attempt from its arguments to the published file.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use lovage_artifacts::{ArtifactStore, ArtifactWriter, Keep, Manifest, Origin, Published, Staged, sha256_hex};
use lovage_core::{Clock, LogLevel, Progress};
use lovage_payloads::{DatasetInput, ExportReport, ReportFormat, ReportResult, ReportSheet};
use lovage_worker::{Handler, JobContext, JobError, KindOptions, artifacts};
use tempfile::TempDir;
use tokio::io::AsyncReadExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::dataset::{self, DatasetReader};
use crate::fault;
use crate::limits::ReportLimits;
use crate::make::{self, Made, Order};
use crate::plan::{Input, Plan};
use crate::stage::{self, Budget, Staged as Table};

/// Bytes that are read and sent at once.
const PIECE: usize = 1 << 20;

/// What the handler works with.
#[derive(Debug, Clone)]
pub struct Services {
    /// Where inputs lie and reports go.
    pub artifacts: ArtifactStore,
    /// Who reads datasets; without it, inputs are files only.
    pub datasets: Option<Arc<dyn DatasetReader>>,
    /// For times that people read; nothing is decided by it.
    pub clock: Arc<dyn Clock>,
    /// What one report may take.
    pub limits: ReportLimits,
    /// How long reports are kept.
    pub keep: Keep,
}

/// Runs `export.report`, one at a time: polars uses all cores for one query, and what several need at once would add up.
#[derive(Debug)]
pub struct ExportReportHandler {
    services: Services,
    /// Held by the thread that queries, also when nobody waits for it any more.
    one: Arc<Semaphore>,
}

/// The folder of one report; gone with this.
struct Workplace {
    folder: TempDir,
    _one: OwnedSemaphorePermit,
}

impl ExportReportHandler {
    /// A handler that reads and writes through these services.
    pub fn new(services: Services) -> Self {
        Self { services, one: Arc::new(Semaphore::new(1)) }
    }

    async fn report(&self, plan: Plan, job: &JobContext, request: String) -> Result<Manifest, JobError> {
        let digest = sheets_sha256(&plan.sheets);
        let (name, format) = (plan.name.clone(), plan.format);
        let (made, workplace, sources) = self.make(plan, job).await?;
        let writer = self.services.artifacts.create(&artifacts::owner(job), &name, content_type(format));
        let staged = upload(&made, writer.map_err(artifacts::failed)?, job).await?;
        drop(workplace);
        let origin = Origin { source: sources, engine: "polars".into(), snapshot: None, query_sha256: Some(digest) };
        let mut file = staged.into_file(Some(made.rows), made.columns, Some(origin));
        file.notes = made.notes;
        let now = self.services.clock.now();
        Ok(Manifest {
            expires_at: self.services.keep.of(job.tenant(), None).map(|keep| now.plus(keep)),
            ..artifacts::manifest(job, now, request, vec![file])
        })
    }

    /// Makes the file; answers the names of its sources, too.
    async fn make(&self, mut plan: Plan, job: &JobContext) -> Result<(Made, Workplace, String), JobError> {
        tell(job, "wait");
        let workplace = job.unless_cancelled(self.workplace()).await?;
        let (inputs, datasets) = (std::mem::take(&mut plan.inputs), std::mem::take(&mut plan.datasets));
        let folder = workplace.folder.path();
        let (inputs, sources, notes) = self.bring(inputs, datasets, folder, job).await?;
        let order = Order {
            inputs,
            params: plan.params,
            sheets: plan.sheets,
            format: plan.format,
            max_rows: self.services.limits.max_rows,
            now: self.services.clock.now(),
        };
        let inner = job.clone();
        // The thread keeps the folder and the turn until it ends, whether or not somebody still waits for it.
        let making =
            job.blocking(move || make::make(&order, workplace.folder.path(), &inner).map(|made| (made, workplace)));
        let (mut made, workplace) = job.unless_cancelled(making).await?;
        made.notes.splice(0..0, notes);
        Ok((made, workplace, sources))
    }

    async fn workplace(&self) -> Result<Workplace, JobError> {
        // Never closed, so this only waits.
        let one = Arc::clone(&self.one).acquire_owned().await?;
        let folder = match &self.services.limits.temp_dir {
            Some(parent) => tempfile::Builder::new().prefix("lovage-report-").tempdir_in(parent),
            None => tempfile::Builder::new().prefix("lovage-report-").tempdir(),
        };
        let folder = folder.map_err(|error| fault::disk("make a temporary folder (reports.temp_dir)", &error))?;
        Ok(Workplace { folder, _one: one })
    }

    /// Brings all inputs into `folder`; answers the names of their sources and what is to be said of them, too. Datasets
    /// come first: a parameter that is wrong is found before anything is downloaded.
    async fn bring(
        &self,
        inputs: Vec<Input>,
        datasets: Vec<(String, DatasetInput)>,
        folder: &Path,
        job: &JobContext,
    ) -> Result<(Vec<Table>, String, Vec<String>), JobError> {
        let (store, reader) = (&self.services.artifacts, self.services.datasets.as_deref());
        let mut budget = Budget::new(job, self.services.limits.max_input_bytes);
        let mut sources = BTreeSet::new();
        if !inputs.is_empty() || datasets.is_empty() {
            sources.insert("artifacts".to_owned());
        }
        let found = job.unless_cancelled(stage::find_all(store, job, inputs, &mut budget)).await?;
        // Not dropped when the job is cancelled: it ends by itself and then leaves the folder alone.
        let read = dataset::read_all(reader, job, datasets, folder, &mut budget).await?;
        sources.extend(read.sources);
        let mut tables = read.tables;
        tables.extend(job.unless_cancelled(stage::bring(store, found, folder, &mut budget)).await?);
        let sources: Vec<String> = sources.into_iter().collect();
        Ok((tables, sources.join(", "), read.notes))
    }

    fn result(&self, manifest: &Manifest) -> Result<ReportResult, JobError> {
        let file = manifest.files.first().ok_or_else(|| anyhow::anyhow!("the manifest names no file"))?;
        Ok(ReportResult {
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

impl Handler for ExportReportHandler {
    type Args = ExportReport;
    type Output = ReportResult;
    const KIND: &'static str = ExportReport::KIND;

    fn options(&self) -> KindOptions {
        KindOptions { max_running: Some(1), ..KindOptions::default() }
    }

    async fn run(&self, args: ExportReport, job: JobContext) -> Result<ReportResult, JobError> {
        let store = &self.services.artifacts;
        let request = artifacts::request(&args, job.tenant())?;
        if let Some(manifest) = artifacts::published(store, &job, &request).await? {
            return self.result(&manifest);
        }
        let plan = Plan::of(args).map_err(fault::invalid)?;
        let manifest = self.report(plan, &job, request).await?;
        tell(&job, "publish");
        let published = artifacts::publish(store, &job, manifest).await?;
        let result = self.result(published.manifest())?;
        let text = match &published {
            Published::New(_) => format!("{} rows, {} bytes: {}", result.rows, result.bytes, result.location),
            Published::Existing(first) => format!("attempt {} was first; this one's file is removed", first.attempt),
        };
        job.log(LogLevel::Info, text);
        let (done, unit, phase) = (result.rows, "rows".to_owned(), "done".to_owned());
        job.progress(Progress { done, total: Some(done), unit, phase, ..Progress::default() });
        Ok(result)
    }
}

/// Sends the file into the store.
async fn upload(made: &Made, mut writer: ArtifactWriter, job: &JobContext) -> Result<Staged, JobError> {
    let sent = job.unless_cancelled(async {
        let failed = |error: std::io::Error| fault::disk("read the finished file", &error);
        let mut file = tokio::fs::File::open(&made.file).await.map_err(failed)?;
        let total = file.metadata().await.map_err(failed)?.len();
        loop {
            let mut piece = Vec::with_capacity(PIECE);
            if (&mut file).take(PIECE as u64).read_to_end(&mut piece).await.map_err(failed)? == 0 {
                return Ok(());
            }
            writer.write(Bytes::from(piece)).await.map_err(artifacts::failed)?;
            let (unit, phase) = ("bytes".to_owned(), "upload".to_owned());
            job.progress(Progress { done: writer.bytes(), total: Some(total), unit, phase, ..Progress::default() });
        }
    });
    if let Err(error) = sent.await {
        // A dropped writer aborts in the background: whoever cancels does not wait for a store that hangs.
        drop(writer);
        return Err(error);
    }
    job.unless_cancelled(async { writer.finish().await.map_err(artifacts::failed) }).await
}

fn tell(job: &JobContext, phase: &str) {
    job.progress(Progress { unit: "sheets".to_owned(), phase: phase.to_owned(), ..Progress::default() });
}

fn content_type(format: ReportFormat) -> &'static str {
    match format {
        ReportFormat::Xlsx => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        ReportFormat::Csv => "text/csv; charset=utf-8",
        ReportFormat::Jsonl => "application/jsonl",
        ReportFormat::Parquet => "application/vnd.apache.parquet",
    }
}

/// What was asked for, so that two reports can be told to come from the same queries.
fn sheets_sha256(sheets: &[ReportSheet]) -> String {
    let queries: Vec<&str> = sheets.iter().map(|sheet| sheet.sql.as_str()).collect();
    sha256_hex(&queries.join("\0"))
}
