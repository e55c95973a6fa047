//! Processes that die at twenty named points while 10,000 jobs go through (row 01): none is lost, each ends once, and
//! what became visible became so once.
//!
//! Each point has its round of 500 jobs. A process of its own (this test binary, started again with the point in its
//! environment) works until it is killed there; the jobs that it had are taken over by the one of the next round.

use std::collections::HashMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use lovage_artifacts::{
    ArtifactStore, AttemptKey, LeaseCheck, LeaseLost, MANIFEST_VERSION, Manifest, StoreConfig, SweepOptions,
};
use lovage_broker::{Broker, Connect, OsEntropy, RedisBroker, RedisConfig, Retention, SystemClock};
use lovage_core::{Clock as _, JobId, NewJob, Progress, State};
use lovage_testkit::{Fault, FaultyBroker, Plan, Point, Process, eventually, kill_this_process};
use lovage_worker::{Handler, JobContext, JobError, Registry, Shutdown, Worker, WorkerConfig};
use serde_json::{Value, json};

use crate::stage::{PATIENCE, Stage, files};

/// Where a process is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spot {
    /// A producer, in a call.
    Producer(Point),
    /// A worker, in a call.
    Worker(Point),
    /// A worker that was told to stop, in a call.
    Stopping(Point),
    /// A worker, in a handler.
    Handler(Step),
}

/// Where in a handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Begun,
    EffectDone,
    BeforeUpload,
    Uploaded,
    LeaseConfirmed,
    Published,
}

const POINTS: [(&str, Spot); 20] = [
    ("before jobs are handed in", Spot::Producer(Point::BeforeEnqueue)),
    ("jobs are in, the producer does not know", Spot::Producer(Point::AfterEnqueue)),
    ("before a claim", Spot::Worker(Point::BeforeClaim)),
    ("jobs are claimed, the worker does not know", Spot::Worker(Point::AfterClaim)),
    ("the first of a batch is with its handler", Spot::Handler(Step::Begun)),
    ("the effect is done, the handler has not returned", Spot::Handler(Step::EffectDone)),
    ("before a report", Spot::Worker(Point::BeforeReport)),
    ("the report is written, the worker does not know", Spot::Worker(Point::AfterReport)),
    ("before the upload", Spot::Handler(Step::BeforeUpload)),
    ("uploaded, the lease is not confirmed", Spot::Handler(Step::Uploaded)),
    ("the lease is confirmed, nothing is published", Spot::Handler(Step::LeaseConfirmed)),
    ("published, the handler has not returned", Spot::Handler(Step::Published)),
    ("before outcomes are written", Spot::Worker(Point::BeforeFinish)),
    ("outcomes are written, the worker does not know", Spot::Worker(Point::AfterFinish)),
    ("before leases are renewed", Spot::Worker(Point::BeforeRenew)),
    ("leases are renewed, the keeper does not know", Spot::Worker(Point::AfterRenew)),
    ("before a sweep", Spot::Worker(Point::BeforeSweep)),
    ("swept, the worker does not know", Spot::Worker(Point::AfterSweep)),
    ("before a heartbeat, while it drains", Spot::Stopping(Point::BeforeHeartbeat)),
    ("before it takes itself off the list", Spot::Stopping(Point::BeforeUnregister)),
];

const ROUND: usize = 500;
/// Effects after which a process is ready to be killed: by then it has done what the one before it left.
const ARMED_AFTER: usize = 200;
/// Jobs that a worker runs at once.
const SLOTS: usize = 10;
/// Jobs that a producer hands in at once.
const BATCH: usize = 100;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_01_kill_9_at_twenty_points_loses_none_of_10_000_jobs() {
    let stage = Stage::open().await;
    let place = Place::of(&stage);
    let mut ids = Vec::new();
    for (round, (name, spot)) in POINTS.iter().enumerate() {
        let produces = matches!(spot, Spot::Producer(_));
        if produces {
            killed(&stage, round).await;
        }
        // A producer that does not know what arrived hands everything in again, under the same ids.
        for batch in batches(round) {
            let outcomes = stage.broker.enqueue(batch).await.expect("enqueue answers");
            ids.extend(outcomes.iter().map(|outcome| outcome.id().expect("no job is refused").clone()));
        }
        if !produces {
            killed(&stage, round).await;
            eventually(&format!("killed {name}: its jobs are taken back"), PATIENCE, async || {
                stage.broker.sweep(&stage.queue).await.expect("swept");
                (stage.counts().await.running == 0).then_some(())
            })
            .await;
        }
    }
    assert_eq!(ids.len(), POINTS.len() * ROUND);
    place.work(None).await;
    assert_each_ended_once(&stage, &place, &ids).await;
    assert_published_once(&stage, &place, &ids).await;
}

