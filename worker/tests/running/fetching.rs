//! Filling slots.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use lovage_broker::SystemClock;
use lovage_core::{Change, Clock, Timestamp};
use lovage_testkit::{Fault, FaultyBroker, Point};
use lovage_worker::{Handler, JobContext, JobError, KindOptions, Registry, WorkerConfig, WorkerEvent};
use serde_json::{Value, json};
use tokio::sync::Barrier;

use crate::bench::{Bench, start};
use crate::handlers::{Blocks, Capped, Echo, Release};

/// Ends only when four of it run at once.
struct Meets(Arc<Barrier>);
impl Handler for Meets {
    type Args = Value;
    type Output = ();
    const KIND: &'static str = "meets";
    async fn run(&self, _: Value, _: JobContext) -> Result<(), JobError> {
        self.0.wait().await;
        Ok(())
    }
}

pub async fn jobs_run_side_by_side(bench: Bench) {
    let config = WorkerConfig { exit_when_empty: true, ..bench.config("w1") };
    for _ in 0..8 {
        bench.add("meets", json!({})).await;
    }
    let run = bench.start_with(config, Registry::new().with(Meets(Arc::new(Barrier::new(4)))));
    assert_eq!(run.end().await.unwrap().completed, 8);
}

pub async fn a_blocked_thread_does_not_stop_the_others(bench: Bench) {
    // A runtime of its own for the worker: the blocked thread is one of its two.
    let blocks = Blocks::default();
    let _release = Release::at_the_end(&blocks.stop);
    let stuck = bench.add("blocks", json!({})).await;
    let registry = Registry::new().with(blocks.clone()).with(Echo);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut run = {
        let _inside = runtime.enter();
        bench.start(registry)
    };
    run.started(&stuck).await;
    for n in 0..20 {
        let id = bench.add("echo", json!(n)).await;
        assert_eq!(run.finished(&id).await, Change::Complete);
    }
    blocks.stop.store(true, Ordering::Release);
    run.drain().await;
    runtime.shutdown_background();
}

pub async fn a_kind_never_runs_more_than_its_cap(bench: Bench) {
    let capped = Capped::default();
    let config = WorkerConfig { exit_when_empty: true, slots: 6, ..bench.config("w1") };
    for _ in 0..12 {
        bench.add("capped", json!({})).await;
    }
    let run = bench.start_with(config, Registry::new().with(capped.clone()));
    let summary = run.end().await.unwrap();
    assert_eq!(summary.completed, 12);
    assert_eq!(capped.most.load(Ordering::Acquire), 2);
}

pub async fn a_crowd_of_a_capped_kind_is_not_moved_in_circles(bench: Bench) {
    // Two run and do not end, eight stand by; the others can only be looked at and given back.
    let blocks = Waits::default();
    for _ in 0..400 {
        bench.add("waits", json!({})).await;
    }
    let mut run = bench.start(Registry::new().with(blocks.clone()).with(Echo));
    let last = bench.add("echo", json!("behind the crowd")).await;
    assert_eq!(run.finished(&last).await, Change::Complete, "other kinds get through");
    let took = SystemClock.now().since(bench.view(&last).await.enqueued_at);
    blocks.0.cancel();
    let claimed = run.drain().await.claimed;
    let rounds = took.as_millis() as u64 / 50 + 4;
    let slots = bench.config("w1").slots as u64;
    assert!(claimed <= rounds * slots, "{claimed} jobs claimed in {took:?}");
}

#[derive(Clone, Default)]
struct Waits(tokio_util::sync::CancellationToken);
impl Handler for Waits {
    type Args = Value;
    type Output = ();
    const KIND: &'static str = "waits";
    fn options(&self) -> KindOptions {
        KindOptions { max_running: Some(2), ..KindOptions::default() }
    }
    async fn run(&self, _: Value, _: JobContext) -> Result<(), JobError> {
        self.0.cancelled().await;
        Ok(())
    }
}

struct When;
impl Handler for When {
    type Args = Value;
    type Output = Timestamp;
    const KIND: &'static str = "when";
    async fn run(&self, _: Value, _: JobContext) -> Result<Timestamp, JobError> {
        Ok(SystemClock.now())
    }
}

pub async fn a_delayed_job_is_run_when_it_is_due_and_not_before(bench: Bench) {
    let mut run = bench.start(Registry::new().with(When));
    run.until(WorkerEvent::Idle).await;
    let mut job = bench.job("when", &json!({}));
    job.delay_ms = Some(300);
    let before = SystemClock.now();
    let id = bench.add_job(job).await;
    assert_eq!(run.finished(&id).await, Change::Complete);
    run.drain().await;
    let ran: Timestamp = serde_json::from_str(bench.view(&id).await.result.unwrap().get()).unwrap();
    let waited = ran.since(before);
    // Well below the five seconds of the idle look: the worker knew when to come back.
    assert!(waited >= Duration::from_millis(300) && waited < Duration::from_secs(3), "{waited:?}");
}

pub async fn all_queues_are_served(bench: Bench) {
    let queues: Vec<_> = ["audit", "exports", "work"].map(|name| (name.parse().unwrap(), 1)).into();
    let config = WorkerConfig { queues: queues.clone(), exit_when_empty: true, slots: 2, ..bench.config("w1") };
    for n in 0..30 {
        let mut job = bench.job("echo", &json!(n));
        job.queue = queues[n % 3].0.clone();
        bench.add_job(job).await;
    }
    let run = bench.start_with(config, Registry::new().with(Echo));
    assert_eq!(run.end().await.unwrap().completed, 30);
}

pub async fn an_idle_worker_hardly_asks(bench: Bench) {
    let claims = Arc::new(AtomicUsize::new(0));
    let (connect, counted) = (Arc::clone(&bench.connect), Arc::clone(&claims));
    let counting: lovage_broker::Connect = Arc::new(move || {
        let (connect, counted) = (Arc::clone(&connect), Arc::clone(&counted));
        Box::pin(async move {
            let plan = Arc::new(move |point| {
                if point == Point::BeforeClaim {
                    counted.fetch_add(1, Ordering::AcqRel);
                }
                Fault::None
            });
            Ok(Arc::new(FaultyBroker::new(connect().await?, plan)) as Arc<dyn lovage_broker::Broker>)
        })
    });
    let mut run = start(bench.config("w1"), counting, Registry::new().with(Echo));
    for n in 0..5 {
        run.until(WorkerEvent::Idle).await;
        let id = bench.add("echo", json!(n)).await;
        run.finished(&id).await;
    }
    run.until(WorkerEvent::Idle).await;
    // One when it starts, one or two for each job (the wake-up, and one that may be spurious).
    let asked = claims.load(Ordering::Acquire);
    assert!((6..=20).contains(&asked), "{asked} claims for five jobs");
    run.drain().await;
}
