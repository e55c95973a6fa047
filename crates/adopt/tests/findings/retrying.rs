//! Row: the attempts that a job allows are stored but not used.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use apalis_core::backend::TaskSink as _;
use lovage_testkit::eventually;

use crate::stage::{OUT_OF_DATE, PATIENCE, Stage, task};

#[tokio::test]
async fn twenty_five_attempts_for_every_job_and_the_wait_is_their_number_in_seconds() {
    let stage = Stage::new();
    let mut storage = stage.storage().await;
    for (number, used) in [(1, 23), (2, 24)] {
        storage.push_task(task(number).max_attempts(2).attempt(used).build()).await.unwrap();
    }
    let runs = Arc::new(AtomicU32::new(0));
    let counted = runs.clone();
    let failing = move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
        async { Err("no".into()) }
    };
    let worker = tokio::spawn(crate::stage::work(storage, "worker", failing));
    let ended = async || {
        let waits: Option<u64> = stage.ask(&["ZSCORE", &stage.config.scheduled_jobs_set(), "1"]).await;
        let dead: bool = stage.ask(&["SISMEMBER", &stage.config.dead_jobs_set(), "2"]).await;
        let done_at: Option<u64> = stage.meta("1", "done_at").await.and_then(|text| text.parse().ok());
        done_at.zip(waits).filter(|_| dead)
    };
    let (done_at, waits) = eventually("both have failed once more", PATIENCE, ended).await;
    worker.abort();
    assert_eq!(stage.meta("1", "max_attempts").await.as_deref(), Some("2"), "it is stored");
    assert_eq!(stage.meta("1", "attempts").await.as_deref(), Some("24"), "{OUT_OF_DATE}: two were allowed");
    assert_eq!(waits - done_at, 24, "{OUT_OF_DATE}: the 24th attempt waits 24 s");
    assert_eq!(stage.meta("2", "attempts").await.as_deref(), Some("25"), "the 25th was the last, for any job");
    assert_eq!(runs.load(Ordering::Relaxed), 2);
}
