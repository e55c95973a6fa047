//! Row: keys built inside scripts from prefixes, so no cluster.

use apalis_core::backend::TaskSink as _;
use apalis_redis::Config;
use lovage_testkit::{RedisServer, eventually};

use crate::stage::{OUT_OF_DATE, PATIENCE, Stage};

/// A node that has only the slot of the queue's own tag, or all if it has none.
async fn cluster(queue: &str) -> Stage {
    let settings = ["--cluster-enabled", "yes", "--cluster-require-full-coverage", "no"];
    let stage = Stage { server: RedisServer::start_with(&settings), config: Config::default().queue(queue) };
    let slot: u32 = stage.ask(&["CLUSTER", "KEYSLOT", queue]).await;
    let (first, last) = if queue.starts_with('{') { (slot, slot) } else { (0, 16_383) };
    let _: () = stage.ask(&["CLUSTER", "ADDSLOTSRANGE", &first.to_string(), &last.to_string()]).await;
    let ready = async || stage.ask::<String>(&["CLUSTER", "INFO"]).await.contains("cluster_state:ok").then_some(());
    eventually("the node serves its slots", PATIENCE, ready).await;
    stage
}

#[tokio::test]
async fn a_cluster_refuses_the_scripts() {
    let stage = cluster("jobs").await;
    let error = stage.storage().await.push(1).await.expect_err(OUT_OF_DATE).to_string();
    assert!(error.contains("CROSSSLOT") || error.contains("same slot"), "{error}");
}

/// A hash tag in the queue's name keeps its keys together, but the list of all queues has a name of its own, which may
/// lie on another node.
#[tokio::test]
async fn a_hash_tag_does_not_help_its_workers() {
    let stage = cluster("{jobs}").await;
    stage.storage().await.push(1).await.expect("a push stays in one slot");
    let ended = tokio::time::timeout(PATIENCE, stage.work("worker", |_| async { Ok(()) })).await;
    let error = ended.expect(OUT_OF_DATE).expect_err(OUT_OF_DATE);
    assert!(error.contains("non local key"), "{error}");
}
