//! The table that the tests work at: a store, sources, and jobs that run without a worker.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::TryStreamExt as _;
use lovage_artifacts::{ArtifactStore, Manifest, StoreConfig, SweepOptions};
use lovage_core::{ManualClock, Timestamp};
use lovage_jobs::{Dataset, Datasets, ExportQueryHandler, ExportRules, Services, Sources};
use lovage_payloads::{ExportQuery, ExportResult};
use lovage_worker::testing::DetachedJob;
use lovage_worker::{Handler as _, JobError};
use tempfile::TempDir;

pub struct Bench {
    pub folder: TempDir,
    pub store: ArtifactStore,
    pub handler: Arc<ExportQueryHandler>,
    services: Services,
}

impl Bench {
    /// A bench whose source `default` is at `url`.
    pub fn new(url: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = ArtifactStore::open(&StoreConfig::new(folder.path().to_str().unwrap())).unwrap();
        Self::build(url, folder, store)
    }

    /// The same with its files in another store.
    pub fn with_store(url: &str, store: &StoreConfig) -> Self {
        Self::build(url, tempfile::tempdir().unwrap(), ArtifactStore::open(store).unwrap())
    }

    fn build(url: &str, folder: TempDir, store: ArtifactStore) -> Self {
        let mut sources = Sources::new();
        sources.add("default", url).unwrap();
        let clock = Arc::new(ManualClock::starting_at(Timestamp::from_millis(1_700_000_000_000)));
        let rules = ExportRules { allow_raw_sql: true, ..ExportRules::default() };
        let (artifacts, datasets) = (store.clone(), Datasets::default());
        let services = Services { artifacts, sources, datasets, rules, audit: None, clock };
        Self { folder, store, handler: Arc::new(ExportQueryHandler::new(services.clone())), services }
    }

    /// The same with these datasets, in TOML, and without raw SQL.
    pub fn with_datasets(self, datasets: &str) -> Self {
        #[derive(serde::Deserialize)]
        struct File {
            datasets: BTreeMap<String, Dataset>,
        }
        let file: File = toml::from_str(datasets).unwrap();
        let datasets = Datasets::new(file.datasets, &self.services.sources).unwrap();
        let services = Services { datasets, rules: ExportRules::default(), ..self.services };
        Self { handler: Arc::new(ExportQueryHandler::new(services.clone())), services, ..self }
    }

    pub fn services(&self) -> &Services {
        &self.services
    }

    /// Exports as the first attempt of a job of this name.
    pub async fn export(&self, id: &str, sql: &str) -> Result<ExportResult, JobError> {
        self.run(&job(id, 1, 1), ExportQuery::sql(sql)).await
    }

    pub async fn run(&self, job: &DetachedJob, query: ExportQuery) -> Result<ExportResult, JobError> {
        self.handler.run(query, job.context()).await
    }

    /// Exports and answers the file's text; checks that it is what its manifest says.
    pub async fn text(&self, id: &str, sql: &str) -> String {
        let result = self.export(id, sql).await.unwrap();
        self.read(&result).await
    }

    pub async fn read(&self, result: &ExportResult) -> String {
        let verified = self.store.verify(&result.key).await.unwrap();
        assert_eq!(verified.files[0].sha256, result.sha256);
        self.read_key(&result.key).await
    }

    pub async fn read_key(&self, key: &str) -> String {
        let pieces: Vec<bytes::Bytes> = self.store.read(key).await.unwrap().try_collect().await.unwrap();
        String::from_utf8(pieces.concat()).unwrap()
    }

    pub async fn manifest(&self, id: &str) -> Option<Manifest> {
        self.store.existing(&"exports".parse().unwrap(), &id.parse().unwrap()).await.unwrap()
    }

    /// Files in the store that no manifest names, staged ones included.
    pub async fn orphans(&self) -> Vec<String> {
        let far = SweepOptions { dry_run: true, ..SweepOptions::at(Timestamp::from_millis(4_000_000_000_000)) };
        self.store.sweep_orphans(far, async |_, _| false).await.unwrap().removed
    }

    /// What a failed export has to leave: nothing.
    pub async fn nothing_is_left_of(&self, id: &str) {
        assert_eq!(self.manifest(id).await, None);
        let files: Vec<String> = self.orphans().await.into_iter().filter(|key| key.contains(id)).collect();
        assert!(files.iter().all(|key| !key.contains(".csv")), "{files:?}");
    }
}

pub fn job(id: &str, attempt: u32, token: u64) -> DetachedJob {
    DetachedJob::new("exports".parse().unwrap(), "export.query".parse().unwrap(), id.parse().unwrap(), attempt, token)
}

/// The error's text, which must be final.
pub fn discarded(result: Result<ExportResult, JobError>) -> String {
    match result {
        Err(JobError::Discard(error)) => format!("{error:#}"),
        other => panic!("expected to be discarded: {other:?}"),
    }
}

/// The error's text, which must allow another attempt.
pub fn retried(result: Result<ExportResult, JobError>) -> String {
    match result {
        Err(JobError::Retry(error)) => format!("{error:#}"),
        other => panic!("expected to be tried again: {other:?}"),
    }
}
