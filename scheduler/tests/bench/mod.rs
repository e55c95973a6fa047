//! A broker and a ledger of each kind, with a clock that stands still until the test moves it.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use lovage_broker::{
    Broker, ClaimedJob, Connect, EnqueueOutcome, Finish, HeldLease, LeaseStatus, RedisBroker, RedisConfig, Retention,
    SqliteBroker, SqliteConfig,
};
use lovage_core::history::JobRecord;
use lovage_core::schedule::ScheduleSpec;
use lovage_core::{
    AttemptError, Clock, ErrorClass, JobId, ManualClock, NewJob, QueueName, Timestamp, Transition, WorkerId,
    WorkerState, WorkerView,
};
use lovage_ledger::{Change, Ledger, LedgerAddress, Put, migrate};
use lovage_scheduler::{Metrics, Recorded, Recorder, first_tick};
use lovage_testkit::{PostgresServer, RedisServer};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Executor as _};

/// 2026-03-01T00:00:00Z.
pub const START: u64 = 1_772_323_200_000;
/// Events that the brokers keep; small, so that a test can overrun them.
pub const EVENTS_KEPT: usize = 300;
const LEASE: Duration = Duration::from_secs(30);

/// Says something to the server of the queues.
type Ask = Box<dyn Fn(&[&str]) + Send + Sync>;

pub struct Bench {
    pub name: &'static str,
    pub broker: Arc<dyn Broker>,
    pub connect: Connect,
    pub clock: Arc<ManualClock>,
    pub ledger: Ledger,
    pub queue: QueueName,
    pub worker: WorkerId,
    pub registry: prometheus::Registry,
    /// Asks the server of the queues, if it is one.
    ask: Ask,
    ledger_url: String,
    _servers: Box<dyn Any + Send>,
}

/// Redis with PostgreSQL, and the two embedded files.
pub async fn benches() -> Vec<Bench> {
    vec![embedded().await, servers().await]
}

async fn embedded() -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::starting_at(Timestamp::from_millis(START)));
    let config = SqliteConfig {
        clock: clock.clone(),
        events_kept: EVENTS_KEPT,
        retention: retention(),
        ..SqliteConfig::new(folder.path().join("lovage.db"))
    };
    let connect: Connect = Arc::new(move || {
        let config = config.clone();
        Box::pin(async move { Ok(Arc::new(SqliteBroker::open(config).await?) as Arc<dyn Broker>) })
    });
    let ledger = format!("sqlite:{}", folder.path().join("ledger.db").display());
    bench("embedded", connect, clock, ledger, Box::new(|_| {}), Box::new(folder)).await
}

async fn servers() -> Bench {
    let redis = Arc::new(RedisServer::start());
    let postgres = PostgresServer::start();
    let clock = Arc::new(ManualClock::starting_at(Timestamp::from_millis(START)));
    let config = RedisConfig {
        url: redis.url(),
        virtual_clock: Some(clock.clone() as Arc<dyn Clock>),
        events_kept: EVENTS_KEPT,
        retention: retention(),
        ..RedisConfig::default()
    };
    let connect: Connect = Arc::new(move || {
        let config = config.clone();
        Box::pin(async move { Ok(Arc::new(RedisBroker::connect(config).await?) as Arc<dyn Broker>) })
    });
    let ledger = postgres.url();
    let server = Arc::clone(&redis);
    let ask = Box::new(move |words: &[&str]| drop(server.ask(words)));
    bench("servers", connect, clock, ledger, ask, Box::new((redis, postgres))).await
}

/// Small numbers, so that a test can reach them.
fn retention() -> Retention {
    Retention { completed_count: 50, ..Retention::default() }
}

async fn bench(
    name: &'static str,
    connect: Connect,
    clock: Arc<ManualClock>,
    ledger_url: String,
    ask: Ask,
    servers: Box<dyn Any + Send>,
) -> Bench {
    let address: LedgerAddress = ledger_url.parse().unwrap();
    migrate(&address).await.unwrap();
    let clock_of_ledger = clock.clone();
    Bench {
        name,
        broker: connect().await.unwrap(),
        connect,
        clock,
        ledger: Ledger::open(&address).await.unwrap().with_clock(clock_of_ledger),
        queue: "exports".parse().unwrap(),
        worker: "worker-1".parse().unwrap(),
        registry: prometheus::Registry::new(),
        ask,
        ledger_url,
        _servers: servers,
    }
}

impl Bench {
    /// A recorder that was just started.
    pub fn recorder(&self) -> Recorder {
        let metrics = Metrics::new(&prometheus::Registry::new(), self.clock.clone()).unwrap();
        Recorder::new(self.connect.clone(), self.ledger.clone(), self.clock.clone(), metrics)
    }

    pub fn recorder_with_metrics(&self) -> Recorder {
        let metrics = Metrics::new(&self.registry, self.clock.clone()).unwrap();
        Recorder::new(self.connect.clone(), self.ledger.clone(), self.clock.clone(), metrics)
    }

    /// Records everything that is there.
    pub async fn record(&self, recorder: &Recorder, term: u64) -> Recorded {
        let mut sum = Recorded::default();
        loop {
            let step = recorder.record(term).await.unwrap();
            sum.jobs += step.jobs;
            sum.failures += step.failures;
            if !step.more {
                return sum;
            }
        }
    }

