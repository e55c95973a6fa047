//! The connection to Redis: one multiplexed connection for all calls, replaced when it breaks or falls silent. Calls
//! made meanwhile fail at once as unavailable; whoever calls again is connected again.

use std::fmt;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, IntoConnectionInfo as _, Pipeline, RedisError, Value};
use tokio::time::Instant;

use super::fault::{broker_error, is_connection_gone, is_script_missing};
use super::script::Script;
use crate::error::BrokerError;

/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// A connection that does not answer for so long is given up: it may be half-open.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(3);
/// After a failed attempt to connect, others are not made for so long.
const PAUSE: Duration = Duration::from_millis(100);

/// A connection and the number of its making.
type Numbered = (u64, MultiplexedConnection);

/// The way to one Redis server.
pub(super) struct Link {
    client: Client,
    /// Host and port, for people.
    pub(super) address: String,
    current: RwLock<Option<Numbered>>,
    attempts: tokio::sync::Mutex<Attempts>,
}

#[derive(Default)]
struct Attempts {
    made: u64,
    failed: Option<(Instant, RedisError)>,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Link {
    /// Reads the address; connects later.
    pub(super) fn new(url: &str) -> Result<Self, BrokerError> {
        // The library's own text could repeat the address with its password.
        let unreadable = |_| {
            let help = "use redis://[user:password@]host[:port][/database], or rediss:// for TLS";
            BrokerError::Misconfigured(format!("the Redis address cannot be read; {help}"))
        };
        let info = url.into_connection_info().map_err(unreadable)?;
        let address = info.addr().to_string();
        let client = Client::open(info).map_err(unreadable)?;
        Ok(Self { client, address, current: RwLock::default(), attempts: tokio::sync::Mutex::default() })
    }

    /// Sends one command.
    pub(super) async fn send(&self, cmd: &Cmd) -> Result<Value, BrokerError> {
        self.try_send(cmd).await.map_err(|error| self.error(&error))
    }

    async fn try_send(&self, cmd: &Cmd) -> Result<Value, RedisError> {
        let (number, mut connection) = self.connection().await?;
        let answer = cmd.query_async(&mut connection).await;
        self.note(number, answer)
    }

    /// Sends commands together; each has its own answer, which may be an error inside.
    pub(super) async fn send_all(&self, pipeline: &Pipeline) -> Result<Vec<Value>, BrokerError> {
        let (number, mut connection) = self.connection().await.map_err(|error| self.error(&error))?;
        let answer = connection.send_packed_commands(pipeline, 0, pipeline.len()).await;
        self.note(number, answer).map_err(|error| self.error(&error))
    }

    /// Runs a script; `fill` adds keys and arguments. When Redis does not have the script, it is sent in full: that is
    /// one step, so nobody can empty the script cache in between.
    pub(super) async fn run<F>(&self, script: &Script, fill: F) -> Result<Value, BrokerError>
    where
        F: Fn(&mut Cmd) + Send + Sync,
    {
        let mut cmd = script.by_hash();
        fill(&mut cmd);
        match self.try_send(&cmd).await {
            Err(error) if is_script_missing(&error) => {
                let mut cmd = script.in_full();
                fill(&mut cmd);
                self.send(&cmd).await
            }
            answer => answer.map_err(|error| self.error(&error)),
        }
    }

    /// As [`Self::run`], for scripts that may run twice: once more if the connection broke, also when it broke after
    /// the script ran.
    pub(super) async fn run_again<F>(&self, script: &Script, fill: F) -> Result<Value, BrokerError>
    where
        F: Fn(&mut Cmd) + Send + Sync,
    {
        let before = self.number();
        match self.run(script, &fill).await {
            Err(BrokerError::Unavailable(_)) if before.is_some() && self.number() != before => {
                self.run(script, &fill).await
            }
            answer => answer,
        }
    }

    /// A connection of its own, without a limit on how long an answer may take: for commands that block.
    pub(super) async fn dedicated(&self) -> Result<MultiplexedConnection, RedisError> {
        let config = AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECT_TIMEOUT));
        self.client.get_multiplexed_async_connection_with_config(&config.set_response_timeout(None)).await
    }

    /// The broker's form of an error.
    pub(super) fn error(&self, error: &RedisError) -> BrokerError {
        broker_error(&self.address, error)
    }

    async fn connection(&self) -> Result<Numbered, RedisError> {
        if let Some(current) = self.current() {
            return Ok(current);
        }
        let mut attempts = self.attempts.lock().await;
        // Somebody else may have connected, or failed to, while this call waited.
        if let Some(current) = self.current() {
            return Ok(current);
        }
        if let Some((at, error)) = &attempts.failed
            && at.elapsed() < PAUSE
        {
            return Err(error.clone());
        }
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(RESPONSE_TIMEOUT));
        match self.client.get_multiplexed_async_connection_with_config(&config).await {
            Ok(connection) => {
                *attempts = Attempts { made: attempts.made + 1, failed: None };
                let current = (attempts.made, connection);
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = Some(current.clone());
                tracing::debug!(address = %self.address, "connected to Redis");
                Ok(current)
            }
            Err(error) => {
                attempts.failed = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }

    fn current(&self) -> Option<Numbered> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn number(&self) -> Option<u64> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).as_ref().map(|(number, _)| *number)
    }

    /// Forgets a connection that broke, unless it was replaced already.
    fn note<T>(&self, number: u64, answer: Result<T, RedisError>) -> Result<T, RedisError> {
        if let Err(error) = &answer
            && is_connection_gone(error)
        {
            let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
            if current.as_ref().is_some_and(|(there, _)| *there == number) {
                tracing::warn!(address = %self.address, %error, "lost the connection to Redis");
                *current = None;
            }
        }
        answer
    }
}