/// Starts the process of this round and waits until it is killed at its point.
async fn killed(stage: &Stage, round: usize) {
    let mut command = Command::new(std::env::current_exe().expect("this binary has a path"));
    command
        .args(["twenty_points::process_of_a_round", "--exact", "--nocapture"])
        .env("FAULT_REDIS", stage.server.url())
        .env("FAULT_FOLDER", stage.folder.path())
        .env("FAULT_ROUND", round.to_string());
    let mut child = Process::start(command, &stage.log("round"));
    let status = child.ended(PATIENCE).await;
    assert!(status.code().is_none(), "not killed {}: {status}; {}", POINTS[round].0, child.output());
}

/// The control, and in a process of its own the producer or worker that is killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::disallowed_methods, reason = "how a test process tells its child what to be")]
async fn process_of_a_round() {
    let var = |name: &str| std::env::var(name).ok();
    if let (Some(redis), Some(folder), Some(round)) = (var("FAULT_REDIS"), var("FAULT_FOLDER"), var("FAULT_ROUND")) {
        let round: usize = round.parse().expect("a number");
        let place = Place { redis, folder: folder.into() };
        match POINTS[round].1 {
            Spot::Producer(point) => place.produce(round, point).await,
            spot => place.work(Some(spot)).await,
        }
        panic!("the process outlived its point: {}", POINTS[round].0);
    }
    let stage = Stage::open().await;
    let place = Place::of(&stage);
    let outcomes = stage.broker.enqueue(batches(0).remove(0)).await.expect("enqueue answers");
    let ids: Vec<JobId> = outcomes.iter().map(|outcome| outcome.id().expect("enqueued").clone()).collect();
    place.work(None).await;
    assert_each_ended_once(&stage, &place, &ids).await;
    assert_published_once(&stage, &place, &ids).await;
}

/// The jobs of a round: cheap ones, some of them due later, some that publish a file, and one that keeps its worker busy.
fn batches(round: usize) -> Vec<Vec<NewJob>> {
    let job = |n: usize| {
        let kind = match n {
            0 => Hold::KIND,
            n if n % 25 == 24 => Publish::KIND,
            _ => Effect::KIND,
        };
        let args = json!({});
        let mut job =
            NewJob::new("exports".parse().expect("valid"), kind.parse().expect("valid"), &args).expect("plain");
        job.id = Some(format!("round-{round:02}-{n:03}").parse().expect("a valid id"));
        job.delay_ms = (n % 10 == 9).then_some(300);
        job
    };
    (0..ROUND / BATCH).map(|batch| (batch * BATCH..(batch + 1) * BATCH).map(job).collect()).collect()
}

/// What a process is told.
struct Place {
    redis: String,
    folder: PathBuf,
}

impl Place {
    fn of(stage: &Stage) -> Self {
        Self { redis: stage.server.url(), folder: stage.folder.path().to_owned() }
    }

    fn connect(&self, plan: Plan) -> Connect {
        // Ended jobs are looked at in the end: none may go before.
        let retention = Retention { completed_count: 100_000, ..Retention::default() };
        let config = RedisConfig { url: self.redis.clone(), retention, ..RedisConfig::default() };
        Arc::new(move || {
            let (config, plan) = (config.clone(), Arc::clone(&plan));
            Box::pin(async move {
                let inner = Arc::new(RedisBroker::connect(config).await?);
                Ok(Arc::new(FaultyBroker::new(inner, plan)) as Arc<dyn Broker>)
            })
        })
    }

    fn store(&self) -> ArtifactStore {
        let url = self.folder.join("artifacts").display().to_string();
        ArtifactStore::open(&StoreConfig::new(url)).expect("a local store")
    }

    fn effects(&self) -> PathBuf {
        self.folder.join("effects")
    }

