//! Row: one acknowledgement that is not expected raises an error in the middle of a batch.

use std::sync::{Arc, Mutex};

use apalis_core::backend::TaskSink as _;
use apalis_core::worker::context::WorkerContext;
use apalis_redis::Config;
use lovage_testkit::eventually;
use tokio::sync::Semaphore;

use crate::stage::{OUT_OF_DATE, PATIENCE, Stage, task};

#[tokio::test]
async fn one_unexpected_acknowledgement_loses_those_behind_it() {
    let stage = Stage::with(Config::default().queue("jobs").lock_tasks(false));
    let mut storage = stage.storage().await;
    for number in 0..10 {
        storage.push_task(task(number).build()).await.unwrap();
    }
    let started = Arc::new(Mutex::new(Vec::new()));
    let ended = Arc::new(Mutex::new(Vec::new()));
    let gate = Arc::new(Semaphore::new(0));
    let (starts, ends, wait) = (started.clone(), ended.clone(), gate.clone());
    let handler = move |number| {
        let (starts, ends, wait) = (starts.clone(), ends.clone(), wait.clone());
        async move {
            starts.lock().unwrap().push(number);
            wait.acquire().await?.forget();
            ends.lock().unwrap().push(number);
            Ok(())
        }
    };
    let worker = tokio::spawn(crate::stage::work(storage, "worker", handler));
    let running = async || (started.lock().unwrap().len() == 10).then_some(());
    eventually("all run", PATIENCE, running).await;

    // One in the middle goes to somebody else, as after a missed heartbeat. Then all end at once.
    let inflight = stage.config.inflight_set_for(&WorkerContext::new("worker"));
    let lost = started.lock().unwrap()[5].to_string();
    assert_eq!(stage.ask::<u32>(&["SREM", &inflight, &lost]).await, 1);
    gate.add_permits(10);
    let error = tokio::time::timeout(PATIENCE, worker).await.expect(OUT_OF_DATE).unwrap().expect_err(OUT_OF_DATE);
    assert!(error.contains("task not executed by worker"), "{error}");

    assert_eq!(ended.lock().unwrap().len(), 10, "all ran to their end");
    let written: u32 = stage.ask(&["SCARD", &stage.config.done_jobs_set()]).await;
    let unwritten: u32 = stage.ask(&["SCARD", &inflight]).await;
    assert_eq!(written + unwritten, 9);
    assert!(written > 0, "those before it are written");
    assert!(unwritten > 0, "{OUT_OF_DATE}: those behind it are not, and will run again");
}
