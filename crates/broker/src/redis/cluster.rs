//! A cluster's map of slots to servers. It is read anew when a server says that a slot has moved or does not answer.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use redis::{ErrorKind, RedisError, Value};
use tokio::time::Instant;

use super::address::Dialer;
use super::fault::is_connection_gone;
use super::node::{Lane, Node, PAUSE, Request};
use super::reply::{count, list, text};

/// Slots of a cluster.
const SLOTS: usize = 16_384;

/// The servers by slot, and by host and port.
#[derive(Default, Clone)]
struct Map {
    by_slot: Vec<Option<Arc<Node>>>,
    by_address: HashMap<String, Arc<Node>>,
}

/// The way to a cluster.
pub(super) struct Cluster {
    seeds: Vec<Dialer>,
    map: RwLock<Map>,
    stale: AtomicBool,
    looked: tokio::sync::Mutex<Option<Instant>>,
}

impl Cluster {
    pub(super) fn new(seeds: Vec<Dialer>) -> Self {
        Self { seeds, map: RwLock::default(), stale: AtomicBool::new(true), looked: tokio::sync::Mutex::default() }
    }

    /// The hosts of the address, for people.
    pub(super) fn description(&self) -> String {
        self.seeds.iter().map(Dialer::address).collect::<Vec<_>>().join(", ")
    }

    /// The server that has the slot.
    pub(super) async fn node(&self, slot: u16) -> Result<Arc<Node>, RedisError> {
        self.look().await?;
        let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
        let node = map.by_slot.get(usize::from(slot)).cloned().flatten();
        drop(map);
        node.ok_or_else(|| {
            self.doubt();
            (ErrorKind::ClusterConnectionNotFound, "no server of the cluster has the slot of this queue").into()
        })
    }

    /// All servers that have slots, by address, and how many slots nobody has.
    pub(super) async fn nodes(&self) -> Result<(Vec<Arc<Node>>, usize), RedisError> {
        self.doubt();
        self.look().await?;
        let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
        let mut nodes: Vec<_> = map.by_address.iter().map(|(address, node)| (address, Arc::clone(node))).collect();
        nodes.sort_by(|a, b| a.0.cmp(b.0));
        let bare = map.by_slot.iter().filter(|node| node.is_none()).count();
        Ok((nodes.into_iter().map(|(_, node)| node).collect(), bare))
    }

    /// A server that another one names. `from` is the one that does: it may leave out the host if it is its own.
    pub(super) fn named(&self, address: &str, from: &Node) -> Result<Arc<Node>, RedisError> {
        let odd = || RedisError::from((ErrorKind::Client, "a server was named that is not host:port"));
        let (host, port) = address.rsplit_once(':').ok_or_else(odd)?;
        self.get_or_open(host, port.parse().map_err(|_| odd())?, from)
    }

    /// Follows a slot to where it has moved.
    pub(super) fn moved(&self, slot: u16, to: &Arc<Node>) {
        let mut map = self.map.write().unwrap_or_else(PoisonError::into_inner);
        map.by_address.insert(to.address(), Arc::clone(to));
        if let Some(place) = map.by_slot.get_mut(usize::from(slot)) {
            *place = Some(Arc::clone(to));
        }
        drop(map);
        // Slots seldom move alone.
        self.doubt();
    }

    /// The map is read again before the next call.
    pub(super) fn doubt(&self) {
        self.stale.store(true, Ordering::Relaxed);
    }

    fn get_or_open(&self, host: &str, port: u16, from: &Node) -> Result<Arc<Node>, RedisError> {
        let own = from.address();
        let host = if matches!(host, "" | "?") { own.rsplit_once(':').map_or("", |(host, _)| host) } else { host };
        let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(node) = map.by_address.get(&format!("{host}:{port}")) {
            return Ok(Arc::clone(node));
        }
        drop(map);
        let dialer = self.seeds.first().ok_or_else(|| RedisError::from((ErrorKind::Client, "no host")))?;
        Ok(Arc::new(Node::at(dialer.client_of(host, port)?)))
    }

