//! What every test starts from: a broker, a queue, a worker with short times.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use lovage_broker::{
    Broker, Connect, EnqueueOutcome, OsEntropy, RedisBroker, RedisConfig, SqliteBroker, SqliteConfig, SystemClock,
};
use lovage_core::{Change, JobId, JobView, NewJob, QueueName, RetryPolicy, WorkerId};
use lovage_testkit::RedisServer;
use lovage_worker::{Registry, Shutdown, Worker, WorkerConfig, WorkerError, WorkerEvent, WorkerHealth, WorkerSummary};
use serde_json::Value;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinHandle;

/// Longer than any test may take: what does not happen shows as a failure.
pub const LONG: Duration = Duration::from_secs(20);

pub struct Bench {
    pub broker: Arc<dyn Broker>,
    pub connect: Connect,
    pub queue: QueueName,
    _store: Box<dyn Any + Send>,
}

pub async fn sqlite() -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let config = SqliteConfig::new(folder.path().join("lovage.db"));
    let connect: Connect = Arc::new(move || {
        let config = config.clone();
        Box::pin(async move { Ok(Arc::new(SqliteBroker::open(config).await?) as Arc<dyn Broker>) })
    });
    Bench::new(connect, Box::new(folder)).await
}

pub async fn redis() -> Bench {
    let server = RedisServer::start();
    let config = RedisConfig { url: server.url(), ..RedisConfig::default() };
    let connect: Connect = Arc::new(move || {
        let config = config.clone();
        Box::pin(async move { Ok(Arc::new(RedisBroker::connect(config).await?) as Arc<dyn Broker>) })
    });
    Bench::new(connect, Box::new(server)).await
}

impl Bench {
    async fn new(connect: Connect, store: Box<dyn Any + Send>) -> Self {
        let broker = connect().await.unwrap();
        Self { broker, connect, queue: "work".parse().unwrap(), _store: store }
    }

    pub fn job(&self, kind: &str, args: &Value) -> NewJob {
        NewJob::new(self.queue.clone(), kind.parse().unwrap(), args).unwrap()
    }

    pub async fn add(&self, kind: &str, args: Value) -> JobId {
        self.add_job(self.job(kind, &args)).await
    }

    pub async fn add_job(&self, job: NewJob) -> JobId {
        match self.broker.enqueue(vec![job]).await.unwrap().remove(0) {
            EnqueueOutcome::Enqueued(id) => id,
            other => panic!("not enqueued: {other:?}"),
        }
    }

    pub async fn view(&self, id: &JobId) -> JobView {
        self.broker.job(None, id).await.unwrap().unwrap()
    }

    /// Settings with short times, so that a test can outlast them.
    pub fn config(&self, name: &str) -> WorkerConfig {
        let id: WorkerId = name.parse().unwrap();
        WorkerConfig {
            slots: 4,
            shutdown_timeout: LONG,
            stop_grace: Duration::from_millis(200),
            cancel_grace: Duration::from_millis(200),
            ..WorkerConfig::new(id, vec![(self.queue.clone(), 1)])
        }
    }

    pub fn start(&self, registry: Registry) -> Run {
        self.start_with(self.config("w1"), registry)
    }

    pub fn start_with(&self, config: WorkerConfig, registry: Registry) -> Run {
        start(config, Arc::clone(&self.connect), registry)
    }

    /// Runs one job to the first end of an attempt.
    pub async fn run_once(&self, registry: Registry, job: NewJob) -> JobView {
        let id = self.add_job(job).await;
        let mut run = self.start(registry);
        run.finished(&id).await;
        run.drain().await;
        self.view(&id).await
    }
}

pub fn worker(config: WorkerConfig, connect: Connect, registry: Registry) -> Worker {
    Worker::new(config, connect, registry, Arc::new(OsEntropy), Arc::new(SystemClock))
}

pub fn start(mut config: WorkerConfig, connect: Connect, registry: Registry) -> Run {
    let (observer, events) = unbounded_channel();
    config.observer = Some(observer);
    let shutdown = Shutdown::new();
    let worker = worker(config, connect, registry);
    let health = Some(worker.health());
    let ended = tokio::spawn(worker.run(shutdown.clone()));
    Run { events, shutdown, health, ended }
}

/// A policy that tries again at once.
pub fn at_once(max_attempts: u32) -> RetryPolicy {
    RetryPolicy { max_attempts, base_ms: 1, factor: 1.0, cap_ms: 1 }
}

/// A running worker.
pub struct Run {
    pub events: UnboundedReceiver<WorkerEvent>,
    pub shutdown: Shutdown,
    health: Option<WorkerHealth>,
    ended: JoinHandle<Result<WorkerSummary, WorkerError>>,
}

impl Run {
    /// Watches a worker that runs elsewhere.
    pub fn watch(events: UnboundedReceiver<WorkerEvent>, shutdown: Shutdown) -> Self {
        Self { events, shutdown, health: None, ended: tokio::spawn(async { Ok(WorkerSummary::default()) }) }
    }

    /// Waits for the first event that `pick` takes.
    pub async fn event<T>(&mut self, what: &str, pick: impl Fn(&WorkerEvent) -> Option<T>) -> T {
        let looking = async {
            while let Some(event) = self.events.recv().await {
                if let Some(found) = pick(&event) {
                    return found;
                }
            }
            panic!("the worker ended without: {what}");
        };
        tokio::time::timeout(LONG, looking).await.unwrap_or_else(|_| panic!("did not happen: {what}"))
    }

    pub async fn until(&mut self, event: WorkerEvent) {
        self.event(&format!("{event:?}"), |seen| (*seen == event).then_some(())).await;
    }

    pub async fn ready(&mut self) {
        self.until(WorkerEvent::Ready).await;
    }

    /// Waits for a handler to begin; answers the attempt.
    pub async fn started(&mut self, id: &JobId) -> u32 {
        self.event(&format!("start of {id}"), |event| match event {
            WorkerEvent::Started { id: seen, attempt } if seen == id => Some(*attempt),
            _ => None,
        })
        .await
    }

    /// Waits for the end of an attempt to be written.
    pub async fn finished(&mut self, id: &JobId) -> Change {
        self.event(&format!("end of {id}"), |event| match event {
            WorkerEvent::Finished { id: seen, change } if seen == id => Some(*change),
            _ => None,
        })
        .await
    }

    /// What the worker says of itself; only of one that was started here.
    pub fn health(&self) -> WorkerHealth {
        self.health.clone().expect("the worker runs here")
    }

    pub async fn drain(self) -> WorkerSummary {
        self.shutdown.drain.cancel();
        self.end().await.unwrap()
    }

    /// Waits for the worker to end.
    pub async fn end(self) -> Result<WorkerSummary, WorkerError> {
        tokio::time::timeout(LONG, self.ended).await.expect("the worker ends").unwrap()
    }
}
