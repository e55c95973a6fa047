//! Keeping and losing leases.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use lovage_broker::Connect;
use lovage_core::{Change, DiscardReason, ErrorClass, State};
use lovage_testkit::{Fault, FaultyBroker, Point};
use lovage_worker::{Handler, JobContext, JobError, Registry, Shutdown, WorkerConfig, WorkerEvent};
use serde_json::{Value, json};
use tokio::sync::mpsc::unbounded_channel;
use tokio::time::Instant;

use crate::bench::{Bench, Run, start, worker};
use crate::handlers::{Blocks, BlocksAside, Echo, Gate, Release};

/// Short enough for a test to outlast it, long enough for a busy machine to renew it.
const SHORT: Duration = Duration::from_millis(1_500);

/// A worker with a short lease, and one slot: while it is taken, the worker cannot take its own lost job again.
pub fn short(bench: &Bench, name: &str) -> WorkerConfig {
    WorkerConfig { slots: 1, renew_every: SHORT / 5, ..bench.config(name).lease(SHORT) }
}

/// Watches renewals until a job has run three times as long as its lease.
async fn outlast_three_leases(run: &mut Run) {
    let began = Instant::now();
    while began.elapsed() < 3 * SHORT {
        run.event("a renewal", |event| matches!(event, WorkerEvent::Renewed { leases } if *leases > 0).then_some(()))
            .await;
    }
}

pub async fn row_04_a_job_longer_than_its_lease_starts_once(bench: Bench) {
    let gate = Gate::default();
    let id = bench.add("gate", json!(1)).await;
    let mut run = bench.start_with(short(&bench, "w1"), Registry::new().with(gate.clone()));
    run.started(&id).await;
    // Another worker stands by and would take the job the moment its lease ran out.
    let mut other = bench.start_with(short(&bench, "w2"), Registry::new().with(Echo));
    other.ready().await;
    outlast_three_leases(&mut run).await;
    gate.0.notify_one();
    assert_eq!(run.finished(&id).await, Change::Complete);
    run.drain().await;
    assert_eq!(other.drain().await.claimed, 0);
    let view = bench.view(&id).await;
    assert_eq!((view.attempt, view.lost), (1, 0));
}

pub async fn row_05_a_blocked_runtime_keeps_its_leases(bench: Bench) {
    let blocks = Blocks::default();
    let _release = Release::at_the_end(&blocks.stop);
    let id = bench.add("blocks", json!({})).await;
    let (observer, events) = unbounded_channel();
    let config = WorkerConfig { observer: Some(observer), ..short(&bench, "w1") };
    let shutdown = Shutdown::new();
    // All of this worker but its keeper lives on one thread, and the handler blocks it.
    let lone = worker(config, Arc::clone(&bench.connect), Registry::new().with(blocks.clone()));
    let thread = {
        let shutdown = shutdown.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(lone.run(shutdown)).unwrap()
        })
    };
    let mut run = Run::watch(events, shutdown);
    run.started(&id).await;
    outlast_three_leases(&mut run).await;
    let view = bench.view(&id).await;
    assert_eq!((view.state, view.attempt, view.lost), (State::Running, 1, 0));
    blocks.stop.store(true, Ordering::Release);
    assert_eq!(run.finished(&id).await, Change::Complete);
    run.shutdown.drain.cancel();
    let summary = tokio::task::spawn_blocking(|| thread.join().unwrap()).await.unwrap();
    assert_eq!((summary.completed, summary.lost), (1, 0));
}

pub async fn row_06_a_handler_that_never_yields_loses_its_job(bench: Bench) {
    let stuck = Blocks { timeout: Some(Duration::from_millis(50)), ..Blocks::default() };
    let _release = Release::at_the_end(&stuck.stop);
    let id = bench.add("blocks", json!({})).await;
    let mut first = bench.start_with(short(&bench, "w1"), Registry::new().with(stuck.clone()));
    assert_eq!(first.started(&id).await, 1);
    let free = Blocks::default();
    free.stop.store(true, Ordering::Release);
    let mut second = bench.start_with(short(&bench, "w2"), Registry::new().with(free));
    // The keeper gives the lease up; the other worker finds the job.
    assert_eq!(second.started(&id).await, 2);
    assert_eq!(second.finished(&id).await, Change::Complete);
    stuck.stop.store(true, Ordering::Release);
    first.until(WorkerEvent::Lost { id: id.clone() }).await;
    assert_eq!(first.drain().await.lost, 1);
    second.drain().await;
    let view = bench.view(&id).await;
    assert_eq!((view.state, view.attempt, view.lost), (State::Completed, 2, 1));
    assert_eq!(view.worker.unwrap().as_str(), "w2");
}

