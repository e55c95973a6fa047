//! What every test of the suite starts from.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use lovage_broker::{
    Broker, ClaimedJob, Connect, EnqueueOutcome, Finish, HeldLease, LeaseStatus, ListQuery, RedisBroker, RedisConfig,
    Retention, SqliteBroker, SqliteConfig,
};
use lovage_core::{
    AttemptError, Clock, ErrorClass, JobId, JobView, ManualClock, NewJob, QueueName, State, Timestamp, Transition,
    WorkerId,
};
use lovage_testkit::RedisServer;

/// 2026-03-01T00:00:00Z, where every test's clock starts.
pub const START: u64 = 1_772_323_200_000;
/// The lease of every claim in the suite.
pub const LEASE: Duration = Duration::from_secs(30);
/// Events that the suite's brokers keep; small, so that a test can overrun them.
pub const EVENTS_KEPT: usize = 1_000;

/// A fresh broker with a clock that stands still until the test moves it.
pub struct Bench {
    pub broker: Arc<dyn Broker>,
    pub clock: Arc<ManualClock>,
    pub queue: QueueName,
    pub worker: WorkerId,
    /// Opens a second connection to the same store.
    pub connect: Connect,
    _server: Box<dyn Any + Send>,
}

/// Small numbers, so that a test can reach them.
fn retention() -> Retention {
    Retention {
        completed_age: Duration::from_hours(1),
        completed_count: 20_000,
        discarded_age: Duration::from_hours(2),
        discarded_count: 20_000,
    }
}

pub async fn redis() -> Bench {
    redis_with(retention()).await
}

pub async fn sqlite() -> Bench {
    sqlite_with(retention()).await
}

pub async fn redis_with(retention: Retention) -> Bench {
    let server = RedisServer::start();
    // No script touches a key that it was not given, or a cluster would refuse it some day.
    let watch = server.watch_keys();
    let config = RedisConfig { url: server.url(), retention, ..RedisConfig::default() };
    on_redis(config, Box::new((watch, server))).await
}

/// A bench on a Redis that others use too: with a prefix of its own.
pub async fn on_shared_redis(config: &RedisConfig, number: usize) -> Bench {
    let prefix = format!("{}{number}:", config.prefix);
    on_redis(RedisConfig { prefix, retention: retention(), ..config.clone() }, Box::new(())).await
}

async fn on_redis(config: RedisConfig, server: Box<dyn Any + Send>) -> Bench {
    let clock = Arc::new(ManualClock::starting_at(Timestamp::from_millis(START)));
    let config =
        RedisConfig { events_kept: EVENTS_KEPT, virtual_clock: Some(clock.clone() as Arc<dyn Clock>), ..config };
    let connect: Connect = Arc::new(move || {
        let config = config.clone();
        Box::pin(async move { Ok(Arc::new(RedisBroker::connect(config).await?) as Arc<dyn Broker>) })
    });
    Bench::new(connect, clock, server).await
}

pub async fn sqlite_with(retention: Retention) -> Bench {
    let clock = Arc::new(ManualClock::starting_at(Timestamp::from_millis(START)));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = SqliteConfig {
        retention,
        events_kept: EVENTS_KEPT,
        clock: clock.clone(),
        ..SqliteConfig::new(folder.path().join("lovage.db"))
    };
    let connect: Connect = Arc::new(move || {
        let config = config.clone();
        Box::pin(async move { Ok(Arc::new(SqliteBroker::open(config).await?) as Arc<dyn Broker>) })
    });
    Bench::new(connect, clock, Box::new(folder)).await
}

impl Bench {
    async fn new(connect: Connect, clock: Arc<ManualClock>, server: Box<dyn Any + Send>) -> Self {
        let broker = connect().await.expect("the broker opens");
        let queue = "exports".parse().expect("a valid name");
        let worker = "w1".parse().expect("a valid name");
        Self { broker, clock, queue, worker, connect, _server: server }
    }

    /// A job of kind `debug.noop` with `{"n": n}` and default options.
    pub fn job(&self, n: u64) -> NewJob {
        NewJob::new(self.queue.clone(), "debug.noop".parse().unwrap(), &serde_json::json!({ "n": n })).unwrap()
    }

    /// Enqueues one job and answers its id; panics if it was refused.
    pub async fn add(&self, job: NewJob) -> JobId {
        let outcome = self.enqueue(job).await;
        outcome.id().unwrap_or_else(|| panic!("refused: {outcome:?}")).clone()
    }

    pub async fn enqueue(&self, job: NewJob) -> EnqueueOutcome {
        self.broker.enqueue(vec![job]).await.expect("enqueue answers").remove(0)
    }

    /// Enqueues jobs 0 to `count - 1`.
    pub async fn add_many(&self, count: u64) -> Vec<JobId> {
        let jobs = (0..count).map(|n| self.job(n)).collect();
        let outcomes = self.broker.enqueue(jobs).await.expect("enqueue answers");
        outcomes.into_iter().map(|outcome| outcome.id().expect("enqueued").clone()).collect()
    }

    pub async fn claim(&self, max: usize) -> Vec<ClaimedJob> {
        self.broker.claim(&self.queue, &self.worker, max, LEASE).await.expect("claim answers").jobs
    }

    /// Claims one job that must be there.
    pub async fn claim_one(&self) -> ClaimedJob {
        self.claim(1).await.pop().expect("a job is available")
    }

    pub async fn finish(&self, job: &ClaimedJob, transition: Transition) -> LeaseStatus {
        let items = vec![Finish { lease: held(job), transition }];
        self.broker.finish(&self.queue, &self.worker, items).await.expect("finish answers")[0]
    }

    pub async fn complete(&self, job: &ClaimedJob) -> LeaseStatus {
        self.finish(job, Transition::Complete { result: None }).await
    }

    /// Lets the lease of whatever runs run out, and sweeps.
    pub async fn lose_workers(&self) {
        self.clock.advance(LEASE + Duration::from_millis(1));
        self.broker.sweep(&self.queue).await.expect("sweep answers");
    }

    pub async fn view(&self, id: &JobId) -> JobView {
        let found = self.broker.job(Some(&self.queue), id).await.expect("job answers");
        found.unwrap_or_else(|| panic!("job {id} is not there"))
    }

    pub async fn state(&self, id: &JobId) -> State {
        self.view(id).await.state
    }

    /// Ids of a whole state, page by page.
    pub async fn listed(&self, state: State, limit: usize) -> Vec<JobId> {
        let mut query = ListQuery { queue: self.queue.clone(), state, limit, cursor: None };
        let mut ids = Vec::new();
        loop {
            let page = self.broker.list(&query).await.expect("list answers");
            assert!(page.jobs.len() <= limit, "a page keeps to its limit");
            ids.extend(page.jobs.into_iter().map(|job| job.id));
            match page.next {
                Some(cursor) => query.cursor = Some(cursor),
                None => return ids,
            }
        }
    }
}

pub fn held(job: &ClaimedJob) -> HeldLease {
    HeldLease { id: job.id.clone(), token: job.token }
}

pub fn failure(message: &str) -> AttemptError {
    AttemptError::new(ErrorClass::Failed, message)
}

pub fn retry_in(delay: Duration) -> Transition {
    Transition::Retry { delay, error: failure("no luck") }
}

pub fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}
