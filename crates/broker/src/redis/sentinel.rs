//! Asking sentinels for the primary, as their protocol wants it: the first that answers is believed, and the server that
//! it names must say itself that it is the primary.

use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ErrorKind, RedisError, Value};

use super::address::Dialer;
use super::reply::texts;

/// Longest wait for one sentinel.
const PATIENCE: Duration = Duration::from_secs(1);

/// The sentinels of one primary.
pub(super) struct Sentinels {
    members: Vec<Dialer>,
    name: String,
    primary: Dialer,
}

impl Sentinels {
    pub(super) fn new(members: Vec<Dialer>, name: String, primary: Dialer) -> Self {
        Self { members, name, primary }
    }

    /// The name and who knows it, for people.
    pub(super) fn description(&self) -> String {
        let members: Vec<_> = self.members.iter().map(Dialer::address).collect();
        format!("{} (sentinels {})", self.name, members.join(", "))
    }

    /// Where the primary is right now.
    pub(super) async fn primary(&self) -> Result<Client, RedisError> {
        let mut answers: FuturesUnordered<_> = self.members.iter().map(|member| self.ask(member)).collect();
        let mut failure = None;
        let mut unknown = false;
        while let Some(answer) = answers.next().await {
            match answer {
                Ok(Some((host, port))) => return self.primary.client_of(&host, port),
                Ok(None) => unknown = true,
                Err(error) => failure = Some(error),
            }
        }
        if unknown {
            let problem = "no sentinel knows a primary of this name";
            return Err((ErrorKind::MasterNameNotFoundBySentinel, problem, self.description()).into());
        }
        Err(failure.unwrap_or_else(|| (ErrorKind::EmptySentinelList, "there are no sentinels").into()))
    }

    async fn ask(&self, member: &Dialer) -> Result<Option<(String, u16)>, RedisError> {
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(Some(PATIENCE)).set_response_timeout(Some(PATIENCE));
        let mut connection = member.client()?.get_multiplexed_async_connection_with_config(&config).await?;
        let mut cmd = redis::cmd("SENTINEL");
        cmd.arg("GET-MASTER-ADDR-BY-NAME").arg(&self.name);
        let answer: Value = cmd.query_async(&mut connection).await?;
        let odd = || RedisError::from((ErrorKind::Client, "a sentinel answered no host and port"));
        match texts(answer).map_err(|_| odd())?.as_slice() {
            [] => Ok(None),
            [host, port] => Ok(Some((host.clone(), port.parse().map_err(|_| odd())?))),
            _ => Err(odd()),
        }
    }
}

/// Fails unless the server says that it is a primary: sentinels may name one that does not know of its end yet.
pub(super) async fn must_be_primary(connection: &mut MultiplexedConnection) -> Result<(), RedisError> {
    let role: Vec<Value> = redis::cmd("ROLE").query_async(connection).await?;
    match role.first() {
        Some(Value::BulkString(role)) if role == b"master" => Ok(()),
        _ => Err((ErrorKind::Io, "the server that the sentinels name is no primary (any more)").into()),
    }
}
