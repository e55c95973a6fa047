//! A Redis, a folder for artifacts, and workers as processes of the real binary.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use lovage_broker::{Broker, RedisBroker, RedisConfig};
use lovage_core::{Counts, JobId, JobView, NewJob, QueueName, State};
use lovage_testkit::{Process, Proxy, RedisServer, eventually};

/// How long any awaited thing may take on a slow machine.
pub const PATIENCE: Duration = Duration::from_mins(1);

pub struct Stage {
    pub server: RedisServer,
    pub folder: tempfile::TempDir,
    pub broker: Arc<dyn Broker>,
    pub queue: QueueName,
}

impl Stage {
    pub async fn open() -> Self {
        Self::with(RedisServer::start()).await
    }

    pub async fn with(server: RedisServer) -> Self {
        let config = RedisConfig { url: server.url(), ..RedisConfig::default() };
        let broker = Arc::new(RedisBroker::connect(config).await.expect("the broker opens"));
        let folder = tempfile::tempdir().expect("a temporary folder");
        Self { server, folder, broker, queue: "exports".parse().expect("a valid name") }
    }

    pub fn storage(&self) -> PathBuf {
        self.folder.path().join("artifacts")
    }

    /// A worker process with short leases, so that a lost one shows within seconds.
    pub fn worker(&self, slots: usize) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lovage"));
        command
            .args(["worker", "--queues", "exports=1", "--concurrency", &slots.to_string()])
            .current_dir(self.folder.path())
            .env("REDIS_URL", self.server.url())
            .env("LOVAGE_STORAGE_URL", self.storage())
            .env("LOVAGE_LEASE_SECONDS", "2")
            .env("LOVAGE_DEBUG_KINDS", "true")
            .env("LOVAGE_ALLOW_RAW_SQL", "true")
            .env("LOVAGE_LOG_FORMAT", "json");
        command
    }

    /// A scheduler process over this ledger.
    pub fn scheduler(&self, ledger: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lovage"));
        command
            .arg("scheduler")
            .current_dir(self.folder.path())
            .env("REDIS_URL", self.server.url())
            .env("LOVAGE_LEDGER__URL", ledger)
            .env("LOVAGE_STORAGE_URL", self.storage())
            .env("LOVAGE_LOG_FORMAT", "json");
        command
    }

    /// A worker with its way to Redis through a proxy.
    pub fn worker_behind(&self, proxy: &Proxy, slots: usize) -> Command {
        let mut command = self.worker(slots);
        command.env("REDIS_URL", format!("redis://{}/", proxy.address()));
        command
    }

    pub fn start(&self, command: Command, log: &str) -> Process {
        Process::start(command, &self.log(log))
    }

    pub fn log(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.log"))
    }

    pub fn job(&self, kind: &str, args: &serde_json::Value) -> NewJob {
        NewJob::new(self.queue.clone(), kind.parse().expect("a valid kind"), args).expect("plain arguments")
    }

    pub async fn add(&self, job: NewJob) -> JobId {
        let outcome = self.broker.enqueue(vec![job]).await.expect("enqueue answers").remove(0);
        outcome.id().unwrap_or_else(|| panic!("refused: {outcome:?}")).clone()
    }

    pub async fn add_many(&self, count: usize, kind: &str, args: &serde_json::Value) -> Vec<JobId> {
        let jobs = (0..count).map(|_| self.job(kind, args)).collect();
        let outcomes = self.broker.enqueue(jobs).await.expect("enqueue answers");
        outcomes.into_iter().map(|outcome| outcome.id().expect("enqueued").clone()).collect()
    }

    pub async fn view(&self, id: &JobId) -> JobView {
        self.broker.job(Some(&self.queue), id).await.expect("job answers").expect("the job is there")
    }

    pub async fn counts(&self) -> Counts {
        self.broker.queue(&self.queue).await.expect("queue answers").counts
    }

    /// Waits until the job is as wanted.
    pub async fn until(&self, id: &JobId, what: &str, wanted: impl Fn(&JobView) -> bool) -> JobView {
        eventually(&format!("job {id} {what}"), PATIENCE, async || Some(self.view(id).await).filter(&wanted)).await
    }

    /// Waits until the queue is as wanted.
    pub async fn until_counts(&self, what: &str, wanted: impl Fn(&Counts) -> bool) -> Counts {
        eventually(what, PATIENCE, async || Some(self.counts().await).filter(&wanted)).await
    }

    pub async fn until_state(&self, id: &JobId, state: State) -> JobView {
        self.until(id, &format!("is {state}"), |view| view.state == state).await
    }
}

/// All files below a folder, as paths relative to it.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        let Ok(entries) = std::fs::read_dir(&next) else { continue };
        for path in entries.map(|entry| entry.expect("a readable entry").path()) {
            if path.is_dir() {
                open.push(path);
            } else {
                found.push(path.strip_prefix(folder).expect("below the folder").to_owned());
            }
        }
    }
    found.sort();
    found
}
