//! The way to Redis for everything above: finds the server that has a queue's slot, sends, and follows it where it went.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Cmd, ErrorKind, Pipeline, RedisError, ServerErrorKind, Value};
use tokio::time::Instant;

use super::address::Place;
use super::cluster::Cluster;
use super::config::RedisConfig;
use super::fault::{broker_error, is_connection_gone, is_script_missing};
use super::node::{Broken, Lane, Node, Request};
use super::reply::list;
use super::script::Script;
use super::sentinel::Sentinels;
use crate::error::BrokerError;

/// While a slot is being moved, its queue can be neither here nor there. A call waits for so long.
const MOVING: Duration = Duration::from_secs(2);
/// Between looks at a slot that is being moved.
const LOOK_AGAIN: Duration = Duration::from_millis(25);
/// Redirections of one call. A cluster that has settled needs one.
const HOPS: usize = 8;

/// One server at a time, or a cluster of them.
enum Target {
    Server(Arc<Node>),
    Cluster(Cluster),
}

/// The way to Redis.
pub(super) struct Link {
    target: Target,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("address", &self.address()).finish_non_exhaustive()
    }
}

/// Why a call failed, and at which server.
struct Fault {
    address: String,
    broken: Broken,
}

impl Fault {
    fn new(address: String, error: RedisError) -> Self {
        Self { address, broken: Broken { error, was_connected: false } }
    }

    fn is_script_missing(&self) -> bool {
        is_script_missing(&self.broken.error)
    }
}

impl From<Fault> for BrokerError {
    fn from(fault: Fault) -> Self {
        broker_error(&fault.address, &fault.broken.error)
    }
}

/// What to do with a call that a cluster did not take.
enum Redirect {
    /// The slot is there now.
    Moved(String),
    /// This one call goes there.
    Ask(String),
    /// The slot is on its way.
    Later,
}

impl Link {
    /// Reads the address; connects later.
    pub(super) fn new(config: &RedisConfig) -> Result<Self, BrokerError> {
        let target = match Place::read(&config.url, &config.tls)? {
            Place::Server(dialer) => {
                let node = Node::of(&dialer).map_err(|error| broker_error(&dialer.address(), &error))?;
                Target::Server(Arc::new(node))
            }
            Place::Sentinels { members, name, primary } => {
                Target::Server(Node::known_to(Sentinels::new(members, name, primary)))
            }
            Place::Cluster(seeds) => Target::Cluster(Cluster::new(seeds)),
        };
        Ok(Self { target })
    }

    /// Host and port, for people.
    pub(super) fn address(&self) -> String {
        match &self.target {
            Target::Server(node) => node.address(),
            Target::Cluster(cluster) => cluster.description(),
        }
    }

    /// Whether queues are on different servers.
    pub(super) fn is_cluster(&self) -> bool {
        matches!(self.target, Target::Cluster(_))
    }

    /// Sends one command for a key in `slot`.
    pub(super) async fn send(&self, slot: u16, cmd: &Cmd) -> Result<Value, BrokerError> {
        Ok(self.route(slot, Lane::Rest, Request::One(cmd)).await?)
    }

    /// Sends commands for keys in `slot` together; each has its own answer, which may be an error inside.
    pub(super) async fn send_all(&self, slot: u16, lane: Lane, pipeline: &Pipeline) -> Result<Vec<Value>, BrokerError> {
        list(self.route(slot, lane, Request::Many(pipeline)).await?)
    }

    /// Runs a script; `fill` adds keys and arguments. When Redis does not have the script, it is sent in full: that is
    /// one step, so nobody can empty the script cache in between.
    pub(super) async fn run<F>(&self, script: &Script, slot: u16, fill: F) -> Result<Value, BrokerError>
    where
        F: Fn(&mut Cmd) + Send + Sync,
    {
        Ok(self.try_run(script, slot, &fill).await?)
    }

    /// As [`Self::run`], for scripts that may run twice: once more if a connection broke, also when it broke after the
    /// script ran.
    pub(super) async fn run_again<F>(&self, script: &Script, slot: u16, fill: F) -> Result<Value, BrokerError>
    where
        F: Fn(&mut Cmd) + Send + Sync,
    {
        match self.try_run(script, slot, &fill).await {
            Err(fault) if fault.broken.was_connected && is_connection_gone(&fault.broken.error) => {
                Ok(self.try_run(script, slot, &fill).await?)
            }
            answer => Ok(answer?),
        }
    }

    async fn try_run<F>(&self, script: &Script, slot: u16, fill: &F) -> Result<Value, Fault>
    where
        F: Fn(&mut Cmd) + Send + Sync,
    {
        let lane = script.lane();
        let mut cmd = script.by_hash();
        fill(&mut cmd);
        match self.route(slot, lane, Request::One(&cmd)).await {
            Err(fault) if fault.is_script_missing() => {
                let mut cmd = script.in_full();
                fill(&mut cmd);
                self.route(slot, lane, Request::One(&cmd)).await
            }
            answer => answer,
        }
    }

