//! Row: a crash puts jobs back without counting it.

use std::time::Duration;

use apalis_core::backend::TaskSink as _;
use apalis_redis::Config;
use tokio::sync::mpsc;

use crate::stage::{OUT_OF_DATE, PATIENCE, Stage, task};

#[tokio::test]
async fn a_crash_is_not_counted() {
    let heartbeat = Duration::from_secs(1);
    let stage = Stage::with(Config::default().queue("jobs").heartbeat_interval(heartbeat).missed_heartbeats(1));
    stage.storage().await.push_task(task(1).max_attempts(2).build()).await.unwrap();
    for name in ["first", "second", "third", "fourth"] {
        let (started, mut starts) = mpsc::unbounded_channel();
        let handler = move |number| {
            started.send(number).unwrap();
            std::future::pending()
        };
        let worker = tokio::spawn(crate::stage::work(stage.storage().await, name, handler));
        let start = tokio::time::timeout(PATIENCE, starts.recv()).await;
        assert_eq!(start.expect(OUT_OF_DATE), Some(1), "the job runs in the {name} worker");
        // The worker dies with the job: nothing of it is polled any more, nothing is said to Redis.
        worker.abort();
        assert!(worker.await.unwrap_err().is_cancelled());
    }
    assert_eq!(
        stage.meta("1", "attempts").await.as_deref(),
        Some("0"),
        "{OUT_OF_DATE}: four lost workers, none counted"
    );
    assert_eq!(stage.ask::<u32>(&["SCARD", &stage.config.dead_jobs_set()]).await, 0);
}
