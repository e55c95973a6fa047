//! One job's private world: an embedded broker in a temporary folder, a clock that only the trial moves, and workers
//! that take one job each.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use lovage_broker::{Broker, BrokerError, Connect, OsEntropy, SqliteBroker, SqliteConfig, SystemClock};
use lovage_core::{Clock as _, JobId, JobView, ManualClock, NewJob, QueueName, State};
use lovage_worker::{Handler, Registry, Shutdown, Worker, WorkerConfig};
use tempfile::TempDir;
use tokio::task::{AbortHandle, JoinHandle};

use crate::faulty::{Fault, FaultyBroker, Point};
use crate::trial::Trouble;
use crate::trial::wrapper::{Signals, Wrapper};

/// Later than any retry that a policy may plan, and than every lease.
const MUCH_LATER: Duration = Duration::from_hours(24 * 400);
/// A job that has not ended after so many attempts never does.
const MOST_ATTEMPTS: usize = 100;
/// How long anything here may take in real time; a handler of yours may need some.
const PATIENCE: Duration = Duration::from_mins(1);
/// Calls that a broker which is away does not answer.
const CALLS_AWAY: usize = 3;

pub(super) struct Stage<H> {
    trouble: Trouble,
    handler: Arc<H>,
    signals: Arc<Signals>,
    clock: Arc<ManualClock>,
    broker: Arc<dyn Broker>,
    queue: QueueName,
    workers: AtomicUsize,
    /// While it is set, no outcome of the first worker reaches the broker.
    away: Arc<AtomicBool>,
    _folder: TempDir,
}

/// A worker that takes one job.
struct Hand {
    shutdown: Shutdown,
    ended: JoinHandle<()>,
    abort: AbortHandle,
}