    /// Hands in the round's jobs; killed in the third batch.
    async fn produce(&self, round: usize, point: Point) {
        let calls = AtomicUsize::new(0);
        let plan: Plan = Arc::new(move |at| {
            let strikes = at == point && calls.fetch_add(1, Ordering::SeqCst) == 2;
            if strikes { Fault::Kill } else { Fault::None }
        });
        let broker = self.connect(plan)().await.expect("the broker opens");
        for batch in batches(round) {
            broker.enqueue(batch).await.expect("enqueue answers");
        }
    }

    /// Runs jobs until nothing is left, or until it is killed at the spot.
    async fn work(&self, spot: Option<Spot>) {
        let saboteur = Arc::new(Saboteur { spot, done: AtomicUsize::new(0), shutdown: Shutdown::new() });
        let armed = Arc::clone(&saboteur);
        let connect = self.connect(Arc::new(move |at| {
            let here = matches!(armed.spot, Some(Spot::Worker(point) | Spot::Stopping(point)) if point == at);
            if here && armed.is_armed() { Fault::Kill } else { Fault::None }
        }));
        let effects = std::fs::File::options().create(true).append(true).open(self.effects()).expect("a file");
        let registry = Registry::new()
            .with(Effect { saboteur: Arc::clone(&saboteur), effects })
            .with(Publish { saboteur: Arc::clone(&saboteur), store: self.store() })
            .with(Hold { saboteur: Arc::clone(&saboteur) });
        let id = format!("killed-{}", std::process::id()).parse().expect("a valid id");
        let config = WorkerConfig {
            slots: SLOTS,
            exit_when_empty: spot.is_none(),
            renew_every: Duration::from_millis(100),
            shutdown_timeout: Duration::from_millis(200),
            ..WorkerConfig::new(id, vec![("exports".parse().expect("valid"), 1)]).lease(Duration::from_secs(1))
        };
        let worker = Worker::new(config, connect, registry, Arc::new(OsEntropy), Arc::new(SystemClock));
        worker.run(saboteur.shutdown.clone()).await.expect("the worker ends well");
    }
}

/// Kills its process at one spot, once it has done enough.
struct Saboteur {
    spot: Option<Spot>,
    done: AtomicUsize,
    shutdown: Shutdown,
}

impl Saboteur {
    fn is_armed(&self) -> bool {
        self.done.load(Ordering::SeqCst) >= ARMED_AFTER
    }

    async fn at(&self, step: Step) {
        if self.spot == Some(Spot::Handler(step)) && self.is_armed() {
            kill_this_process().await;
        }
    }

    fn did_one(&self) {
        let done = self.done.fetch_add(1, Ordering::SeqCst) + 1;
        if done == ARMED_AFTER && matches!(self.spot, Some(Spot::Stopping(_))) {
            self.shutdown.drain.cancel();
        }
    }
}

/// Leaves a line in a file.
struct Effect {
    saboteur: Arc<Saboteur>,
    effects: std::fs::File,
}

impl Handler for Effect {
    type Args = Value;
    type Output = ();
    const KIND: &'static str = "effect";
    async fn run(&self, _: Value, job: JobContext) -> Result<(), JobError> {
        self.saboteur.at(Step::Begun).await;
        // One write of a short line is one step for everybody who appends.
        (&self.effects).write_all(format!("{}\n", job.id()).as_bytes()).map_err(anyhow::Error::from)?;
        self.saboteur.at(Step::EffectDone).await;
        self.saboteur.did_one();
        Ok(())
    }
}

/// Publishes a file, as an export does.
struct Publish {
    saboteur: Arc<Saboteur>,
    store: ArtifactStore,
}

