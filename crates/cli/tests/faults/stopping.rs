//! Two hundred deployments: workers are told to stop at random moments (row 25).

use std::collections::HashMap;

use lovage_core::{EventKind, JobId, State};
use lovage_testkit::{Process, Signal, eventually};
use serde_json::json;

use crate::stage::{PATIENCE, Stage};

const STOPS: usize = 200;
/// Workers that are deployed side by side.
const LANES: u64 = 4;
const JOBS: usize = 6_000;

/// The same numbers in every run: Knuth's generator, seeded by the lane.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

/// Row 25: no job runs twice to its end, none spends an attempt, no worker counts as lost.
#[tokio::test]
async fn row_25_two_hundred_stops_at_random_times() {
    let stage = Stage::open().await;
    let mut ids = Vec::new();
    for ms in [0, 3, 20, 70] {
        ids.extend(stage.add_many(JOBS / 4, "debug.sleep", &json!({"ms": ms})).await);
    }
    let lanes: [_; LANES as usize] = std::array::from_fn(|lane| deploy(&stage, lane as u64));
    let [a, b, c, d] = lanes;
    tokio::join!(a, b, c, d);
    let last = stage.start(stage.worker(50), "last");
    stage.until_counts("all are done", |counts| counts.completed == JOBS as u64).await;
    drop(last);
    for id in &ids {
        let view = stage.view(id).await;
        assert_eq!((view.state, view.failed, view.lost), (State::Completed, 0, 0), "{:?}", view.errors);
    }
    assert_history(&stage).await;
}

/// Starts a worker and stops it, as often as the lane has to.
async fn deploy(stage: &Stage, lane: u64) {
    let mut numbers = Numbers(lane);
    for stop in 0..STOPS as u64 / LANES {
        let mut command = stage.worker(4);
        command.env("LOVAGE_SHUTDOWN_TIMEOUT_SECONDS", "0");
        let log = stage.log(&format!("lane-{lane}-{stop}"));
        let mut worker = Process::start(command, &log);
        eventually("the worker is up", PATIENCE, async || worker.output().contains("worker started").then_some(()))
            .await;
        // The moment: when so many more jobs are done, by whomever.
        let moment = stage.counts().await.completed + numbers.below(40);
        eventually("the moment to stop comes", PATIENCE, async || {
            (stage.counts().await.completed >= moment).then_some(())
        })
        .await;
        worker.signal(Signal::Term);
        let status = worker.ended(PATIENCE).await;
        assert!(status.success(), "a clean stop exits 0: {status}; {}", worker.output());
    }
}

/// Every job was claimed once more than it was handed back, and completed once.
async fn assert_history(stage: &Stage) {
    let mut history: HashMap<JobId, (u32, u32, u32)> = HashMap::new();
    let mut cursor = None;
    loop {
        let page = stage.broker.events(&stage.queue, cursor.as_deref(), 1_000).await.expect("events answers");
        if page.events.is_empty() {
            break;
        }
        cursor = page.events.last().map(|event| event.cursor.clone());
        for event in page.events {
            let (claimed, released, completed) = history.entry(event.id).or_default();
            match (event.kind, event.state) {
                (EventKind::Claimed, _) => *claimed += 1,
                (EventKind::Finished, Some(State::Available)) => *released += 1,
                (EventKind::Finished, Some(State::Completed)) => *completed += 1,
                _ => {}
            }
        }
    }
    assert_eq!(history.len(), JOBS);
    let handed_back: u32 = history.values().map(|(_, released, _)| released).sum();
    assert!(handed_back > 0, "some were running when their worker was told to stop");
    for (id, (claimed, released, completed)) in history {
        assert_eq!((claimed, completed), (released + 1, 1), "{id}");
    }
}