    /// A connection of its own to the server that has `slot`, without a limit on how long an answer may take: for
    /// commands that block. With the server's address.
    pub(super) async fn dedicated(&self, slot: u16) -> Result<(String, MultiplexedConnection), BrokerError> {
        let node = self.node(slot).await?;
        match node.dedicated().await {
            Ok(connection) => Ok((node.address(), connection)),
            Err(error) => {
                self.doubt();
                Err(broker_error(&node.address(), &error))
            }
        }
    }

    /// Whether a connection to this address is still of use for waiting.
    pub(super) fn is_current(&self, address: &str) -> bool {
        match &self.target {
            Target::Server(node) => node.address() == address,
            // A server that no longer has the slot says so.
            Target::Cluster(_) => true,
        }
    }

    /// All servers that take writes, and how many slots have none.
    pub(super) async fn nodes(&self) -> Result<(Vec<Arc<Node>>, usize), BrokerError> {
        match &self.target {
            Target::Server(node) => Ok((vec![Arc::clone(node)], 0)),
            Target::Cluster(cluster) => {
                cluster.nodes().await.map_err(|error| broker_error(&cluster.description(), &error))
            }
        }
    }

    /// The broker's form of an error that came with an answer of [`Self::send_all`].
    pub(super) fn error(&self, error: &RedisError) -> BrokerError {
        broker_error(&self.address(), error)
    }

    /// Where slots are is looked up again before the next call.
    pub(super) fn doubt(&self) {
        if let Target::Cluster(cluster) = &self.target {
            cluster.doubt();
        }
    }

    async fn node(&self, slot: u16) -> Result<Arc<Node>, Fault> {
        match &self.target {
            Target::Server(node) => Ok(Arc::clone(node)),
            Target::Cluster(cluster) => {
                cluster.node(slot).await.map_err(|error| Fault::new(cluster.description(), error))
            }
        }
    }

    /// Sends to the server that has the slot, and to where it sends us. A server that redirects has done nothing.
    async fn route(&self, slot: u16, lane: Lane, request: Request<'_>) -> Result<Value, Fault> {
        let mut node = self.node(slot).await?;
        let mut asking = false;
        let mut hops = 0;
        let until = Instant::now() + MOVING;
        loop {
            let answer = node.send(lane, request, asking).await;
            let Target::Cluster(cluster) = &self.target else {
                return answer.map_err(|broken| Fault { address: node.address(), broken });
            };
            let Some(redirect) = redirect(&answer) else {
                if answer.as_ref().is_err_and(|broken| is_about_the_map(&broken.error)) {
                    cluster.doubt();
                }
                return answer.map_err(|broken| Fault { address: node.address(), broken });
            };
            hops += 1;
            if hops > HOPS && !matches!(redirect, Redirect::Later) || Instant::now() > until {
                let problem = "the slot of this queue is being moved";
                return Err(Fault::new(node.address(), (ErrorKind::Server(ServerErrorKind::TryAgain), problem).into()));
            }
            (node, asking) = self.follow(cluster, slot, &node, redirect).await?;
        }
    }

    async fn follow(
        &self,
        cluster: &Cluster,
        slot: u16,
        node: &Node,
        redirect: Redirect,
    ) -> Result<(Arc<Node>, bool), Fault> {
        let named = |address: &str| cluster.named(address, node).map_err(|error| Fault::new(node.address(), error));
        match redirect {
            Redirect::Moved(address) => {
                let to = named(&address)?;
                cluster.moved(slot, &to);
                Ok((to, false))
            }
            Redirect::Ask(address) => Ok((named(&address)?, true)),
            Redirect::Later => {
                tokio::time::sleep(LOOK_AGAIN).await;
                Ok((self.node(slot).await?, false))
            }
        }
    }
}

/// Whether the call was not taken because of where its slot is. One command of many speaks for all: the others were
/// not taken either, or may be sent again.
fn redirect(answer: &Result<Value, Broken>) -> Option<Redirect> {
    let inside;
    let error = match answer {
        Err(broken) => &broken.error,
        Ok(Value::Array(answers)) => {
            let is_redirect = |value: &&Value| matches!(value, Value::ServerError(error) if matches!(error.code(), "MOVED" | "ASK" | "TRYAGAIN"));
            inside = answers.iter().find(is_redirect)?.clone().extract_error().err()?;
            &inside
        }
        Ok(_) => return None,
    };
    let address = || error.redirect_node().map(|(address, _)| address.to_owned());
    match error.kind() {
        ErrorKind::Server(ServerErrorKind::Moved) => address().map(Redirect::Moved),
        ErrorKind::Server(ServerErrorKind::Ask) => address().map(Redirect::Ask),
        ErrorKind::Server(ServerErrorKind::TryAgain) => Some(Redirect::Later),
        _ => None,
    }
}

/// Whether the error may mean that slots have other servers now.
fn is_about_the_map(error: &RedisError) -> bool {
    is_connection_gone(error) || error.is_cluster_error()
}
