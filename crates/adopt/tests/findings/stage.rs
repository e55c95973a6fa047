//! A private Redis with apalis' own storage and workers on it.

use std::future::Future;
use std::time::Duration;

use apalis_core::backend::ext::BackendExt as _;
use apalis_core::backend::ext::poll_strategy::PollWith;
use apalis_core::error::BoxDynError;
use apalis_core::task::builder::TaskBuilder;
use apalis_core::task::task_id::TaskId;
use apalis_core::worker::builder::WorkerBuilder;
use apalis_redis::{Config, ConnectionManager, RedisStorage};
use lovage_testkit::RedisServer;

/// How long any awaited thing may take on a slow machine.
pub const PATIENCE: Duration = Duration::from_mins(1);
/// What every failing assertion means.
pub const OUT_OF_DATE: &str = "the row of ADR 002 is out of date";

pub type Storage = RedisStorage<u32, ConnectionManager>;

pub struct Stage {
    pub server: RedisServer,
    pub config: Config,
}

impl Stage {
    pub fn new() -> Self {
        Self::with(Config::default().queue("jobs"))
    }

    pub fn with(config: Config) -> Self {
        Self { server: RedisServer::start(), config }
    }

    pub async fn storage(&self) -> Storage {
        storage(&self.server.url(), &self.config).await
    }

    /// Asks Redis itself.
    pub async fn ask<T: redis::FromRedisValue>(&self, command: &[&str]) -> T {
        let mut connection = connect(&self.server.url()).await;
        redis::cmd(command[0]).arg(&command[1..]).query_async(&mut connection).await.unwrap()
    }

    pub async fn meta(&self, id: &str, field: &str) -> Option<String> {
        self.ask(&["HGET", &format!("{}:{id}", self.config.job_meta_hash()), field]).await
    }

    /// Runs a worker with this handler to its end.
    pub async fn work<F, W>(&self, name: &str, handler: F) -> Result<(), String>
    where
        F: Fn(u32) -> W + Clone + Send + 'static,
        W: Future<Output = Result<(), BoxDynError>> + Send + 'static,
    {
        work(self.storage().await, name, handler).await
    }
}

pub async fn storage(url: &str, config: &Config) -> Storage {
    RedisStorage::new(connect(url).await).with_config(config.clone())
}

/// As `apalis_redis::connect`, with more than half a second for an answer: tests share their machine.
async fn connect(url: &str) -> ConnectionManager {
    let config = redis::aio::ConnectionManagerConfig::new()
        .set_connection_timeout(Some(PATIENCE))
        .set_response_timeout(Some(PATIENCE));
    redis::Client::open(url).unwrap().get_connection_manager_with_config(config).await.unwrap()
}

/// A worker as apalis' guide has it, looking for tasks every 20 ms.
pub async fn work<F, W>(storage: Storage, name: &str, handler: F) -> Result<(), String>
where
    F: Fn(u32) -> W + Clone + Send + 'static,
    W: Future<Output = Result<(), BoxDynError>> + Send + 'static,
{
    let backend: PollWith<_, _> = storage.poll_with_interval(Duration::from_millis(20));
    let worker = WorkerBuilder::new(name).backend(backend).build(move |number: u32| handler(number));
    worker.run().await.map_err(|error| error.to_string())
}

/// A task whose id is its number.
pub fn task(number: u32) -> TaskBuilder<u32> {
    TaskBuilder::new(number).task_id(TaskId::from_string(number.to_string()))
}