impl Handler for Publish {
    type Args = Value;
    type Output = ();
    const KIND: &'static str = "publish";
    async fn run(&self, _: Value, job: JobContext) -> Result<(), JobError> {
        let (queue, id) = (job.queue().clone(), job.id().clone());
        if self.store.existing(&queue, &id).await.map_err(anyhow::Error::from)?.is_some() {
            return Ok(());
        }
        self.saboteur.at(Step::BeforeUpload).await;
        let owner = AttemptKey { queue, job: id, attempt: job.attempt(), token: job.token() };
        let name = "data.txt".parse().expect("a valid name");
        let mut writer = self.store.create(&owner, &name, "text/plain").map_err(anyhow::Error::from)?;
        writer.write(job.id().to_string().into_bytes().into()).await.map_err(anyhow::Error::from)?;
        let file = writer.finish().await.map_err(anyhow::Error::from)?.into_file(None, Vec::new(), None);
        self.saboteur.at(Step::Uploaded).await;
        let manifest = Manifest {
            version: MANIFEST_VERSION,
            queue: owner.queue,
            job: owner.job,
            kind: job.kind().clone(),
            attempt: owner.attempt,
            token: owner.token,
            producer: "test".to_owned(),
            created_at: SystemClock.now(),
            expires_at: None,
            tenant: None,
            dataset: None,
            files: vec![file],
        };
        self.store.publish(manifest, &Lease(&job, &self.saboteur)).await.map_err(anyhow::Error::from)?;
        self.saboteur.at(Step::Published).await;
        Ok(())
    }
}

struct Lease<'a>(&'a JobContext, &'a Saboteur);

#[async_trait::async_trait]
impl LeaseCheck for Lease<'_> {
    async fn confirm(&self) -> Result<(), LeaseLost> {
        self.0.confirm_lease().await.map_err(|lost| LeaseLost(lost.to_string()))?;
        self.1.at(Step::LeaseConfirmed).await;
        Ok(())
    }
}

/// Runs and reports until its worker is killed, so that there is always a lease to keep; the second time it ends.
struct Hold {
    saboteur: Arc<Saboteur>,
}

impl Handler for Hold {
    type Args = Value;
    type Output = ();
    const KIND: &'static str = "hold";
    async fn run(&self, _: Value, job: JobContext) -> Result<(), JobError> {
        if job.attempt() > 1 || self.saboteur.spot.is_none() {
            return Ok(());
        }
        let mut pace = tokio::time::interval(Duration::from_millis(50));
        for done in 1.. {
            job.progress(Progress { done, ..Progress::default() });
            tokio::select! {
                _ = pace.tick() => {}
                () = job.cancelled().cancelled() => break,
            }
        }
        Err(JobError::Cancelled)
    }
}

async fn assert_each_ended_once(stage: &Stage, place: &Place, ids: &[JobId]) {
    let counts = stage.counts().await;
    assert_eq!((counts.completed, counts.unfinished(), counts.discarded), (ids.len() as u64, 0, 0));
    let effects = std::fs::read_to_string(place.effects()).expect("effects");
    let mut runs: HashMap<&str, u32> = HashMap::new();
    for line in effects.lines() {
        *runs.entry(line).or_default() += 1;
    }
    let mut again = 0;
    for id in ids {
        let view = stage.view(id).await;
        assert_eq!((view.state, view.failed), (State::Completed, 0), "{id}: {:?}", view.errors);
        let runs = runs.remove(id.as_str()).unwrap_or_default();
        if view.kind.is_some_and(|kind| kind.as_str() == Effect::KIND) {
            assert!((1..=view.attempt).contains(&runs), "{id}: {runs} effects in {} attempts", view.attempt);
        }
        again += view.attempt - 1;
    }
    assert_eq!(runs.len(), 0, "no effect of a job that nobody enqueued");
    // Each kill may cost what the worker had at once, and the one that keeps it busy; everything else ran once.
    assert!(again as usize <= POINTS.len() * 2 * (SLOTS + 1), "{again} runs too many");
}

async fn assert_published_once(stage: &Stage, place: &Place, ids: &[JobId]) {
    let store = place.store();
    // What killed attempts left is removed by the sweeper; the visible files stay.
    let later = SystemClock.now().plus(Duration::from_hours(48));
    store.sweep_orphans(SweepOptions::at(later), |_, _| async { false }).await.expect("swept");
    let mut published = 0;
    for id in ids {
        if let Some(manifest) = store.existing(&stage.queue, id).await.expect("a readable store") {
            store.verify(&manifest.files[0].key).await.expect("the file is whole");
            published += 1;
        }
    }
    assert_eq!(published, ids.len() / 25);
    let left = files(Path::new(&stage.storage()));
    assert_eq!(left.len(), 2 * published, "one file and one manifest each");
}
