//! Row: no priorities, no pause.

use apalis_core::backend::TaskSink as _;
use apalis_core::backend::ext::BackendExt as _;
use apalis_core::worker::builder::WorkerBuilder;
use tokio::sync::mpsc;

use crate::stage::{OUT_OF_DATE, PATIENCE, Stage, task, work};

#[tokio::test]
async fn a_priority_changes_nothing() {
    let mut orders = Vec::new();
    for priorities in [[0, 9], [9, 0]] {
        let stage = Stage::new();
        let mut storage = stage.storage().await;
        let due = 1_000;
        for (number, priority) in (1..).zip(priorities) {
            storage.push_task(task(number).priority(priority).run_at_timestamp(due).build()).await.unwrap();
        }
        // Both in the same second, so that only the priority could tell them apart.
        let set = stage.config.scheduled_jobs_set();
        let _: u32 = stage.ask(&["ZADD", &set, "1", "1", "1", "2"]).await;
        let (started, mut starts) = mpsc::unbounded_channel();
        let handler = move |number| {
            started.send(number).unwrap();
            async { Ok(()) }
        };
        let worker = tokio::spawn(work(storage, "worker", handler));
        let mut order = Vec::new();
        while order.len() < 2 {
            order.push(tokio::time::timeout(PATIENCE, starts.recv()).await.expect("both run").unwrap());
        }
        worker.abort();
        orders.push(order);
    }
    assert_eq!(orders[0], orders[1], "{OUT_OF_DATE}");
}

/// What apalis calls pause stops one worker. The queue knows nothing about it.
#[tokio::test]
async fn a_pause_is_one_workers_and_not_the_queues() {
    let stage = Stage::new();
    let mut storage = stage.storage().await;
    let backend = storage.clone().poll_with_interval(std::time::Duration::from_millis(20));
    let paused = WorkerBuilder::new("paused").backend(backend).build(|_: u32| async {});
    let (told, mut tells) = mpsc::unbounded_channel();
    let paused = tokio::spawn(paused.run_with_ctx(move |context| {
        let told = told.clone();
        async move {
            while context.pause().is_err() {
                tokio::task::yield_now().await;
            }
            told.send(()).unwrap();
            std::future::pending().await
        }
    }));
    tokio::time::timeout(PATIENCE, tells.recv()).await.expect("it pauses").unwrap();
    storage.push_task(task(1).build()).await.unwrap();
    let (started, mut starts) = mpsc::unbounded_channel();
    let handler = move |number| {
        started.send(number).unwrap();
        async { Ok(()) }
    };
    let other = tokio::spawn(work(storage, "other", handler));
    let run = tokio::time::timeout(PATIENCE, starts.recv()).await.expect(OUT_OF_DATE);
    assert_eq!(run, Some(1), "the other one knows of no pause");
    other.abort();
    paused.abort();
}
