//! What every test of the suite starts from.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use lovage_broker::{
    Broker, Claim, ClaimedJob, Connect, EnqueueOutcome, Finish, HeldLease, LeaseStatus, ListQuery, NewPause,
    RedisBroker, RedisConfig, Retention, SqliteBroker, SqliteConfig, Wake,
};
use lovage_core::{
    AttemptError, Clock, ErrorClass, FlowView, JobId, JobSpec, JobView, Limits, ManualClock, NewJob, Pause, Priority,
    QueueName, State, Subject, Timestamp, Transition, WorkerId,
};
use lovage_testkit::RedisServer;

/// 2026-03-01T00:00:00Z, where every test's clock starts.
pub const START: u64 = 1_772_323_200_000;
/// The lease of every claim in the suite.
pub const LEASE: Duration = Duration::from_secs(30);
/// Events that the suite's brokers keep; small, so that a test can overrun them.
pub const EVENTS_KEPT: usize = 1_000;

/// Events and ended jobs of a state that they keep beyond that for a recorder.
pub const UNRECORDED_KEPT: usize = 2_000;

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
    let config = RedisConfig {
        events_kept: EVENTS_KEPT,
        unrecorded_kept: UNRECORDED_KEPT,
        virtual_clock: Some(clock.clone() as Arc<dyn Clock>),
        ..config
    };
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
        unrecorded_kept: UNRECORDED_KEPT,
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

    /// A job like [`Bench::job`] of a tenant.
    pub fn job_of(&self, n: u64, tenant: &str) -> NewJob {
        NewJob { tenant: Some(tenant.parse().unwrap()), ..self.job(n) }
    }

    /// A job like [`Bench::job`] with a key.
    pub fn job_with_key(&self, n: u64, key: &str) -> NewJob {
        NewJob { key: Some(key.parse().unwrap()), ..self.job(n) }
    }

    /// A job like [`Bench::job`] of a kind.
    pub fn job_of_kind(&self, n: u64, kind: &str) -> NewJob {
        NewJob { kind: kind.parse().unwrap(), ..self.job(n) }
    }

    /// Enqueues jobs in one call; panics if one was refused.
    pub async fn add_all(&self, jobs: impl IntoIterator<Item = NewJob>) -> Vec<JobId> {
        let outcomes = self.broker.enqueue(jobs.into_iter().collect()).await.expect("enqueue answers");
        outcomes.into_iter().map(|outcome| outcome.id().expect("enqueued").clone()).collect()
    }

    /// Claims until there are `max` jobs or nothing is claimable right now. A broker may need several calls to step
    /// over many jobs that are held back, but not for ever.
    pub async fn take(&self, max: usize) -> Claim {
        let mut taken = Claim::default();
        for _ in 0..100 {
            let more = max - taken.jobs.len();
            let claim = self.broker.claim(&self.queue, &self.worker, more, LEASE).await.expect("claim answers");
            taken.jobs.extend(claim.jobs);
            taken.next_in = claim.next_in;
            if taken.jobs.len() == max || taken.next_in != Some(Duration::ZERO) {
                return taken;
            }
        }
        panic!("a hundred claims did not find what there is: {} of {max} jobs", taken.jobs.len());
    }

    /// A wait that finds nothing to claim comes to rest: it may wake without need, but not again and again.
    pub async fn falls_asleep(&self) {
        for _ in 0..10 {
            let queues = [self.queue.clone()];
            let wake = self.broker.wait(&queues, &self.worker, Duration::from_millis(20)).await.expect("wait answers");
            if wake == Wake::Timeout {
                return;
            }
            assert!(self.take(1).await.jobs.is_empty(), "nothing can be claimed");
        }
        panic!("ten waits in a row woke, and there was nothing to claim");
    }

    pub async fn limit(&self, subject: &str, limits: Limits) {
        self.broker.limit(&self.queue, &subject.parse().unwrap(), &limits).await.expect("limit answers");
    }

    /// Lets a subject have `count` slots.
    pub async fn slots(&self, subject: &str, count: u32) {
        self.limit(subject, Limits { concurrency: Some(count), ..Limits::default() }).await;
    }

    pub async fn pause(&self, subject: &str, until: Option<Timestamp>) -> Pause {
        let pause = NewPause { by: "ada".into(), why: "database upgrade".into(), until };
        self.broker.pause(&self.queue, &subject.parse().unwrap(), &pause).await.expect("pause answers")
    }

    pub async fn resume(&self, subject: &str) -> bool {
        self.broker.resume(&self.queue, &subject.parse().unwrap()).await.expect("resume answers")
    }

    /// What readers see of a subject, if anything.
    pub async fn flow(&self, subject: &str) -> Option<FlowView> {
        let subject: Subject = subject.parse().unwrap();
        let views = self.broker.flow(&self.queue, None, 500).await.expect("flow answers");
        views.into_iter().find(|view| view.subject == subject)
    }

    /// The slots in use of a subject that has limits.
    pub async fn used(&self, subject: &str) -> u64 {
        self.flow(subject).await.and_then(|view| view.used).expect("its slots are counted")
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

/// The tenant of a claimed job; empty without one.
pub fn tenant_of(job: &ClaimedJob) -> String {
    JobSpec::decode(&job.spec).unwrap().tenant.map_or_else(String::new, String::from)
}

/// `{"n": n}` of a claimed job.
pub fn number_of(job: &ClaimedJob) -> u64 {
    let args: serde_json::Value = serde_json::from_str(JobSpec::decode(&job.spec).unwrap().args.get()).unwrap();
    args["n"].as_u64().unwrap()
}

pub fn numbers_of(jobs: &[ClaimedJob]) -> Vec<u64> {
    jobs.iter().map(number_of).collect()
}

pub fn with_priority(mut job: NewJob, level: i64) -> NewJob {
    job.priority = Priority::try_from(level).unwrap();
    job
}

pub fn failure(message: &str) -> AttemptError {
    AttemptError::new(ErrorClass::Failed, message)
}

pub fn retry_in(delay: Duration) -> Transition {
    Transition::Retry { delay, error: failure("no luck") }
}

pub fn release_in(delay: Duration) -> Transition {
    Transition::Release { delay, error: None }
}

pub fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}
