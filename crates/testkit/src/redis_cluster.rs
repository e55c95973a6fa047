//! A private Redis Cluster: three primaries, each with a replica if wanted, on this machine.

use std::time::Duration;

use crate::eventually::eventually;
use crate::redis::{RedisServer, free_port};

/// Slots of a cluster.
const SLOTS: u16 = 16_384;
const PRIMARIES: usize = 3;
/// Longest wait for the cluster to come to terms.
const PATIENCE: Duration = Duration::from_secs(40);

/// A running cluster that belongs to one test.
#[derive(Debug)]
pub struct RedisCluster {
    /// First the three primaries, in the order of their slots; then their replicas in the same order, if any.
    pub servers: Vec<RedisServer>,
}

impl RedisCluster {
    /// Starts three primaries that keep nothing on disk but what the cluster is.
    pub async fn start() -> Self {
        // Nobody is to be taken for dead only because the machine is busy.
        Self::start_with(PRIMARIES, &["--cluster-node-timeout", "60000"]).await
    }

    /// Starts three primaries with a replica each.
    pub async fn start_with_replicas() -> Self {
        let cluster = Self::start_with(2 * PRIMARIES, &["--cluster-node-timeout", "5000"]).await;
        let (primaries, replicas) = cluster.servers.split_at(PRIMARIES);
        for (primary, replica) in primaries.iter().zip(replicas) {
            let id = primary.command(&["CLUSTER", "MYID"]).text().to_owned();
            eventually("the replica knows its primary", PATIENCE, async || {
                replica.try_command(&["CLUSTER", "REPLICATE", &id]).ok()
            })
            .await;
        }
        eventually("the replicas are in step", PATIENCE, async || {
            let in_step = |replica: &RedisServer| {
                let said = replica.command(&["INFO", "replication"]).text().contains("master_link_status:up");
                said && replica.command(&["CLUSTER", "INFO"]).text().contains("cluster_state:ok")
            };
            let known = |primary: &RedisServer| {
                primary.command(&["CLUSTER", "SLOTS"]) != crate::Reply::Nil
                    && primary.command(&["CLUSTER", "NODES"]).text().matches(" slave ").count()
                        + primary.command(&["CLUSTER", "NODES"]).text().matches("myself,slave ").count()
                        == PRIMARIES
            };
            (replicas.iter().all(in_step) && primaries.iter().all(known)).then_some(())
        })
        .await;
        cluster
    }

    async fn start_with(count: usize, settings: &[&str]) -> Self {
        let servers: Vec<_> = (0..count).map(|_| start_member(settings)).collect();
        let share = usize::from(SLOTS) / PRIMARIES;
        for (index, server) in servers.iter().take(PRIMARIES).enumerate() {
            let last = if index + 1 == PRIMARIES { usize::from(SLOTS) } else { (index + 1) * share } - 1;
            server.command(&["CLUSTER", "ADDSLOTSRANGE", &(index * share).to_string(), &last.to_string()]);
            // Without epochs of their own the nodes would first have to agree on them.
            server.command(&["CLUSTER", "SET-CONFIG-EPOCH", &(index + 1).to_string()]);
        }
        for other in &servers[1..] {
            let (port, bus) = (other.port().to_string(), other.bus_port().to_string());
            servers[0].command(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus]);
        }
        let cluster = Self { servers };
        cluster.settled().await;
        eventually("every server knows all others", PATIENCE, async || {
            let knows_all = |server: &RedisServer| {
                server.command(&["CLUSTER", "INFO"]).text().contains(&format!("cluster_known_nodes:{count}"))
            };
            cluster.servers.iter().all(knows_all).then_some(())
        })
        .await;
        cluster
    }

    /// The address as a URL.
    #[must_use]
    pub fn url(&self) -> String {
        let hosts: Vec<_> = self.servers.iter().map(|server| format!("127.0.0.1:{}", server.port())).collect();
        format!("redis+cluster://{}", hosts.join(","))
    }

    /// Waits until all running servers say that the cluster serves all slots.
    pub async fn settled(&self) {
        eventually("the cluster is ok", PATIENCE, async || {
            let is_ok = |server: &RedisServer| match server.try_command(&["CLUSTER", "INFO"]) {
                Ok(info) => info.text().contains("cluster_state:ok"),
                Err(_) => !server.is_running(),
            };
            self.servers.iter().all(is_ok).then_some(())
        })
        .await;
    }

    /// The slot of a key.
    #[must_use]
    pub fn slot(&self, key: &str) -> u16 {
        match self.servers[0].command(&["CLUSTER", "KEYSLOT", key]) {
            crate::Reply::Number(slot) => slot.try_into().expect("a slot"),
            other => panic!("no slot: {other:?}"),
        }
    }

    /// Which of the primaries of the beginning has the slot as all was set up.
    #[must_use]
    pub fn first_owner(slot: u16) -> usize {
        (usize::from(slot) / (usize::from(SLOTS) / PRIMARIES)).min(PRIMARIES - 1)
    }

    /// Begins to move a slot: from here on both servers know of it, and no key has moved yet.
    pub fn begin_move(&self, slot: u16, from: usize, to: usize) {
        let slot = slot.to_string();
        self.servers[to].command(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &self.id(from)]);
        self.servers[from].command(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &self.id(to)]);
    }

    /// Moves up to `most` keys of a slot that is being moved; answers how many there were.
    pub fn move_keys(&self, slot: u16, from: usize, to: usize, most: usize) -> usize {
        let found = self.servers[from].command(&["CLUSTER", "GETKEYSINSLOT", &slot.to_string(), &most.to_string()]);
        let keys = found.texts();
        if !keys.is_empty() {
            let port = self.servers[to].port().to_string();
            let mut words = vec!["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "KEYS"];
            words.extend(&keys);
            self.servers[from].command(&words);
        }
        keys.len()
    }

    /// Ends a move: the slot is at `to` for good.
    pub fn end_move(&self, slot: u16, from: usize, to: usize) {
        let (slot, id) = (slot.to_string(), self.id(to));
        for index in [to, from] {
            self.servers[index].command(&["CLUSTER", "SETSLOT", &slot, "NODE", &id]);
        }
    }

    fn id(&self, index: usize) -> String {
        self.servers[index].command(&["CLUSTER", "MYID"]).text().to_owned()
    }
}

fn start_member(settings: &[&str]) -> RedisServer {
    // Somebody else may take the port meanwhile; then the server does not come up and the test says so.
    let bus = free_port();
    let bus_port = bus.to_string();
    let mut all = vec!["--cluster-enabled", "yes", "--cluster-port", &bus_port];
    // Each replica may take over at once, however long it has been away from its primary.
    all.extend(["--cluster-replica-validity-factor", "0", "--repl-diskless-sync-delay", "0"]);
    all.extend(settings);
    RedisServer::start_with(&all)
}
