//! A table in a private PostgreSQL or a SQLite file on one side, a broker of ours on the other.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use lovage_broker::{Broker, Producer, Retention, SqliteBroker, SqliteConfig};
use lovage_core::{Counts, EventKind, JobId, JobView, QueueName};
use lovage_outbox::{Outbox, Relay, RelayConfig, Status};
use lovage_testkit::PostgresServer;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, SqliteConnection};

/// How long any awaited thing may take on a slow machine.
pub const PATIENCE: Duration = Duration::from_mins(2);

/// A connection of the service that inserts.
pub enum Service {
    Postgres(PgConnection),
    Sqlite(SqliteConnection),
}

impl Service {
    pub async fn try_sql(&mut self, sql: &str) -> Result<(), sqlx::Error> {
        match self {
            Self::Postgres(connection) => sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.map(drop),
            Self::Sqlite(connection) => sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.map(drop),
        }
    }

    pub async fn sql(&mut self, sql: &str) {
        self.try_sql(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
}

pub struct Stage {
    pub url: String,
    pub broker: Arc<dyn Broker>,
    pub folder: tempfile::TempDir,
    pub server: Option<PostgresServer>,
}

impl Stage {
    /// The table in PostgreSQL.
    pub async fn postgres() -> Self {
        let server = PostgresServer::start();
        Self::with(Some(server)).await
    }

    /// The table in a file.
    pub async fn sqlite() -> Self {
        Self::with(None).await
    }

    async fn with(server: Option<PostgresServer>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = match &server {
            Some(server) => server.url(),
            None => folder.path().join("service.db").display().to_string(),
        };
        let stage = Self { url, broker: broker(&folder, "queue.db").await, folder, server };
        stage.outbox().init().await.unwrap();
        stage
    }

    /// Whether the table is in PostgreSQL.
    pub fn is_postgres(&self) -> bool {
        self.server.is_some()
    }

    pub async fn service(&self) -> Service {
        if self.is_postgres() {
            Service::Postgres(PgConnection::connect(&self.url).await.unwrap())
        } else {
            let options = format!("sqlite:{}", self.url);
            Service::Sqlite(SqliteConnection::connect(&options).await.unwrap())
        }
    }

    /// What a service does in a transaction of its own.
    pub async fn sql(&self, sql: &str) {
        self.service().await.sql(sql).await;
    }

    pub fn outbox(&self) -> Outbox {
        Outbox::new(self.url.parse().unwrap())
    }

    pub fn relay(&self) -> Relay {
        self.relay_into(self.broker.clone())
    }

    pub fn relay_into(&self, jobs: Arc<dyn Producer>) -> Relay {
        Relay::new(self.outbox(), jobs, RelayConfig::default())
    }

    /// A relay that wants everything confirmed twice, at once.
    pub fn confirming(&self, jobs: Arc<dyn Producer>) -> Relay {
        let config = RelayConfig { confirm_after: Some(Duration::ZERO), ..RelayConfig::default() };
        Relay::new(self.outbox(), jobs, config)
    }

    pub async fn status(&self) -> Status {
        self.outbox().status().await.unwrap()
    }

    /// Rows that wait, are to be confirmed, and have failed.
    pub async fn left(&self) -> (u64, u64, u64) {
        let status = self.status().await;
        (status.waiting, status.unconfirmed, status.failed)
    }

    pub async fn counts(&self, queue: &str) -> Counts {
        self.broker.queue(&queue.parse().unwrap()).await.unwrap().counts
    }

    pub async fn job(&self, queue: &str, id: &str) -> Option<JobView> {
        let (queue, id): (QueueName, JobId) = (queue.parse().unwrap(), id.parse().unwrap());
        self.broker.job(Some(&queue), &id).await.unwrap()
    }

    /// The ids in the order in which they were enqueued; panics if one was enqueued twice.
    pub async fn enqueued(&self, queue: &str) -> Vec<String> {
        let queue: QueueName = queue.parse().unwrap();
        let (mut ids, mut seen, mut cursor) = (Vec::new(), HashMap::new(), None);
        loop {
            let page = self.broker.events(&queue, cursor.as_deref(), 1_000).await.unwrap();
            for event in page.events.iter().filter(|event| event.kind == EventKind::Enqueued) {
                ids.push(event.id.to_string());
                *seen.entry(event.id.to_string()).or_insert(0) += 1;
            }
            if page.events.is_empty() {
                assert!(seen.values().all(|count| *count == 1), "no row became a job twice");
                return ids;
            }
            cursor = page.next;
        }
    }
}

/// A broker in a file of the folder.
pub async fn broker(folder: &tempfile::TempDir, name: &str) -> Arc<dyn Broker> {
    let retention = Retention { completed_count: 100_000, ..Retention::default() };
    let config = SqliteConfig {
        retention,
        events_kept: 1_000_000,
        synchronous_full: false,
        ..SqliteConfig::new(folder.path().join(name))
    };
    Arc::new(SqliteBroker::open(config).await.unwrap())
}

/// Each test once for each table.
#[macro_export]
macro_rules! on_both {
    ($($name:ident),+ $(,)?) => {
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name($crate::stage::Stage::postgres().await).await;
            })+
        }
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name($crate::stage::Stage::sqlite().await).await;
            })+
        }
    };
}