    /// Reads the map if it is in doubt, but not more often than servers can change their minds.
    async fn look(&self) -> Result<(), RedisError> {
        if !self.stale.load(Ordering::Relaxed) {
            return Ok(());
        }
        let mut looked = self.looked.lock().await;
        let known = !self.map.read().unwrap_or_else(PoisonError::into_inner).by_slot.is_empty();
        if !self.stale.load(Ordering::Relaxed) || known && looked.is_some_and(|at| at.elapsed() < PAUSE) {
            return Ok(());
        }
        // Doubts that come up from here on are about what is read now.
        self.stale.store(false, Ordering::Relaxed);
        *looked = Some(Instant::now());
        match self.read().await {
            Ok(map) => {
                *self.map.write().unwrap_or_else(PoisonError::into_inner) = map;
                Ok(())
            }
            Err(error) => {
                self.doubt();
                // An old map may still be right for most slots.
                if known && is_connection_gone(&error) { Ok(()) } else { Err(error) }
            }
        }
    }

    /// Asks all servers at once; the first answer counts. A server that lags behind is found out by its next answer.
    async fn read(&self) -> Result<Map, RedisError> {
        let mut asked: HashMap<_, _> =
            self.map.read().unwrap_or_else(PoisonError::into_inner).by_address.clone().into_iter().collect();
        for seed in &self.seeds {
            if let Entry::Vacant(place) = asked.entry(seed.address()) {
                place.insert(Arc::new(Node::of(seed)?));
            }
        }
        let mut answers: FuturesUnordered<_> = asked.into_values().map(|node| self.ask(node)).collect();
        let mut failure = None;
        while let Some(answer) = answers.next().await {
            match answer {
                Ok(map) => return Ok(map),
                // What somebody has to mend says more than a server that is away.
                Err(error) if failure.as_ref().is_none_or(is_connection_gone) => failure = Some(error),
                Err(_) => {}
            }
        }
        Err(failure
            .unwrap_or_else(|| (ErrorKind::ClusterConnectionNotFound, "no server of the cluster answers").into()))
    }

    async fn ask(&self, node: Arc<Node>) -> Result<Map, RedisError> {
        let mut cmd = redis::cmd("CLUSTER");
        cmd.arg("SLOTS");
        let answer = node.send(Lane::Rest, Request::One(&cmd), false).await.map_err(|broken| broken.error)?;
        let mut map = Map { by_slot: vec![None; SLOTS], by_address: HashMap::new() };
        for range in list(answer).map_err(no_ranges)? {
            let [first, last, primary] = list(range)
                .map_err(no_ranges)?
                .into_iter()
                .take(3)
                .collect::<Vec<_>>()
                .try_into()
                .map_err(no_ranges)?;
            let mut primary = list(primary).map_err(no_ranges)?.into_iter();
            let host = text(primary.next().unwrap_or(Value::Nil)).map_err(no_ranges)?;
            let port = count(&primary.next().unwrap_or(Value::Nil)).map_err(no_ranges)? as u16;
            let known = map.by_address.values().find(|known| known.address() == format!("{host}:{port}")).cloned();
            let owner = known.map_or_else(|| self.get_or_open(&host, port, &node), Ok)?;
            map.by_address.insert(owner.address(), Arc::clone(&owner));
            let (first, last) = (count(&first).map_err(no_ranges)? as usize, count(&last).map_err(no_ranges)? as usize);
            map.by_slot.iter_mut().take(last + 1).skip(first).for_each(|place| *place = Some(Arc::clone(&owner)));
        }
        Ok(map)
    }
}

fn no_ranges<E>(_: E) -> RedisError {
    (ErrorKind::Client, "CLUSTER SLOTS answered no ranges of slots").into()
}