pub async fn row_06_a_handler_stuck_in_blocking_work_is_recovered(bench: Bench) {
    let stop = Arc::new(AtomicBool::new(false));
    let _release = Release::at_the_end(&stop);
    let id = bench.add("blocks-aside", json!({})).await;
    let mut run = bench.start(Registry::new().with(BlocksAside(Arc::clone(&stop))));
    assert_eq!(run.finished(&id).await, Change::Discard(DiscardReason::TimedOut));
    let view = bench.view(&id).await;
    assert_eq!(view.errors[0].class, ErrorClass::TimedOut);
    run.drain().await;
    stop.store(true, Ordering::Release);
}

/// A connection whose renewals fail while `down` is set.
pub fn renewals_fail(bench: &Bench, down: &Arc<AtomicBool>) -> Connect {
    let (connect, down) = (Arc::clone(&bench.connect), Arc::clone(down));
    Arc::new(move || {
        let (connect, down) = (Arc::clone(&connect), Arc::clone(&down));
        Box::pin(async move {
            let plan = Arc::new(move |point| match point {
                Point::BeforeRenew if down.load(Ordering::Acquire) => Fault::Unavailable,
                _ => Fault::None,
            });
            Ok(Arc::new(FaultyBroker::new(connect().await?, plan)) as Arc<dyn lovage_broker::Broker>)
        })
    })
}

pub async fn row_07_an_attempt_that_lost_its_lease_writes_nothing(bench: Bench) {
    let gate = Gate::default();
    let id = bench.add("gate", json!("old")).await;
    let down = Arc::new(AtomicBool::new(true));
    let mut old = start(short(&bench, "w1"), renewals_fail(&bench, &down), Registry::new().with(gate.clone()));
    old.started(&id).await;
    let mut new = bench.start_with(short(&bench, "w2"), Registry::new().with(gate.clone()));
    assert_eq!(new.started(&id).await, 2, "nobody renewed, so the job has moved on");
    // The old run ends first, as a success, and is refused; the first waiter is woken first.
    gate.0.notify_one();
    old.until(WorkerEvent::Lost { id: id.clone() }).await;
    assert_eq!(bench.view(&id).await.state, State::Running, "the new run goes on");
    gate.0.notify_one();
    assert_eq!(new.finished(&id).await, Change::Complete);
    let summary = old.drain().await;
    assert_eq!((summary.completed, summary.lost), (0, 1));
    new.drain().await;
    assert_eq!(bench.view(&id).await.attempt, 2);
}

/// Confirms its lease when told to, as before a publication.
#[derive(Clone, Default)]
struct Publishes {
    gate: Gate,
    published: Arc<AtomicUsize>,
}
impl Handler for Publishes {
    type Args = Value;
    type Output = ();
    const KIND: &'static str = "publishes";
    async fn run(&self, _: Value, job: JobContext) -> Result<(), JobError> {
        self.gate.0.notified().await;
        job.confirm_lease().await?;
        self.published.fetch_add(1, Ordering::AcqRel);
        Ok(())
    }
}

pub async fn a_lost_lease_is_not_confirmed(bench: Bench) {
    let (old_job, new_job) = (Publishes::default(), Publishes::default());
    let id = bench.add("publishes", json!({})).await;
    let down = Arc::new(AtomicBool::new(true));
    let mut old = start(short(&bench, "w1"), renewals_fail(&bench, &down), Registry::new().with(old_job.clone()));
    old.started(&id).await;
    let mut new = bench.start_with(short(&bench, "w2"), Registry::new().with(new_job.clone()));
    assert_eq!(new.started(&id).await, 2);
    down.store(false, Ordering::Release);
    old_job.gate.0.notify_one();
    old.until(WorkerEvent::Lost { id: id.clone() }).await;
    new_job.gate.0.notify_one();
    assert_eq!(new.finished(&id).await, Change::Complete);
    assert_eq!(old_job.published.load(Ordering::Acquire), 0);
    assert_eq!(new_job.published.load(Ordering::Acquire), 1);
    old.drain().await;
    new.drain().await;
}
