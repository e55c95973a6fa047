//! Slots of a limit are leases: those of killed workers come back (row 23).

use lovage_core::{Limits, State, Subject};
use lovage_testkit::{Signal, eventually};
use serde_json::json;

use crate::stage::{PATIENCE, Stage};

/// What the whole queue may run at once, on workers that could run more than twice as much.
const LIMIT: u32 = 6;

/// Slots in use, as the broker counts them, and jobs that run.
async fn slots(stage: &Stage) -> (u64, u64) {
    let flow = stage.broker.flow(&stage.queue, None, 10).await.expect("flow answers");
    let used = flow.iter().find(|view| view.subject == Subject::Queue).and_then(|view| view.used);
    (used.unwrap_or_default(), stage.counts().await.running)
}

/// Row 23: half of the workers are killed, again and again, for more than two leases in all. The slots that they had
/// serve others, no more jobs run than may, and in the end as many slots are used as jobs run.
#[tokio::test]
async fn row_23_slots_of_killed_workers_come_back() {
    let stage = Stage::open().await;
    let limits = Limits { concurrency: Some(LIMIT), ..Limits::default() };
    stage.broker.limit(&stage.queue, &Subject::Queue, &limits).await.expect("limited");
    let ids = stage.add_many(600, "debug.sleep", &json!({"ms": 60})).await;
    let mut workers: Vec<_> = (0..4).map(|n| stage.start(stage.worker(4), &format!("worker-{n}"))).collect();
    for round in 0..4 {
        stage.until_counts("all slots are used", |counts| counts.running == u64::from(LIMIT)).await;
        let half = 2 * (round % 2);
        for (n, worker) in workers.iter_mut().enumerate().skip(half).take(2) {
            worker.signal(Signal::Kill);
            worker.ended(PATIENCE).await;
            *worker = stage.start(stage.worker(4), &format!("worker-{n}-{round}"));
        }
        let done = stage.counts().await.completed;
        eventually("jobs are done by those that are left", PATIENCE, async || {
            let counts = stage.counts().await;
            assert!(counts.running <= u64::from(LIMIT), "{} run", counts.running);
            (counts.completed >= done + 40).then_some(())
        })
        .await;
    }
    stage.until_counts("all are done", |counts| counts.completed == 600).await;
    assert_eq!(slots(&stage).await, (0, 0), "no slot has leaked");
    for id in &ids {
        assert_eq!(stage.view(id).await.state, State::Completed);
    }

    // Half of them killed while every slot is used by a job that does not end: slots used are jobs running, throughout.
    stage.add_many(20, "debug.sleep", &json!({"ms": 600_000})).await;
    stage.until_counts("all slots are used", |counts| counts.running == u64::from(LIMIT)).await;
    for worker in workers.iter_mut().take(2) {
        worker.signal(Signal::Kill);
        worker.ended(PATIENCE).await;
    }
    eventually("the slots of the killed are used by others", PATIENCE, async || {
        (slots(&stage).await == (u64::from(LIMIT), u64::from(LIMIT))).then_some(())
    })
    .await;
}