impl<H: Handler> Stage<H> {
    pub(super) async fn open(trouble: Trouble, handler: Arc<H>) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let clock = Arc::new(ManualClock::starting_at(SystemClock.now()));
        let mut config = SqliteConfig::new(folder.path().join("trial.db"));
        config.clock = Arc::clone(&clock) as Arc<dyn lovage_core::Clock>;
        let broker = Arc::new(SqliteBroker::open(config).await.expect("an embedded broker"));
        let (signals, away) = (Arc::default(), Arc::default());
        let queue = "trial".parse().expect("a valid name");
        Self { trouble, handler, signals, clock, broker, queue, workers: AtomicUsize::new(0), away, _folder: folder }
    }

    /// Enqueues the job and lets workers run it until it has ended.
    pub(super) async fn play(&self, kind: &str, args: &str, timeout: Option<Duration>) -> JobView {
        let args: serde_json::Value = serde_json::from_str(args).expect("it was written as JSON");
        let mut job =
            NewJob::new(self.queue.clone(), kind.parse().expect("a valid kind"), &args).expect("valid arguments");
        job.timeout_ms = timeout.map(|timeout| timeout.as_millis() as u64);
        let outcome = self.broker.enqueue(vec![job]).await.expect("the broker answers").remove(0);
        let id = outcome.id().expect("a job that may be enqueued").clone();
        self.first_attempt(&id).await;
        for _ in 0..MOST_ATTEMPTS {
            let view = self.view(&id).await;
            if matches!(view.state, State::Completed | State::Cancelled | State::Discarded) {
                return view;
            }
            // Whatever it waits for is over then: a retry, a snooze, the lease of a worker that was killed.
            self.clock.advance(MUCH_LATER);
            self.hand(false).run().await;
        }
        panic!("the job has not ended after {MOST_ATTEMPTS} attempts: {:?}", self.view(&id).await);
    }

    /// How often the handler began, and how often it paused.
    pub(super) fn counted(&self) -> (usize, usize) {
        (self.signals.runs.load(Ordering::SeqCst), self.signals.pauses.load(Ordering::SeqCst))
    }

    async fn view(&self, id: &JobId) -> JobView {
        self.broker.job(Some(&self.queue), id).await.expect("the broker answers").expect("the job is there")
    }

    /// The attempt that meets the trouble.
    async fn first_attempt(&self, id: &JobId) {
        let hand = self.hand(true);
        match self.trouble {
            Trouble::KilledBeforeStart | Trouble::KilledAtPause(_) | Trouble::KilledAfterEnd => {
                self.struck().await;
                hand.kill().await;
            }
            Trouble::LeaseLost => {
                self.struck().await;
                self.away.store(true, Ordering::SeqCst);
                self.clock.advance(MUCH_LATER);
                self.hand(false).run().await;
                self.signals.go_on.notify_one();
                self.away.store(false, Ordering::SeqCst);
                hand.run().await;
            }
            Trouble::Cancelled => {
                self.struck().await;
                self.broker.cancel(&self.queue, id).await.expect("the broker answers");
                hand.run().await;
            }
            Trouble::Shutdown => {
                self.struck().await;
                hand.shutdown.drain.cancel();
                hand.run().await;
            }
            _ => hand.run().await,
        }
    }

    async fn struck(&self) {
        let struck = tokio::time::timeout(PATIENCE, self.signals.struck.notified()).await;
        struck.unwrap_or_else(|_| panic!("{:?} did not happen within {PATIENCE:?}", self.trouble));
    }

    /// Starts a worker that takes one job; the first one meets the trouble.
    fn hand(&self, first: bool) -> Hand {
        let number = self.workers.fetch_add(1, Ordering::SeqCst) + 1;
        let id = format!("worker-{number}").parse().expect("a valid id");
        let config = WorkerConfig {
            slots: 1,
            max_jobs: Some(1),
            shutdown_timeout: Duration::ZERO,
            ..WorkerConfig::new(id, vec![(self.queue.clone(), 1)])
        };
        // The job's own time must not depend on whether somebody waits for the worker's end.
        let config = if first && self.trouble == Trouble::Shutdown {
            config
        } else {
            WorkerConfig { shutdown_timeout: PATIENCE, ..config }
        };
        let wrapper =
            Wrapper { handler: Arc::clone(&self.handler), trouble: self.trouble, signals: Arc::clone(&self.signals) };
        let worker = Worker::new(
            config,
            self.connect(first),
            Registry::new().with(wrapper),
            Arc::new(OsEntropy),
            Arc::clone(&self.clock) as Arc<dyn lovage_core::Clock>,
        );
        let shutdown = Shutdown::new();
        let run = worker.run(shutdown.clone());
        let ended = tokio::spawn(async move {
            run.await.expect("a worker of the trial ends well");
        });
        let abort = ended.abort_handle();
        Hand { shutdown, ended, abort }
    }

    fn connect(&self, first: bool) -> Connect {
        let (inner, away, trouble) = (Arc::clone(&self.broker), Arc::clone(&self.away), self.trouble);
        let calls = Arc::new(AtomicUsize::new(0));
        let next = move || calls.fetch_add(1, Ordering::SeqCst);
        let plan = Arc::new(move |point| {
            let strikes = match (trouble, point) {
                _ if !first => false,
                (Trouble::BrokerAway, Point::BeforeFinish) => next() < CALLS_AWAY,
                (Trouble::AnswerLost, Point::AfterFinish) => next() == 0,
                (_, Point::BeforeFinish) => away.load(Ordering::SeqCst),
                _ => false,
            };
            if strikes { Fault::Unavailable } else { Fault::None }
        });
        let faulty: Arc<dyn Broker> = Arc::new(FaultyBroker::new(inner, plan));
        Arc::new(move || {
            let faulty = Arc::clone(&faulty);
            Box::pin(async move { Ok::<_, BrokerError>(faulty) })
        })
    }
}

impl Hand {
    /// Waits until it has ended.
    async fn run(self) {
        let ended = tokio::time::timeout(PATIENCE, self.ended).await;
        ended.unwrap_or_else(|_| panic!("a worker of the trial did not end within {PATIENCE:?}")).expect("no panic");
    }

    /// Drops it with everything that it is doing.
    async fn kill(self) {
        self.abort.abort();
        // It answers that it was aborted.
        let _ = self.ended.await;
    }
}
