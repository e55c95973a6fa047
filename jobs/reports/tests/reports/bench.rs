//! The table that the tests work at: a store with files in it, and jobs that run without a worker.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt as _;
use lovage_artifacts::{ArtifactStore, Keep, Manifest, StoreConfig, SweepOptions};
use lovage_core::{ManualClock, Timestamp};
use lovage_payloads::{ExportReport, ReportFormat, ReportInput, ReportResult, ReportSheet};
use lovage_reports::{DatasetReader, ExportReportHandler, ReportLimits, Services};
use lovage_testkit::S3Server;
use lovage_worker::testing::DetachedJob;
use lovage_worker::{Handler as _, JobError};
use polars::prelude::{DataFrame, ParquetWriter};
use serde_json::Value;
use tempfile::TempDir;

/// When it is.
pub const NOW: u64 = 1_700_000_000_000;

pub struct Bench {
    pub folder: TempDir,
    /// Where reports have their temporary folders.
    pub temporary: TempDir,
    pub store: ArtifactStore,
    pub handler: Arc<ExportReportHandler>,
}

impl Bench {
    /// A bench whose store is a folder.
    pub fn new() -> Self {
        Self::with_limits(ReportLimits::default())
    }

    pub fn with_limits(limits: ReportLimits) -> Self {
        Self::in_a_folder(|services| services.limits = limits)
    }

    /// A bench whose reports may read datasets through this reader.
    pub fn with_datasets(reader: Arc<dyn DatasetReader>, limits: ReportLimits) -> Self {
        Self::in_a_folder(|services| {
            services.limits = limits;
            services.datasets = Some(reader);
        })
    }

    /// A bench whose reports are kept so long.
    pub fn keeping(keep: Duration) -> Self {
        Self::in_a_folder(|services| services.keep.default = Some(keep))
    }

    /// A bench whose store is no folder: inputs have to be downloaded.
    pub fn in_memory(limits: ReportLimits) -> Self {
        let store = ArtifactStore::open(&StoreConfig::new("memory:")).unwrap();
        Self::build(tempfile::tempdir().unwrap(), store, |services| services.limits = limits)
    }

    /// A bench whose store is a prefix of this server's bucket `files`.
    pub fn in_a_bucket(server: &S3Server, reader: Arc<dyn DatasetReader>) -> Self {
        let config = StoreConfig { retry_for: Duration::ZERO, ..StoreConfig::new("s3://files/shared") };
        let config = server.settings().into_iter().fold(config, |config, (name, value)| config.with(name, value));
        let store = ArtifactStore::open(&config).unwrap();
        Self::build(tempfile::tempdir().unwrap(), store, |services| services.datasets = Some(reader))
    }

    fn in_a_folder(set: impl FnOnce(&mut Services)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = ArtifactStore::open(&StoreConfig::new(folder.path().to_str().unwrap())).unwrap();
        Self::build(folder, store, set)
    }

    fn build(folder: TempDir, store: ArtifactStore, set: impl FnOnce(&mut Services)) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::starting_at(Timestamp::from_millis(NOW)));
        let (artifacts, limits) = (store.clone(), ReportLimits::default());
        let mut services = Services { artifacts, datasets: None, clock, limits, keep: Keep::default() };
        set(&mut services);
        services.limits.temp_dir = Some(temporary.path().to_owned());
        let handler = Arc::new(ExportReportHandler::new(services));
        Self { folder, temporary, store, handler }
    }

    /// Puts a file into the folder of the store.
    pub fn put(&self, key: &str, content: impl AsRef<[u8]>) {
        let path = self.folder.path().join(key);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    pub fn put_parquet(&self, key: &str, mut frame: DataFrame) {
        let mut bytes = Vec::new();
        ParquetWriter::new(&mut bytes).finish(&mut frame).unwrap();
        self.put(key, bytes);
    }

    pub async fn run(&self, job: &DetachedJob, report: ExportReport) -> Result<ReportResult, JobError> {
        self.handler.run(report, job.context()).await
    }

    /// Makes the report as the first attempt of a job of this name.
    pub async fn report(&self, id: &str, report: ExportReport) -> Result<ReportResult, JobError> {
        self.run(&job(id, 1, 1), report).await
    }

    /// The bytes of the result, checked against the manifest.
    pub async fn read(&self, result: &ReportResult) -> Vec<u8> {
        let verified = self.store.verify(&result.key).await.unwrap();
        assert_eq!(verified.files[0].sha256, result.sha256);
        let pieces: Vec<bytes::Bytes> = self.store.read(&result.key).await.unwrap().try_collect().await.unwrap();
        pieces.concat()
    }

    /// The result of one query over one input as text in this format.
    pub async fn text(&self, id: &str, input: ReportInput, sql: &str, format: ReportFormat) -> String {
        let report = ExportReport { format, ..one(sql).with_input("t", input) };
        let result = self.report(id, report).await.unwrap();
        String::from_utf8(self.read(&result).await).unwrap()
    }

    /// What somebody else reads in the workbook.
    pub async fn sheets(&self, result: &ReportResult) -> Vec<Value> {
        let file = self.temporary.path().join("read.xlsx");
        std::fs::write(&file, self.read(result).await).unwrap();
        let sheets = read_workbook(&file);
        std::fs::remove_file(file).unwrap();
        sheets
    }

    pub async fn manifest(&self, id: &str) -> Option<Manifest> {
        self.store.existing(&"reports".parse().unwrap(), &id.parse().unwrap()).await.unwrap()
    }

    /// What a report that failed or was cancelled has to leave: no manifest, no file, no temporary folder.
    pub async fn nothing_is_left_of(&self, id: &str) {
        assert_eq!(self.manifest(id).await, None);
        let far = SweepOptions { dry_run: true, ..SweepOptions::at(Timestamp::from_millis(4_000_000_000_000)) };
        let files = self.store.sweep_orphans(far, async |_, _| false).await.unwrap().removed;
        assert!(files.iter().all(|key| !key.contains(id)), "{files:?}");
        assert_eq!(self.temporary_folders(), 0);
    }

    pub fn temporary_folders(&self) -> usize {
        std::fs::read_dir(self.temporary.path()).unwrap().count()
    }
}

fn read_workbook(file: &Path) -> Vec<Value> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/reports/workbook.py");
    let output = Command::new(lovage_testkit::s3::ensure_installed()).arg(script).arg(file).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

pub fn job(id: &str, attempt: u32, token: u64) -> DetachedJob {
    DetachedJob::new("reports".parse().unwrap(), "export.report".parse().unwrap(), id.parse().unwrap(), attempt, token)
}

/// A CSV file of one column `n` with the first whole numbers.
pub fn numbers(count: u32) -> String {
    (0..count).fold("n\n".to_owned(), |text, n| text + &n.to_string() + "\n")
}

/// A report of one plain sheet.
pub fn one(sql: &str) -> ExportReport {
    ExportReport::new(vec![ReportSheet::new("Sheet", sql)])
}

/// The error's text, which must be final.
pub fn discarded(result: Result<ReportResult, JobError>) -> String {
    match result {
        Err(JobError::Discard(error)) => format!("{error:#}"),
        other => panic!("expected to be discarded: {other:?}"),
    }
}

/// The error's text, which must allow another attempt.
pub fn retried(result: Result<ReportResult, JobError>) -> String {
    match result {
        Err(JobError::Retry(error)) => format!("{error:#}"),
        other => panic!("expected to be tried again: {other:?}"),
    }
}
