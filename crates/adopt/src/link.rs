//! The connection to the Redis that apalis uses. One caller, one connection; after any error a new one is made.

use std::sync::LazyLock;
use std::time::Duration;

use lovage_core::Invalid;
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, FromRedisValue, IntoConnectionInfo as _, Pipeline, RedisError, Script,
    ScriptInvocation,
};

use crate::error::AdoptError;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// A connection that does not answer for so long is given up: it may be half-open.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);

pub(crate) static TAKE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("lua/take.lua")));
pub(crate) static SETTLE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("lua/settle.lua")));
pub(crate) static RELEASE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("lua/release.lua")));
pub(crate) static ORPHANS: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("lua/orphans.lua")));

/// The way to one Redis server.
pub(crate) struct Link {
    client: Client,
    address: String,
    connection: Option<MultiplexedConnection>,
}

impl Link {
    /// Reads the address; connects later.
    pub(crate) fn new(url: &str) -> Result<Self, Invalid> {
        // The library's own text could repeat the address with its password.
        let help = "use redis://[user:password@]host[:port][/database], or rediss:// for TLS; sentinels and clusters \
                    are not looked for here";
        let unreadable = |_: RedisError| Invalid::new("adopt.redis_url", "cannot be read", help);
        let info = url.into_connection_info().map_err(unreadable)?;
        let address = info.addr().to_string();
        Ok(Self { client: Client::open(info).map_err(unreadable)?, address, connection: None })
    }

    /// Runs a script.
    pub(crate) async fn run<T: FromRedisValue>(&mut self, script: &ScriptInvocation<'_>) -> Result<T, AdoptError> {
        let mut connection = self.connect().await?;
        let answer = script.invoke_async(&mut connection).await;
        self.note(answer)
    }

    /// Sends commands together.
    pub(crate) async fn send<T: FromRedisValue>(&mut self, commands: &Pipeline) -> Result<T, AdoptError> {
        let mut connection = self.connect().await?;
        let answer = commands.query_async(&mut connection).await;
        self.note(answer)
    }

    async fn connect(&mut self) -> Result<MultiplexedConnection, AdoptError> {
        if let Some(connection) = &self.connection {
            return Ok(connection.clone());
        }
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(RESPONSE_TIMEOUT));
        let made = self.client.get_multiplexed_async_connection_with_config(&config).await;
        let connection = self.note(made)?;
        self.connection = Some(connection.clone());
        Ok(connection)
    }

    fn note<T>(&mut self, answer: Result<T, RedisError>) -> Result<T, AdoptError> {
        answer.map_err(|error| {
            self.connection = None;
            AdoptError::Source { address: self.address.clone(), reason: error.to_string() }
        })
    }
}