    /// A job of the kind `export.query`.
    pub fn job(&self, id: &str) -> NewJob {
        let args =
            serde_json::value::RawValue::from_string(format!(r#"{{"b": 1.00, "user": {{"id": "{id}"}}}}"#)).unwrap();
        let mut job = NewJob::with_raw_args(self.queue.clone(), "export.query".parse().unwrap(), args);
        job.id = Some(id.parse().unwrap());
        job.tags = vec!["nightly".to_owned()];
        job
    }

    pub async fn enqueue(&self, ids: impl IntoIterator<Item = String>) {
        let jobs: Vec<NewJob> = ids.into_iter().map(|id| self.job(&id)).collect();
        let outcomes = self.broker.enqueue(jobs).await.unwrap();
        assert!(outcomes.iter().all(|outcome| matches!(outcome, EnqueueOutcome::Enqueued { .. })), "{outcomes:?}");
    }

    pub async fn claim(&self, most: usize) -> Vec<ClaimedJob> {
        self.broker.claim(&self.queue, &self.worker, most, LEASE).await.unwrap().jobs
    }

    pub async fn finish(&self, job: &ClaimedJob, transition: Transition) {
        let lease = HeldLease { id: job.id.clone(), token: job.token };
        let finish = Finish { lease, transition };
        assert_eq!(self.broker.finish(&self.queue, &self.worker, vec![finish]).await.unwrap(), [LeaseStatus::Held]);
    }

    /// Runs `count` jobs from their enqueue to their end.
    pub async fn run(&self, ids: impl IntoIterator<Item = String>) {
        let ids: Vec<String> = ids.into_iter().collect();
        self.enqueue(ids.clone()).await;
        let claimed = self.claim(ids.len()).await;
        assert_eq!(claimed.len(), ids.len());
        let done = claimed.iter().map(|job| Finish {
            lease: HeldLease { id: job.id.clone(), token: job.token },
            transition: Transition::Complete { result: None },
        });
        self.broker.finish(&self.queue, &self.worker, done.collect()).await.unwrap();
    }

    pub async fn heartbeat(&self, version: &str) {
        let view = WorkerView {
            id: self.worker.clone(),
            host: "here".to_owned(),
            pid: 1,
            version: version.to_owned(),
            queues: [(self.queue.clone(), 1)].into(),
            slots: 10,
            busy: 0,
            state: WorkerState::Running,
            started_at: Timestamp::default(),
            seen_at: Timestamp::default(),
        };
        self.broker.heartbeat(&view).await.unwrap();
    }

    pub async fn history(&self, id: &str) -> Option<JobRecord> {
        self.ledger.job_record(Some(&self.queue), &id.parse::<JobId>().unwrap()).await.unwrap()
    }

    pub fn can_forget(&self) -> bool {
        self.name == "servers"
    }

    pub fn forget_everything(&self) {
        (self.ask)(&["FLUSHALL"]);
    }

    /// Makes a job that nobody can read.
    pub fn damage(&self, id: &str) {
        (self.ask)(&["HSET", &format!("lovage:{{{}}}:head", self.queue), id, "x"]);
    }

    /// Makes a queue whose events are no stream.
    pub fn break_queue(&self, name: &str) {
        (self.ask)(&["SADD", "lovage:{.queues}", name]);
        (self.ask)(&["SET", &format!("lovage:{{{name}}}:events"), "x"]);
    }

    /// Makes a queue whose jobs cannot be read.
    pub fn break_jobs(&self, name: &str) {
        (self.ask)(&["SET", &format!("lovage:{{{name}}}:spec"), "x"]);
    }

    /// Makes it a queue like any other again.
    pub fn mend_queue(&self, name: &str) {
        (self.ask)(&["DEL", &format!("lovage:{{{name}}}:events"), &format!("lovage:{{{name}}}:spec")]);
    }

    /// Makes a schedule of an operator or changes one.
    pub async fn put(&self, spec: &ScheduleSpec) -> Put {
        let change =
            Change { specs: std::slice::from_ref(spec), replace: true, revision: None, remove: &[], rehearse: false };
        self.ledger.put_schedules(change, first_tick).await.unwrap()[0].1
    }

    /// Has the ledger's database refuse the job of this id.
    pub async fn refuse(&self, id: &str) {
        if self.can_forget() {
            let options: sqlx::postgres::PgConnectOptions = self.ledger_url.parse().unwrap();
            let sql = format!("ALTER TABLE lovage.jobs ADD CONSTRAINT refused CHECK (id <> '{id}')");
            options.connect().await.unwrap().execute(AssertSqlSafe(sql)).await.unwrap();
        } else {
            let options: sqlx::sqlite::SqliteConnectOptions = self.ledger_url.parse().unwrap();
            let sql = format!(
                "CREATE TRIGGER refused BEFORE INSERT ON jobs WHEN NEW.id = '{id}' BEGIN SELECT RAISE(ABORT, 'refused'); END"
            );
            options.connect().await.unwrap().execute(AssertSqlSafe(sql)).await.unwrap();
        }
    }

    /// Has a table of the ledger called something else, so that nobody finds it.
    pub async fn rename_ledger_table(&self, from: &str, to: &str) {
        if self.can_forget() {
            let options: sqlx::postgres::PgConnectOptions = self.ledger_url.parse().unwrap();
            let sql = format!("ALTER TABLE lovage.{from} RENAME TO {to}");
            options.connect().await.unwrap().execute(AssertSqlSafe(sql)).await.unwrap();
        } else {
            let options: sqlx::sqlite::SqliteConnectOptions = self.ledger_url.parse().unwrap();
            let sql = format!("ALTER TABLE {from} RENAME TO {to}");
            options.connect().await.unwrap().execute(AssertSqlSafe(sql)).await.unwrap();
        }
    }

    pub fn clock_now(&self) -> Timestamp {
        self.clock.now()
    }

    pub fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }
}

/// A failure that is tried again.
pub fn retry(message: &str) -> Transition {
    Transition::Retry { delay: Duration::from_secs(1), error: AttemptError::new(ErrorClass::Failed, message) }
}
