//! `RedisBroker`: the broker for production. Every change of state is one Lua script, which takes the whole of a call's
//! jobs; see `docs/adr/006-redis-key-layout.md` for the keys and why they are so.
//!
//! On the walk of a job: [`enqueue`] takes it in, [`worker`] hands it out and takes its end, [`operator`] and [`reader`]
//! are for people, [`wait`] wakes idle workers, [`registry`] knows workers and leaders, [`check`] looks at the server.

mod address;
mod check;
mod cluster;
mod config;
mod enqueue;
mod event;
mod fault;
mod flow;
mod format;
mod grasp;
mod keys;
mod link;
mod node;
mod operator;
mod reader;
mod record;
mod registry;
mod reply;
mod script;
mod sentinel;
mod view;
mod wait;
mod worker;

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use lovage_core::{JobId, QueueName};
use redis::{Cmd, Value};
use tokio::time::Instant;

pub use config::{RedisConfig, RedisTls};
use grasp::Grasps;
use keys::{Keys, QueueKeys};
use link::Link;
use script::Script;
use wait::Waits;

use crate::error::BrokerError;

/// Result of a broker call.
type Result<T> = std::result::Result<T, BrokerError>;

/// A queue's name is written to the list of names again after this time.
const NAME_KEPT: Duration = Duration::from_mins(1);
/// Ended jobs beyond the retention that claims leave to the next sweep, beside an eighth of what is kept.
const LOOSE: u64 = 1_000;
/// Longest time in which `connect` tries.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);

/// The broker for production: jobs live in Redis 7.0 or newer, or Valkey.
#[derive(Debug)]
pub struct RedisBroker {
    link: Link,
    keys: Keys,
    config: RedisConfig,
    named: Mutex<HashMap<QueueName, Instant>>,
    waits: Waits,
    grasps: Grasps,
}

impl RedisBroker {
    /// Connects and checks that the server can be trusted with jobs.
    ///
    /// # Errors
    /// [`BrokerError::Unavailable`] if it cannot be reached within five seconds, [`BrokerError::Misconfigured`] if its
    /// version is too old, it evicts keys, a newer release wrote its jobs, or the address or password is wrong.
    pub async fn connect(config: RedisConfig) -> Result<Self> {
        if config.prefix.contains(['{', '}']) {
            let problem =
                format!("the prefix of keys {:?} holds a brace, which marks the queue in a key", config.prefix);
            return Err(BrokerError::Misconfigured(format!("{problem}; leave braces out of redis_prefix")));
        }
        let broker = Self {
            link: Link::new(&config)?,
            keys: Keys::new(config.prefix.clone()),
            config,
            named: Mutex::default(),
            waits: Waits::default(),
            grasps: Grasps::default(),
        };
        let deadline = Instant::now() + CONNECT_PATIENCE;
        loop {
            match broker.check().await {
                // Starting up together with Redis is the usual case in a container.
                Err(error) if error.is_transient() && Instant::now() < deadline => {
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
                Err(error) => return Err(error),
                Ok(()) => return Ok(broker),
            }
        }
    }

    /// Whether the server and what is in it can be worked with.
    async fn check(&self) -> Result<()> {
        check::check(&self.link).await?;
        format::settle(&self.link, &self.keys).await
    }

    /// Runs a script on a queue: the queue's keys, the time, the caps of events, then what `fill` adds.
    async fn run<F>(&self, script: &Script, queue: &QueueName, fill: F) -> Result<Value>
    where
        F: Fn(&mut Cmd) + Send + Sync,
    {
        let keys = self.keys.of(queue);
        self.link.run(script, keys.slot(), |cmd| self.fill(cmd, &keys, None, &fill)).await
    }

    /// As [`Self::run`], once more if the connection broke: for scripts that may run twice.
    async fn run_again<F>(&self, script: &Script, queue: &QueueName, fill: F) -> Result<Value>
    where
        F: Fn(&mut Cmd) + Send + Sync,
    {
        let keys = self.keys.of(queue);
        self.link.run_again(script, keys.slot(), |cmd| self.fill(cmd, &keys, None, &fill)).await
    }

    /// As [`Self::run`], with the key of a job's log behind the queue's.
    async fn run_with_log<F>(&self, script: &Script, queue: &QueueName, id: &JobId, fill: F) -> Result<Value>
    where
        F: Fn(&mut Cmd) + Send + Sync,
    {
        let keys = self.keys.of(queue);
        let log = keys.log(id);
        self.link.run(script, keys.slot(), |cmd| self.fill(cmd, &keys, Some(&log), &fill)).await
    }

    fn fill(&self, cmd: &mut Cmd, keys: &QueueKeys, further: Option<&str>, fill: impl Fn(&mut Cmd)) {
        cmd.arg(keys.all().len() + usize::from(further.is_some())).arg(keys.all());
        if let Some(key) = further {
            cmd.arg(key);
        }
        self.add_time(cmd);
        let RedisConfig { events_kept, unrecorded_kept, unrecorded_bytes, .. } = &self.config;
        cmd.arg(format!("{events_kept} {unrecorded_kept} {unrecorded_bytes}"));
        fill(cmd);
    }

    /// The first argument of every script: empty, or the time of a test's clock.
    fn add_time(&self, cmd: &mut Cmd) {
        match &self.config.virtual_clock {
            Some(clock) => cmd.arg(clock.now().as_millis()),
            None => cmd.arg(""),
        };
    }

    /// The retention as `lua/prune.lua` takes it.
    fn add_retention(&self, cmd: &mut Cmd) {
        let kept = &self.config.retention;
        cmd.arg(millis(kept.completed_age)).arg(kept.completed_count);
        cmd.arg(millis(kept.discarded_age)).arg(kept.discarded_count);
    }

    /// What claims hold queues to, so that they stay bounded also where nobody sweeps: the counts with some slack.
    fn add_loose_retention(&self, cmd: &mut Cmd) {
        let kept = &self.config.retention;
        for count in [kept.completed_count, kept.discarded_count] {
            cmd.arg(millis(Duration::MAX)).arg(count.saturating_add(count / 8).saturating_add(LOOSE));
        }
    }

    /// Notes that the queues exist. Only lists of queues depend on it, so it is done about once a minute.
    async fn name(&self, queues: impl Iterator<Item = &QueueName> + Send) -> Result<()> {
        let unnamed: Vec<QueueName> = {
            let named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
            queues.filter(|queue| named.get(queue).is_none_or(|at| at.elapsed() > NAME_KEPT)).cloned().collect()
        };
        if unnamed.is_empty() {
            return Ok(());
        }
        let key = self.keys.queues();
        let mut cmd = redis::cmd("SADD");
        cmd.arg(&key);
        for queue in &unnamed {
            cmd.arg(queue.as_str());
        }
        self.link.send(keys::slot(&key), &cmd).await?;
        let mut named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        named.extend(unnamed.into_iter().map(|queue| (queue, Instant::now())));
        Ok(())
    }
}

/// A time in whole milliseconds, within what a double holds exactly.
fn millis(time: Duration) -> u64 {
    const LONGEST: u64 = 1 << 50;
    u64::try_from(time.as_millis()).unwrap_or(LONGEST).min(LONGEST)
}

/// The time that a script answers: absent when negative.
fn after(milliseconds: i64) -> Option<Duration> {
    u64::try_from(milliseconds).ok().map(Duration::from_millis)
}
