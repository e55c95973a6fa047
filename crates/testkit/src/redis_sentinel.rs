//! A private primary with a replica, watched by three sentinels.

use std::time::Duration;

use crate::Reply;
use crate::eventually::eventually;
use crate::redis::RedisServer;

/// Under this name the sentinels know the primary.
const NAME: &str = "jobs";
/// Longest wait for the sentinels to come to terms.
const PATIENCE: Duration = Duration::from_secs(40);

/// A primary, a replica and their sentinels that belong to one test.
#[derive(Debug)]
pub struct RedisSentinels {
    /// At first the primary, then its replica.
    pub servers: Vec<RedisServer>,
    /// The sentinels.
    pub sentinels: Vec<RedisServer>,
}

impl RedisSentinels {
    /// Starts them all with further settings for the two servers.
    pub async fn start(settings: &[&str]) -> Self {
        let mut settings = [&["--repl-diskless-sync-delay", "0"], settings].concat();
        let primary = RedisServer::start_with(&settings);
        let port = primary.port().to_string();
        let origin = format!("127.0.0.1 {port}");
        settings.extend(["--replicaof", &origin]);
        let replica = RedisServer::start_with(&settings);
        eventually("the replica is in step", PATIENCE, async || {
            replica.command(&["INFO", "replication"]).text().contains("master_link_status:up").then_some(())
        })
        .await;
        let sentinels: Vec<_> = (0..3).map(|_| RedisServer::start_sentinel(NAME, primary.port())).collect();
        let all = Self { servers: vec![primary, replica], sentinels };
        eventually("the sentinels know each other and the replica", PATIENCE, async || {
            let knows_all = |sentinel: &RedisServer| {
                let others = sentinel.command(&["SENTINEL", "SENTINELS", NAME]);
                let replicas = sentinel.command(&["SENTINEL", "REPLICAS", NAME]);
                matches!((others, replicas), (Reply::List(others), Reply::List(replicas)) if others.len() == 2 && replicas.len() == 1)
            };
            all.sentinels.iter().all(knows_all).then_some(())
        })
        .await;
        all
    }

    /// The address as a URL.
    #[must_use]
    pub fn url(&self) -> String {
        let hosts: Vec<_> = self.sentinels.iter().map(|server| format!("127.0.0.1:{}", server.port())).collect();
        format!("redis+sentinel://{}/{NAME}", hosts.join(","))
    }

    /// The port of the primary as the first sentinel knows it.
    #[must_use]
    pub fn primary_port(&self) -> u16 {
        let answer = self.sentinels[0].command(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME]);
        answer.texts().get(1).and_then(|port| port.parse().ok()).expect("the sentinels know a primary")
    }

    /// Makes the replica the primary while both run.
    pub async fn fail_over(&self) {
        let before = self.primary_port();
        eventually("the sentinels begin", PATIENCE, async || {
            self.sentinels[0].try_command(&["SENTINEL", "FAILOVER", NAME]).ok()
        })
        .await;
        self.until_failed_over(before).await;
    }

    /// Waits until the sentinels name another primary than the one at this port.
    pub async fn until_failed_over(&self, before: u16) {
        eventually("another primary is named", PATIENCE, async || (self.primary_port() != before).then_some(())).await;
    }
}
