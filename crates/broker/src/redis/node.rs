//! One server that takes writes, and the connections to it, each replaced when it breaks or falls silent. Calls made
//! meanwhile fail at once; whoever calls again is connected again.

use std::sync::{Arc, PoisonError, RwLock, Weak};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, Pipeline, RedisError, Value};
use tokio::time::Instant;

use super::address::Dialer;
use super::fault::{broker_error, is_connection_gone};
use super::sentinel::{Sentinels, must_be_primary};
use crate::error::BrokerError;

/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// A connection that does not answer for so long is given up: it may be half-open.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(3);
/// After a failed attempt to connect, others are not made for so long.
pub(super) const PAUSE: Duration = Duration::from_millis(100);

/// Between questions to sentinels.
const LOOK: Duration = Duration::from_secs(1);

/// Which of a server's connections a call takes. The long answers of claims do not stand before those of ends and
/// renewals; what that is worth in jobs a second was within the noise of a busy machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    /// Claims and sweeps.
    Claims = 0,
    /// Enqueues that wait for replicas: they hold up what stands behind them.
    Confirmed = 1,
    /// Everything else.
    Rest = 2,
}

/// What is sent together.
#[derive(Clone, Copy)]
pub(super) enum Request<'a> {
    One(&'a Cmd),
    /// Answered by an array, in which each answer may be an error.
    Many(&'a Pipeline),
}

/// A connection and the number of its making.
type Numbered = (u64, MultiplexedConnection);

#[derive(Default)]
struct Connection {
    current: RwLock<Option<Numbered>>,
    attempts: tokio::sync::Mutex<Attempts>,
}

#[derive(Default)]
struct Attempts {
    made: u64,
    failed: Option<(Instant, RedisError)>,
}

enum Whereabouts {
    There(Client),
    Known(Sentinels),
}

/// Why a call failed, and whether it was on a connection that had been there before.
pub(super) struct Broken {
    pub error: RedisError,
    pub was_connected: bool,
}

/// A server.
pub(super) struct Node {
    whereabouts: Whereabouts,
    /// Host and port, for people; of a primary that was found, the latest.
    address: RwLock<String>,
    lanes: [Connection; 3],
}

impl Node {
    /// A server at a place of its own.
    pub(super) fn at(client: Client) -> Self {
        let address = client.get_connection_info().addr().to_string();
        Self::new(Whereabouts::There(client), address)
    }

    /// The server that the address names.
    pub(super) fn of(dialer: &Dialer) -> Result<Self, RedisError> {
        Ok(Self::at(dialer.client()?))
    }

    /// Whichever server the sentinels name. They are asked again and again: a primary that was replaced while it runs
    /// takes writes for seconds more, and they are lost.
    pub(super) fn known_to(sentinels: Sentinels) -> Arc<Self> {
        let address = sentinels.description();
        let node = Arc::new(Self::new(Whereabouts::Known(sentinels), address));
        tokio::spawn(follow(Arc::downgrade(&node)));
        node
    }

    fn new(whereabouts: Whereabouts, address: String) -> Self {
        Self { whereabouts, address: RwLock::new(address), lanes: Default::default() }
    }

    /// Host and port, for people.
    pub(super) fn address(&self) -> String {
        self.address.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sends what belongs together; behind an `ASKING` if it was redirected here for once.
    pub(super) async fn send(&self, lane: Lane, request: Request<'_>, asking: bool) -> Result<Value, Broken> {
        let before = self.current(lane);
        let was_connected = before.is_some();
        let connected = match before {
            Some(current) => Ok(current),
            None => self.connect(lane).await,
        };
        let (number, mut connection) = connected.map_err(|error| Broken { error, was_connected })?;
        let answer = match request {
            Request::One(cmd) if !asking => cmd.query_async(&mut connection).await,
            Request::Many(pipeline) if !asking => {
                connection.send_packed_commands(pipeline, 0, pipeline.len()).await.map(Value::Array)
            }
            request => ask(&mut connection, request).await,
        };
        // One that became a replica says so to each command of many.
        if let Ok(Value::Array(answers)) = &answer
            && let Some(error) = answers.iter().find_map(read_only)
        {
            self.note(lane, number, &error);
        }
        answer.map_err(|error| {
            self.note(lane, number, &error);
            Broken { error, was_connected }
        })
    }

    /// Sends a command that is about the server and no key.
    pub(super) async fn tell(&self, cmd: &Cmd) -> Result<Value, BrokerError> {
        let answer = self.send(Lane::Rest, Request::One(cmd), false).await;
        answer.map_err(|broken| broker_error(&self.address(), &broken.error))
    }

    /// A connection of its own, without a limit on how long an answer may take: for commands that block.
    pub(super) async fn dedicated(&self) -> Result<MultiplexedConnection, RedisError> {
        self.dial(None).await
    }

    async fn dial(&self, answer_within: Option<Duration>) -> Result<MultiplexedConnection, RedisError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(answer_within);
        let sentinels = match &self.whereabouts {
            Whereabouts::There(client) => {
                let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
                // A short word first: to a long one a server that wants a password answers that it is too long.
                let ping = redis::cmd("PING");
                return match tokio::time::timeout(RESPONSE_TIMEOUT, ping.exec_async(&mut connection)).await {
                    Ok(greeted) => greeted.map(|()| connection),
                    Err(_) => Err((redis::ErrorKind::Io, "the server does not answer").into()),
                };
            }
            Whereabouts::Known(sentinels) => sentinels,
        };
        let client = sentinels.primary().await?;
        let address = client.get_connection_info().addr().to_string();
        if address != self.address() {
            self.leave(address);
        }
        let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
        match tokio::time::timeout(RESPONSE_TIMEOUT, must_be_primary(&mut connection)).await {
            Ok(primary) => primary.map(|()| connection),
            Err(_) => Err((redis::ErrorKind::Io, "the server does not answer").into()),
        }
    }

    async fn connect(&self, lane: Lane) -> Result<Numbered, RedisError> {
        let mut attempts = self.lanes[lane as usize].attempts.lock().await;
        // Somebody else may have connected, or failed to, while this call waited.
        if let Some(current) = self.current(lane) {
            return Ok(current);
        }
        if let Some((at, error)) = &attempts.failed
            && at.elapsed() < PAUSE
        {
            return Err(error.clone());
        }
        match self.dial(Some(RESPONSE_TIMEOUT)).await {
            Ok(connection) => {
                *attempts = Attempts { made: attempts.made + 1, failed: None };
                let current = (attempts.made, connection);
                let place = &self.lanes[lane as usize].current;
                *place.write().unwrap_or_else(PoisonError::into_inner) = Some(current.clone());
                tracing::debug!(address = %self.address(), ?lane, "connected to Redis");
                Ok(current)
            }
            Err(error) => {
                attempts.failed = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }

    fn current(&self, lane: Lane) -> Option<Numbered> {
        self.lanes[lane as usize].current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Forgets a connection that broke, unless it was replaced already. Then the others are of no use either, or will
    /// not be missed: what is under way on them goes on.
    fn note(&self, lane: Lane, number: u64, error: &RedisError) {
        if !is_connection_gone(error) || self.current(lane).is_none_or(|(there, _)| there != number) {
            return;
        }
        tracing::warn!(address = %self.address(), ?lane, %error, "lost the connection to Redis");
        self.forget();
    }

    fn forget(&self) {
        for lane in &self.lanes {
            *lane.current.write().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }

    fn leave(&self, address: String) {
        *self.address.write().unwrap_or_else(PoisonError::into_inner) = address;
        self.forget();
    }
}

/// Leaves a primary soon after the sentinels name another one.
async fn follow(node: Weak<Node>) {
    loop {
        tokio::time::sleep(LOOK).await;
        let Some(node) = node.upgrade() else { return };
        let Whereabouts::Known(sentinels) = &node.whereabouts else { return };
        if let Ok(client) = sentinels.primary().await {
            let address = client.get_connection_info().addr().to_string();
            if address != node.address() {
                tracing::warn!(from = %node.address(), to = %address, "the sentinels name another primary");
                node.leave(address);
            }
        }
    }
}

fn read_only(answer: &Value) -> Option<RedisError> {
    match answer {
        Value::ServerError(error) if error.code() == "READONLY" => Some(error.clone().into()),
        // Of a transaction.
        Value::Array(answers) => answers.iter().find_map(read_only),
        _ => None,
    }
}

async fn ask(connection: &mut MultiplexedConnection, request: Request<'_>) -> Result<Value, RedisError> {
    let mut together = Pipeline::new();
    together.cmd("ASKING");
    match request {
        Request::One(cmd) => together.add_command(cmd.clone()),
        Request::Many(pipeline) => pipeline.cmd_iter().fold(&mut together, |all, cmd| all.add_command(cmd.clone())),
    };
    let mut answers = connection.send_packed_commands(&together, 0, together.len()).await?;
    answers.remove(0).extract_error()?;
    match request {
        Request::One(_) => answers.pop().unwrap_or(Value::Nil).extract_error(),
        Request::Many(_) => Ok(Value::Array(answers)),
    }
}
