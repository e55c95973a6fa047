//! From options on the command line to a [`NewJob`]. Every refusal names the option.

use std::collections::BTreeMap;
use std::io::Read as _;

use clap::{Args, ValueEnum};
use lovage_core::{
    Debounce, FlowKey, Invalid, Kind, NewJob, OnConflict, Priority, QueueName, RawJson, RetryPolicy, Tenant, Timestamp,
    Unique,
};

use crate::error::{Failure, Outcome};
use crate::instant;
use lovage_core::duration;

/// Options that say what the job is.
#[derive(Debug, Args)]
pub struct JobOptions {
    /// Arguments as JSON text, @FILE or - for standard input
    #[arg(long, value_name = "JSON|@FILE|-", default_value = "{}", allow_hyphen_values = true)]
    pub args: String,
    /// An id of your own: the same id twice is one job
    #[arg(long)]
    id: Option<String>,
    /// Wait before it becomes available, e.g. 30s
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true, conflicts_with = "run_at")]
    delay: Option<String>,
    /// When it becomes available (RFC 3339); the past means now
    #[arg(long, value_name = "INSTANT")]
    run_at: Option<String>,
    /// Place in the line, 0 (first) to 9 (last) [default: 5]
    #[arg(long, value_name = "LEVEL", allow_hyphen_values = true)]
    priority: Option<String>,
    /// Discard it if it still waits at this instant (RFC 3339)
    #[arg(long, value_name = "INSTANT", conflicts_with = "expires_in")]
    expires_at: Option<String>,
    /// Discard it if it still waits after this time, e.g. 1h
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true)]
    expires_in: Option<String>,
    /// Hard limit of one attempt, e.g. 10m
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true)]
    timeout: Option<String>,
    /// Failed attempts before it is discarded, instead of the kind's retry policy
    #[arg(long, value_name = "COUNT")]
    max_attempts: Option<u32>,
    /// At most one unfinished job with this key in the queue
    #[arg(long, value_name = "KEY")]
    pub unique_key: Option<String>,
    /// How long the key is held at most [default: 1d]
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true, requires = "unique_key")]
    unique_ttl: Option<String>,
    /// What happens if the key is taken [default: return]
    #[arg(long, value_name = "WHAT", requires = "unique_key")]
    on_conflict: Option<Conflict>,
    /// Each further job with the key puts a scheduled one off by its --delay, for no longer than this in all
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true, requires_all = ["unique_key", "delay"])]
    debounce: Option<String>,
    /// The customer or team that it belongs to
    #[arg(long)]
    tenant: Option<String>,
    /// What it is limited by together with others: an account, a host; see `lovage queue limit --key`
    #[arg(long)]
    key: Option<String>,
    /// A label to search by; may be given again
    #[arg(long, value_name = "TAG")]
    tag: Vec<String>,
    /// A value that goes through to logs, e.g. user=7; may be given again
    #[arg(long, value_name = "KEY=VALUE")]
    meta: Vec<String>,
}

/// What happens if a unique key is taken.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Conflict {
    /// The job that holds the key is returned.
    Return,
    /// The new job is refused.
    Reject,
    /// A waiting holder takes the new content.
    Replace,
}

impl JobOptions {
    /// Whether the caller named an identity that only means something within one queue.
    pub fn has_identity(&self) -> bool {
        self.id.is_some() || self.unique_key.is_some()
    }

