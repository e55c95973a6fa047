//! Asking sentinels for the primary. Most of them are heard, and the one with the latest word is believed; the server that
//! it names must say itself that it is the primary.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ErrorKind, RedisError, Value};

use super::address::Dialer;

/// Longest wait for one sentinel.
const PATIENCE: Duration = Duration::from_secs(1);

/// The sentinels of one primary.
pub(super) struct Sentinels {
    members: Vec<Member>,
    name: String,
    primary: Dialer,
}

/// One sentinel, and the connection to it while it works.
struct Member {
    dialer: Dialer,
    connection: Mutex<Option<MultiplexedConnection>>,
}

/// What a sentinel says of the primary.
struct Word {
    /// Grows with each fail-over.
    epoch: u64,
    host: String,
    port: u16,
}

impl Sentinels {
    pub(super) fn new(members: Vec<Dialer>, name: String, primary: Dialer) -> Self {
        let members = members.into_iter().map(|dialer| Member { dialer, connection: Mutex::default() }).collect();
        Self { members, name, primary }
    }

    /// The name and who knows it, for people.
    pub(super) fn description(&self) -> String {
        let members: Vec<_> = self.members.iter().map(|member| member.dialer.address()).collect();
        format!("{} (sentinels {})", self.name, members.join(", "))
    }

    /// Where the primary is right now.
    pub(super) async fn primary(&self) -> Result<Client, RedisError> {
        let mut answers: FuturesUnordered<_> = self.members.iter().map(|member| member.ask(&self.name)).collect();
        let mut latest: Option<Word> = None;
        let mut failure = None;
        let mut heard = 0;
        while let Some(answer) = answers.next().await {
            match answer {
                Ok(word) => {
                    heard += 1;
                    if latest.as_ref().is_none_or(|latest| latest.epoch < word.epoch) {
                        latest = Some(word);
                    }
                }
                Err(error) => failure = Some(error),
            }
            if heard > self.members.len() / 2 {
                break;
            }
        }
        match (latest, failure) {
            (Some(word), _) => self.primary.client_of(&word.host, word.port),
            (None, Some(error)) if error.detail().is_some_and(|text| text.contains("No such master")) => {
                let problem = "no sentinel knows a primary of this name";
                Err((ErrorKind::MasterNameNotFoundBySentinel, problem, self.description()).into())
            }
            (None, failure) => Err(failure.unwrap_or_else(|| (ErrorKind::EmptySentinelList, "no sentinels").into())),
        }
    }
}

impl Member {
    async fn ask(&self, name: &str) -> Result<Word, RedisError> {
        let known = self.connection.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut connection = match known {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        let mut cmd = redis::cmd("SENTINEL");
        cmd.arg("MASTER").arg(name);
        // A connection that failed is not kept.
        let answer: HashMap<String, Value> = cmd.query_async(&mut connection).await?;
        *self.connection.lock().unwrap_or_else(PoisonError::into_inner) = Some(connection);
        let odd = || RedisError::from((ErrorKind::Client, "a sentinel answered no host and port"));
        let get = |field: &str| match answer.get(field) {
            Some(Value::BulkString(text)) => std::str::from_utf8(text).map_err(|_| odd()),
            _ => Err(odd()),
        };
        Ok(Word {
            epoch: get("config-epoch")?.parse().map_err(|_| odd())?,
            host: get("ip")?.to_owned(),
            port: get("port")?.parse().map_err(|_| odd())?,
        })
    }

    async fn connect(&self) -> Result<MultiplexedConnection, RedisError> {
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(Some(PATIENCE)).set_response_timeout(Some(PATIENCE));
        self.dialer.client()?.get_multiplexed_async_connection_with_config(&config).await
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
