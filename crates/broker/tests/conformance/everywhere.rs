//! The whole suite on each form in which Redis comes. The servers are started once for all tests of the suite, each of
//! which has a prefix of keys of its own.

use std::collections::BTreeMap;

use futures::future::LocalBoxFuture;
use futures::{StreamExt as _, stream};
use lovage_broker::{RedisConfig, RedisTls};
use lovage_testkit::{Certificates, RedisCluster, RedisSentinels, RedisServer};
use tokio::task::LocalSet;

use crate::bench::{Bench, on_shared_redis};

/// A test of the suite with its name.
pub type Case = (&'static str, fn(Bench) -> LocalBoxFuture<'static, ()>);

/// Tests that run at the same time.
const AT_ONCE: usize = 2;

/// Runs the suite; fails with the names of all tests that failed.
async fn all_pass(config: RedisConfig) {
    let running = stream::iter(crate::cases().into_iter().enumerate()).map(|(number, (name, test))| {
        let config = config.clone();
        let run = tokio::task::spawn_local(async move { test(on_shared_redis(&config, number).await).await });
        async move { run.await.err().map(|panic| (name, panic.to_string())) }
    });
    let running = running.buffer_unordered(AT_ONCE).filter_map(async |failure| failure);
    let failed: BTreeMap<_, _> = LocalSet::new().run_until(running.collect()).await;
    assert!(failed.is_empty(), "{failed:#?}");
}

/// Row 15: on a cluster of three nodes, where a script with a key of another slot fails.
#[tokio::test]
async fn row_15_the_suite_passes_on_a_three_node_cluster() {
    let cluster = RedisCluster::start().await;
    cluster.servers.iter().for_each(grant);
    let watches: Vec<_> = cluster.servers.iter().map(RedisServer::watch_keys).collect();
    all_pass(RedisConfig { url: as_user(&cluster.url()), ..RedisConfig::default() }).await;
    drop(watches);
    for server in &cluster.servers {
        assert!(server.command(&["INFO", "commandstats"]).text().contains("cmdstat_evalsha"), "each has had work");
    }
}

#[tokio::test]
async fn the_suite_passes_behind_sentinels() {
    let sentinels = RedisSentinels::start(&[]).await;
    sentinels.servers.iter().for_each(grant);
    all_pass(RedisConfig { url: as_user(&sentinels.url()), wait_replicas: 1, ..RedisConfig::default() }).await;
}

/// With TLS, a private authority, database 3, and no more rights than the guide grants.
#[tokio::test]
async fn the_suite_passes_with_tls_in_database_3() {
    let certificates = Certificates::make();
    let (server, port) = RedisServer::start_with_tls(&certificates, &[]);
    grant(&server);
    all_pass(RedisConfig {
        url: as_user(&format!("rediss://127.0.0.1:{port}/3")),
        tls: RedisTls { ca_file: Some(certificates.ca()), ..RedisTls::default() },
        ..RedisConfig::default()
    })
    .await;
    let keyspace = server.command(&["INFO", "keyspace"]).text().to_owned();
    assert!(keyspace.contains("db3:") && !keyspace.contains("db0:"), "{keyspace}");
}

/// Makes the user as the guide does: the line that it shows is enough for the whole suite.
fn grant(server: &RedisServer) {
    let guide = include_str!("../../../../docs/guide/redis.md");
    let line = guide.lines().map(str::trim).find(|line| line.starts_with("ACL SETUSER")).expect("the guide has it");
    server.command(&line.split_whitespace().collect::<Vec<_>>());
}

fn as_user(url: &str) -> String {
    url.replacen("://", "://lovage:secret@", 1)
}
