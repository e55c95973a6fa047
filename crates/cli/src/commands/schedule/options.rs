//! The fields of a schedule as options, for `add` and `change`.

use clap::Args;
use lovage_core::duration;
use serde_json::{Value, json};

use crate::commands::job::{args_json, metadata};
use crate::error::{Failure, Outcome};
use crate::schedules::Field;

/// The fields of a schedule but for its name.
#[derive(Debug, Args)]
pub struct SpecArgs {
    /// When: five or six fields, @daily, @every 5m, @at 2026-12-01T03:00:00
    #[arg(long, value_name = "EXPRESSION", allow_hyphen_values = true)]
    cron: Option<String>,
    /// The zone whose clocks are meant, e.g. Europe/Berlin [default: UTC]
    #[arg(long, value_name = "ZONE")]
    timezone: Option<String>,
    /// The queue that its jobs join [default: default]
    #[arg(long, short = 'Q')]
    queue: Option<String>,
    /// The handler that runs its jobs, e.g. export.query
    #[arg(long)]
    kind: Option<String>,
    /// Their arguments as JSON text, @FILE or -; texts may have placeholders, e.g. {{ tick.date - 1d }} [default: {}]
    #[arg(long, value_name = "JSON|@FILE|-", allow_hyphen_values = true)]
    args: Option<String>,
    /// Put each tick off by a part of this, so that many schedules do not start at once; at most 1h
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true)]
    jitter: Option<String>,
    /// What to do about ticks that nobody was there for: skip, once or all [default: once]
    #[arg(long, value_name = "WHAT")]
    missed: Option<String>,
    /// Most missed ticks that run, with --missed all [default: 100]
    #[arg(long, value_name = "COUNT")]
    missed_max: Option<u32>,
    /// Run no missed tick that is older [default: 1d with --missed all]
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true)]
    missed_age: Option<String>,
    /// What to do if the run before has not ended: allow, skip, `queue_one` or `cancel_previous` [default: allow]
    #[arg(long, value_name = "WHAT")]
    overlap: Option<String>,
    /// It is overdue if none of its jobs has completed for so long, e.g. 26h
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true)]
    success_within: Option<String>,
    /// There is no tick before this instant (RFC 3339)
    #[arg(long, value_name = "INSTANT")]
    starts_at: Option<String>,
    /// There is no tick from this instant on (RFC 3339)
    #[arg(long, value_name = "INSTANT")]
    ends_at: Option<String>,
    /// What it is for
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Its jobs' place in the line, 0 (first) to 9 (last) [default: 5]
    #[arg(long, value_name = "LEVEL", allow_hyphen_values = true)]
    priority: Option<i64>,
    /// The customer or team that its jobs belong to
    #[arg(long)]
    tenant: Option<String>,
    /// What its jobs are limited by together with others; see `lovage queue limit --key`
    #[arg(long)]
    key: Option<String>,
    /// A label of its jobs; may be given again
    #[arg(long, value_name = "TAG")]
    tag: Vec<String>,
    /// A value that goes through to logs, e.g. team=7; may be given again
    #[arg(long, value_name = "KEY=VALUE")]
    meta: Vec<String>,
    /// Hard limit of one attempt, e.g. 10m
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true)]
    timeout: Option<String>,
    /// Failed attempts before a job is discarded, instead of the kind's retry policy
    #[arg(long, value_name = "COUNT")]
    max_attempts: Option<u32>,
    /// Discard a job that still waits so long after its tick, e.g. 1h
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true)]
    expires_after: Option<String>,
}

impl SpecArgs {
    /// The fields that were given.
    pub fn fields(&self) -> Outcome<Vec<Field>> {
        let mut fields: Vec<Field> = Vec::new();
        if let Some(args) = &self.args {
            fields.push(("args".to_owned(), args_json(args)?.get().to_owned()));
        }
        let mut add = |field: &str, value: Option<Value>| {
            fields.extend(value.map(|value| (field.to_owned(), value.to_string())));
        };
        let texts = [
            ("cron", self.cron.as_ref()),
            ("queue", self.queue.as_ref()),
            ("kind", self.kind.as_ref()),
            ("timezone", self.timezone.as_ref()),
            ("jitter", self.jitter.as_ref()),
            ("missed", self.missed.as_ref()),
            ("missed_age", self.missed_age.as_ref()),
            ("overlap", self.overlap.as_ref()),
            ("success_within", self.success_within.as_ref()),
            ("starts_at", self.starts_at.as_ref()),
            ("ends_at", self.ends_at.as_ref()),
            ("description", self.description.as_ref()),
            ("tenant", self.tenant.as_ref()),
            ("key", self.key.as_ref()),
            ("expires_after", self.expires_after.as_ref()),
        ];
        for (field, text) in texts {
            add(field, text.map(|text| Value::from(text.as_str())));
        }
        add("missed_max", self.missed_max.map(Value::from));
        add("priority", self.priority.map(Value::from));
        add("tags", (!self.tag.is_empty()).then(|| json!(self.tag)));
        let metadata = metadata(&self.meta)?;
        add("metadata", (!metadata.is_empty()).then(|| json!(metadata)));
        let timeout = self.timeout.as_deref().map(duration::parse).transpose();
        let timeout = timeout.map_err(|problem| Failure::usage("timeout", format!("timeout: {problem}")))?;
        add("timeout_ms", timeout.map(|timeout| Value::from(timeout.as_millis() as u64)));
        add("retry", self.max_attempts.map(|max_attempts| json!({ "max_attempts": max_attempts })));
        Ok(fields)
    }
}
