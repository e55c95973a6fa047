//! Row: all due jobs are promoted in one `unpack`.

use apalis_core::backend::TaskSink as _;
use lovage_testkit::eventually;
use tokio::sync::mpsc;

use crate::stage::{OUT_OF_DATE, PATIENCE, Stage};

#[tokio::test]
async fn eight_thousand_due_jobs_stop_the_queue() {
    let stage = Stage::new();
    let mut storage = stage.storage().await;
    let push = async |storage: &mut crate::stage::Storage, count: u32| {
        for first in (0..count).step_by(500) {
            storage.push_bulk((first..first + 500.min(count - first)).collect()).await.unwrap();
        }
    };
    push(&mut storage, 8_200).await;
    // One worker after the other ends, and nothing has run.
    for name in ["first", "second"] {
        let (ran, mut runs) = mpsc::unbounded_channel();
        let handler = move |number| {
            ran.send(number).unwrap();
            async { Ok(()) }
        };
        let ended = tokio::time::timeout(PATIENCE, stage.work(name, handler)).await;
        let error = ended.expect(OUT_OF_DATE).expect_err(OUT_OF_DATE);
        assert!(error.contains("too many results to unpack"), "{error}");
        assert!(runs.try_recv().is_err(), "{OUT_OF_DATE}: a job ran");
    }
    let waiting: u64 = stage.ask(&["ZCARD", &stage.config.scheduled_jobs_set()]).await;
    assert_eq!(waiting, 8_200, "they stand where they stood");

    // The control: with fewer of them it works.
    let _: () = stage.ask(&["FLUSHALL"]).await;
    push(&mut storage, 7_000).await;
    let (ran, mut runs) = mpsc::unbounded_channel();
    let handler = move |number| {
        ran.send(number).unwrap();
        async { Ok(()) }
    };
    let worker = tokio::spawn(crate::stage::work(storage, "third", handler));
    tokio::time::timeout(PATIENCE, runs.recv()).await.expect("a job runs").expect("a number");
    worker.abort();
    let promoted = async || {
        let waiting: u64 = stage.ask(&["ZCARD", &stage.config.scheduled_jobs_set()]).await;
        (waiting == 0).then_some(())
    };
    eventually("all are promoted", PATIENCE, promoted).await;
}
