//! Row: any Redis error in heartbeat or acknowledgement ends the worker. (For the acknowledgement: `acknowledging`.)

use std::time::Duration;

use apalis_redis::Config;
use lovage_testkit::eventually;

use crate::stage::{OUT_OF_DATE, PATIENCE, Stage};

#[tokio::test]
async fn a_heartbeat_that_fails_once_ends_the_worker() {
    let stage = Stage::with(Config::default().queue("jobs").heartbeat_interval(Duration::from_secs(1)));
    let worker = tokio::spawn(crate::stage::work(stage.storage().await, "worker", |_| async { Ok(()) }));
    let registered = async || stage.ask::<Option<u64>>(&["ZSCORE", &stage.config.workers_set(), "worker"]).await;
    eventually("it is registered", PATIENCE, registered).await;
    assert!(!worker.is_finished());
    // Redis refuses writes for a moment.
    let _: () = stage.ask(&["CONFIG", "SET", "maxmemory", "1"]).await;
    let error = tokio::time::timeout(PATIENCE, worker).await.expect(OUT_OF_DATE).unwrap().expect_err(OUT_OF_DATE);
    assert!(error.contains("OOM") || error.contains("maxmemory"), "{error}");
}
