//! `key=value` words, and the broker that they name.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lovage_broker::{Broker, Connect, RedisBroker, RedisConfig, Retention, SqliteBroker, SqliteConfig};
use lovage_core::{NewJob, QueueName, WorkerId};
use lovage_worker::WorkerConfig;

use crate::Result;

/// Bytes of JSON in a job's arguments.
const ARGS_BYTES: usize = 200;
/// The kind of all jobs.
pub const KIND: &str = "bench.note";

/// What was given behind the verb.
pub struct Options(BTreeMap<String, String>);

impl Options {
    pub fn read(words: &[String]) -> Result<Self> {
        let pair = |word: &String| {
            let (key, value) = word.split_once('=').ok_or_else(|| format!("{word} is not key=value"))?;
            Ok((key.to_owned(), value.to_owned()))
        };
        words.iter().map(pair).collect::<Result<_>>().map(Self)
    }

    pub fn text(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    pub fn number(&self, key: &str, default: u64) -> Result<u64> {
        let read = |text: &str| text.parse().map_err(|_| format!("{key} is {text}; use a whole number").into());
        self.text(key).map_or(Ok(default), read)
    }

    /// Opens connections to `store`: a Redis address, or the path of a SQLite file behind `sqlite:`.
    pub fn connect(&self) -> Result<Connect> {
        let store = self.text("store").ok_or("store is missing; use a Redis address or sqlite:PATH")?.to_owned();
        let mut retention = Retention::default();
        if let Some(kept) = self.text("kept_ms") {
            retention.completed_age = Duration::from_millis(kept.parse()?);
        }
        Ok(Arc::new(move || {
            let store = store.clone();
            Box::pin(async move {
                let broker: Arc<dyn Broker> = if let Some(path) = store.strip_prefix("sqlite:") {
                    Arc::new(SqliteBroker::open(SqliteConfig { retention, ..SqliteConfig::new(path) }).await?)
                } else {
                    let config = RedisConfig { url: store, retention, ..RedisConfig::default() };
                    Arc::new(RedisBroker::connect(config).await?)
                };
                Ok(broker)
            })
        }))
    }

    /// The queues that the jobs are spread over.
    pub fn queues(&self) -> Result<Vec<QueueName>> {
        let queues = (0..self.number("queues", 1)?).map(|n| format!("bench{n}").parse());
        Ok(queues.collect::<std::result::Result<_, _>>()?)
    }

    /// A worker for all queues.
    pub fn worker(&self) -> Result<WorkerConfig> {
        let id: WorkerId = format!("bench-{}", std::process::id()).parse()?;
        let queues = self.queues()?.into_iter().map(|queue| (queue, 1)).collect();
        let mut config = WorkerConfig::new(id, queues);
        config.slots = self.number("slots", config.slots as u64)? as usize;
        let most = self.number("max", 0)?;
        config.max_jobs = Some(most).filter(|most| *most > 0);
        config.exit_when_empty = most == 0;
        Ok(config)
    }
}

/// Job number `n`: its arguments are 200 bytes of JSON that hold the number.
pub fn job(queue: &QueueName, n: u64) -> Result<NewJob> {
    let mut args = format!(r#"{{"n":{n},"pad":""#);
    let pad = ARGS_BYTES - args.len() - 2;
    args.extend(std::iter::repeat_n('x', pad));
    args.push_str(r#""}"#);
    Ok(NewJob::with_raw_args(queue.clone(), KIND.parse()?, serde_json::value::RawValue::from_string(args)?))
}
