//! A private Redis with a real producer on one side and a broker of ours on the other.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use apalis_core::task::Task;
use apalis_core::task::builder::TaskBuilder;
use apalis_core::task::task_id::TaskId;
use apalis_redis::{Config, ConnectionManager, RedisStorage};
use lovage_adopt::{Adopter, AdopterConfig};
use lovage_broker::{Broker, ListQuery, Producer, RedisBroker, RedisConfig, Retention};
use lovage_core::{Counts, JobId, JobView, QueueName, State};
use lovage_testkit::RedisServer;
use serde::{Deserialize, Serialize};

/// How long any awaited thing may take on a slow machine.
pub const PATIENCE: Duration = Duration::from_mins(1);
/// What apalis calls the queue.
pub const SOURCE: &str = "shop::mail::Email";

/// What the producer's tasks carry.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Email {
    pub to: String,
    pub number: u32,
}

pub fn email(number: u32) -> Email {
    Email { to: format!("{number}@example.com"), number }
}

pub type Storage = RedisStorage<Email, ConnectionManager>;

pub struct Stage {
    pub server: RedisServer,
    pub broker: Arc<dyn Broker>,
    pub queue: QueueName,
}

impl Stage {
    pub async fn open() -> Self {
        let server = RedisServer::start();
        // As long as the queue remembers an id, the same id is the same job: keep more than the tests adopt.
        let retention = Retention { completed_count: 100_000, ..Retention::default() };
        let config = RedisConfig { url: server.url(), retention, ..RedisConfig::default() };
        let broker = Arc::new(RedisBroker::connect(config).await.unwrap());
        Self { server, broker, queue: "emails".parse().unwrap() }
    }

    /// A producer as any service has it.
    pub async fn storage(&self) -> Storage {
        let connection = connect(&self.server.url()).await;
        RedisStorage::new(connection).with_config(Config::default().queue(SOURCE))
    }

    pub fn config(&self, holder: &str) -> AdopterConfig {
        let adoption = format!("{SOURCE}@emails=email.send").parse().unwrap();
        AdopterConfig::new(self.server.url(), adoption, holder)
    }

    pub fn adopter(&self, holder: &str) -> Adopter {
        Adopter::new(self.config(holder), self.broker.clone()).unwrap()
    }

    pub fn adopter_into(&self, holder: &str, jobs: Arc<dyn Producer>) -> Adopter {
        Adopter::new(self.config(holder), jobs).unwrap()
    }

    pub async fn counts(&self) -> Counts {
        self.broker.queue(&self.queue).await.unwrap().counts
    }

    pub async fn job(&self, id: &str) -> Option<JobView> {
        self.broker.job(Some(&self.queue), &id.parse::<JobId>().unwrap()).await.unwrap()
    }

    /// All jobs in a state.
    pub async fn jobs(&self, state: State) -> Vec<JobView> {
        let mut query = ListQuery { queue: self.queue.clone(), state, limit: 500, cursor: None };
        let mut jobs = Vec::new();
        loop {
            let page = self.broker.list(&query).await.unwrap();
            jobs.extend(page.jobs);
            if page.next.is_none() {
                return jobs;
            }
            query.cursor = page.next;
        }
    }

    /// The numbers that the jobs in a state carry; panics if two carry the same.
    pub async fn numbers(&self, state: State) -> BTreeSet<u32> {
        let jobs = self.jobs(state).await;
        let carried = |job: &JobView| serde_json::from_str::<Email>(job.args.as_ref().unwrap().get()).unwrap().number;
        let numbers: BTreeSet<u32> = jobs.iter().map(carried).collect();
        assert_eq!(numbers.len(), jobs.len(), "no task arrived twice");
        numbers
    }

    /// Asks Redis itself.
    pub async fn ask<T: redis::FromRedisValue>(&self, command: &[&str]) -> T {
        let mut connection = connect(&self.server.url()).await;
        redis::cmd(command[0]).arg(&command[1..]).query_async(&mut connection).await.unwrap()
    }

    /// What is left in apalis' keys: active, scheduled, payloads, taken.
    pub async fn left(&self) -> (u64, u64, u64, u64) {
        (
            self.ask(&["LLEN", &format!("{SOURCE}:active")]).await,
            self.ask(&["ZCARD", &format!("{SOURCE}:scheduled")]).await,
            self.ask(&["HLEN", &format!("{SOURCE}:data")]).await,
            self.ask(&["ZCARD", &format!("{SOURCE}:lovage:taken")]).await,
        )
    }

    /// What apalis knows about a task.
    pub async fn meta(&self, id: &str, field: &str) -> Option<String> {
        self.ask(&["HGET", &format!("{SOURCE}:meta:{id}"), field]).await
    }
}

/// As `apalis_redis::connect`, with more than half a second for an answer: tests share their machine.
pub async fn connect(url: &str) -> ConnectionManager {
    let config = redis::aio::ConnectionManagerConfig::new()
        .set_connection_timeout(Some(PATIENCE))
        .set_response_timeout(Some(PATIENCE));
    redis::Client::open(url).unwrap().get_connection_manager_with_config(config).await.unwrap()
}

/// A task with an id of the producer's choice.
pub fn task(id: &str, number: u32) -> TaskBuilder<Email> {
    TaskBuilder::new(email(number)).task_id(TaskId::from_string(id))
}

pub fn ulid_task(number: u32) -> (String, Task<Email>) {
    let id = format!("01J9ZQ4X3V6N8M2K5T7R{number:06}");
    let task = task(&id, number).build();
    (id, task)
}