    /// The job. `now` turns a relative expiry into an instant.
    pub fn job(&self, kind: &str, queue: QueueName, now: Timestamp) -> Outcome<NewJob> {
        let kind: Kind = kind.parse()?;
        let mut job = NewJob::with_raw_args(queue, kind, json(&self.args)?);
        job.id = self.id.as_deref().map(str::parse).transpose()?;
        job.delay_ms = self.delay.as_deref().map(|text| millis("delay", text)).transpose()?;
        job.run_at = self.run_at.as_deref().map(|text| at("run_at", text)).transpose()?;
        job.expires_at = self.expires_at.as_deref().map(|text| at("expires_at", text)).transpose()?;
        if let Some(text) = &self.expires_in {
            job.expires_at = Some(now.plus(std::time::Duration::from_millis(millis("expires_in", text)?)));
        }
        if let Some(text) = &self.priority {
            job.priority = priority(text)?;
        }
        job.timeout_ms = self.timeout.as_deref().map(|text| millis("timeout", text)).transpose()?;
        job.retry = self.max_attempts.map(|max_attempts| RetryPolicy { max_attempts, ..RetryPolicy::default() });
        job.unique = self.unique()?;
        job.tenant = self.tenant.as_deref().map(str::parse::<Tenant>).transpose()?;
        job.key = self.key.as_deref().map(str::parse::<FlowKey>).transpose()?;
        job.tags.clone_from(&self.tag);
        job.metadata = metadata(&self.meta)?;
        Ok(job)
    }

    fn unique(&self) -> Outcome<Option<Unique>> {
        let Some(key) = &self.unique_key else { return Ok(None) };
        let mut unique = Unique::key(key);
        if let Some(text) = &self.unique_ttl {
            unique.ttl_ms = millis("unique_ttl", text)?;
        }
        if let Some(text) = &self.debounce {
            unique.debounce = Some(Debounce { max_wait_ms: millis("debounce", text)? });
        }
        unique.on_conflict = match self.on_conflict {
            // What else could be meant.
            None if self.debounce.is_some() => OnConflict::Replace,
            None | Some(Conflict::Return) => OnConflict::Return,
            Some(Conflict::Reject) => OnConflict::Reject,
            Some(Conflict::Replace) => OnConflict::Replace,
        };
        Ok(Some(unique))
    }
}

/// JSON text from the option itself, from `@FILE` or from standard input.
pub fn json(text: &str) -> Outcome<RawJson> {
    let (source, text) = match text.strip_prefix('@') {
        Some(path) => (path.to_owned(), std::fs::read_to_string(path).map_err(|error| unreadable(path, &error))?),
        None if text == "-" => {
            let mut read = String::new();
            let result = std::io::stdin().lock().read_to_string(&mut read);
            result.map_err(|error| unreadable("standard input", &error))?;
            ("standard input".to_owned(), read)
        }
        None => ("the text".to_owned(), text.to_owned()),
    };
    serde_json::from_str(&text).map_err(|error| {
        let help = "use JSON text such as '{\"n\": 1}', @FILE or -";
        Invalid::new("args", format!("{source} is not JSON ({error})"), help).into()
    })
}

fn unreadable(source: &str, error: &std::io::Error) -> Failure {
    Invalid::new("args", format!("{source} cannot be read ({error})"), "name a readable file of JSON text in UTF-8")
        .into()
}

/// A priority from text.
pub fn priority(text: &str) -> Outcome<Priority> {
    let level: i64 = text
        .trim()
        .parse()
        .map_err(|_| Invalid::new("priority", format!("is {text:?}"), "use 0 (first) to 9 (last); the default is 5"))?;
    Ok(Priority::try_from(level)?)
}

fn millis(field: &str, text: &str) -> Outcome<u64> {
    let duration = duration::parse(text).map_err(|problem| Failure::usage(field, format!("{field}: {problem}")))?;
    Ok(duration.as_millis() as u64)
}

fn at(field: &str, text: &str) -> Outcome<Timestamp> {
    instant::parse(text).map_err(|problem| Failure::usage(field, format!("{field}: {problem}")))
}

/// Pairs of `KEY=VALUE`.
pub fn metadata(pairs: &[String]) -> Outcome<BTreeMap<String, String>> {
    let mut entries = BTreeMap::new();
    for pair in pairs {
        let Some((key, value)) = pair.split_once('=').filter(|(key, _)| !key.is_empty()) else {
            return Err(Invalid::new("meta", format!("{pair:?} is not KEY=VALUE"), "use e.g. request_id=7").into());
        };
        if entries.insert(key.to_owned(), value.to_owned()).is_some() {
            return Err(Invalid::new("meta", format!("{key:?} is given twice"), "give each key once").into());
        }
    }
    Ok(entries)
}
