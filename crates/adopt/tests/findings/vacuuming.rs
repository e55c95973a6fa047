//! Rows: vacuum deletes jobs that wait for their next attempt, and walks the whole table in one script; finished ids stay.

use apalis_core::backend::{TaskSink as _, Vacuum as _};
use lovage_testkit::eventually;

use crate::stage::{OUT_OF_DATE, PATIENCE, Stage, task};

#[tokio::test]
async fn vacuum_deletes_a_job_that_waits_for_its_next_attempt() {
    let stage = Stage::new();
    let mut storage = stage.storage().await;
    storage.push_task(task(1).build()).await.unwrap();
    let pushed = storage.clone();
    let worker = tokio::spawn(crate::stage::work(pushed, "failing", |_| async { Err("not this time".into()) }));
    let failed = async || stage.meta("1", "status").await.filter(|status| status == "Failed");
    eventually("it has failed", PATIENCE, failed).await;
    worker.abort();
    let waits: Option<u64> = stage.ask(&["ZSCORE", &stage.config.scheduled_jobs_set(), "1"]).await;
    assert!(waits.is_some(), "it waits for its second attempt");

    assert_eq!(storage.vacuum().await.unwrap(), 1, "{OUT_OF_DATE}");
    let payload: Option<String> = stage.ask(&["HGET", &stage.config.job_data_hash(), "1"]).await;
    assert_eq!(payload, None, "{OUT_OF_DATE}: the job is gone");
    // Its id is still in the line, and whoever comes to it ends.
    let ended = tokio::time::timeout(PATIENCE, stage.work("next", |_| async { Ok(()) })).await;
    let error = ended.expect(OUT_OF_DATE).expect_err(OUT_OF_DATE);
    assert!(error.contains("Invalid job data format"), "{error}");
}

#[tokio::test]
async fn vacuum_walks_the_whole_table_in_one_script() {
    let stage = Stage::new();
    let mut storage = stage.storage().await;
    storage.push_bulk((0..900).collect()).await.unwrap();
    storage.push_bulk((0..900).collect()).await.unwrap();
    let _: () = stage.ask(&["CONFIG", "RESETSTAT"]).await;
    assert_eq!(storage.vacuum().await.unwrap(), 0, "no job has ended");
    let statistics: String = stage.ask(&["INFO", "commandstats"]).await;
    let calls = |command: &str| {
        let line = statistics.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")));
        line.map_or(0, |rest| rest.split(',').next().unwrap().parse::<u32>().unwrap())
    };
    assert_eq!(calls("hgetall"), 1, "{OUT_OF_DATE}: all payloads at once");
    assert_eq!(calls("hget"), 1_800, "{OUT_OF_DATE}: and every job looked at");
}

#[tokio::test]
async fn finished_ids_stay_for_ever() {
    let stage = Stage::new();
    let mut storage = stage.storage().await;
    storage.push_bulk((0..5).collect()).await.unwrap();
    let worker = tokio::spawn(crate::stage::work(storage.clone(), "worker", |_| async { Ok(()) }));
    let done_set = stage.config.done_jobs_set();
    let done = async || (stage.ask::<u32>(&["SCARD", &done_set]).await == 5).then_some(());
    eventually("all are done", PATIENCE, done).await;
    worker.abort();
    assert_eq!(storage.vacuum().await.unwrap(), 5, "their payloads go");
    assert_eq!(stage.ask::<u32>(&["SCARD", &done_set]).await, 5, "{OUT_OF_DATE}: their ids do not");
    assert_eq!(stage.ask::<i64>(&["TTL", &done_set]).await, -1, "{OUT_OF_DATE}: without an end");
}
