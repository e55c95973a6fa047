//! Progress and log lines.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use lovage_broker::{Broker, Connect};
use lovage_core::{Change, LogLevel, Progress};
use lovage_testkit::{Fault, FaultyBroker, Point, eventually};
use lovage_worker::{Handler, JobContext, JobError, Registry};
use serde_json::{Value, json};

use crate::bench::{Bench, LONG, start};
use crate::handlers::Said;
use crate::outages::failing;

/// Reports a thousand times and logs as often.
struct Talks;
impl Handler for Talks {
    type Args = Value;
    type Output = ();
    const KIND: &'static str = "talks";
    async fn run(&self, _: Value, job: JobContext) -> Result<(), JobError> {
        for done in 1..=1_000 {
            job.progress(Progress { done, total: Some(1_000), unit: "rows".into(), ..Progress::default() });
            if done % 10 == 0 {
                job.log(LogLevel::Info, format!("line {done}"));
                tokio::task::yield_now().await;
            }
        }
        Ok(())
    }
}

pub async fn progress_is_throttled_and_the_last_value_is_written(bench: Bench) {
    let reports = Arc::new(AtomicUsize::new(0));
    let (connect, counted) = (Arc::clone(&bench.connect), Arc::clone(&reports));
    let counting: Connect = Arc::new(move || {
        let (connect, counted) = (Arc::clone(&connect), Arc::clone(&counted));
        Box::pin(async move {
            let plan = Arc::new(move |point| {
                if point == Point::BeforeReport {
                    counted.fetch_add(1, Ordering::AcqRel);
                }
                Fault::None
            });
            Ok(Arc::new(FaultyBroker::new(connect().await?, plan)) as Arc<dyn Broker>)
        })
    });
    let id = bench.add("talks", json!({})).await;
    let mut run = start(bench.config("w1"), counting, Registry::new().with(Talks));
    assert_eq!(run.finished(&id).await, Change::Complete);
    run.drain().await;
    let progress = bench.view(&id).await.progress.unwrap();
    assert_eq!((progress.done, progress.total, progress.unit.as_str()), (1_000, Some(1_000), "rows"));
    // Four a second, and one with the end; the job does not take two seconds.
    let written = reports.load(Ordering::Acquire);
    assert!((1..=10).contains(&written), "{written} writes for a thousand values");
}

pub async fn log_lines_keep_their_order(bench: Bench) {
    let id = bench.add("talks", json!({})).await;
    let mut run = bench.start(Registry::new().with(Talks));
    run.finished(&id).await;
    run.drain().await;
    let lines = bench.broker.logs(&bench.queue, &id, None).await.unwrap().lines;
    let texts: Vec<_> = lines.into_iter().map(|line| line.text).collect();
    let expected: Vec<_> = (1..=100).map(|n| format!("line {}", n * 10)).collect();
    assert_eq!(texts, expected);
}

pub async fn what_a_silent_handler_told_is_written_after_an_outage(bench: Bench) {
    let said = Said::default();
    let id = bench.add("said", json!({})).await;
    let times = Arc::new(AtomicUsize::new(3));
    let connect = failing(&bench, Point::BeforeReport, &times);
    let mut run = start(bench.config("w1"), connect, Registry::new().with(said.clone()));
    run.started(&id).await;
    // The handler said it once and says nothing more.
    let view = eventually("what was said is written", LONG, async || {
        Some(bench.view(&id).await).filter(|view| view.progress.is_some())
    })
    .await;
    assert_eq!(view.progress.unwrap().done, 7);
    assert_eq!(times.load(Ordering::Acquire), 0, "the broker was away three times");
    assert_eq!(bench.broker.logs(&bench.queue, &id, None).await.unwrap().lines.len(), 1, "once, not once a try");
    said.gate.notify_one();
    assert_eq!(run.finished(&id).await, Change::Complete);
    run.drain().await;
}
