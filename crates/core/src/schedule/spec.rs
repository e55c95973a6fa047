//! A schedule as it is written, and the job that each of its ticks enqueues.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::overlap::Overlap;
use super::render::{Tick, check, render};
use super::{GRACE, MAX_CATCH_UP, MAX_DEADLINE, MAX_DESCRIPTION_CHARS, MAX_JITTER, MAX_ZONE_CHARS, text};
use crate::RawJson;
use crate::clock::Timestamp;
use crate::cron::Recurrence;
use crate::error::Invalid;
use crate::id::JobId;
use crate::job::NewJob;
use crate::limits::MAX_PAYLOAD_BYTES;
use crate::names::{FlowKey, Kind, QueueName, ScheduleName, Tenant};
use crate::priority::Priority;
use crate::retry::RetryPolicy;
use crate::unique::{Hold, Unique};

/// What is done about ticks that nobody was there for: the scheduler was down, the schedule was paused, it took too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Missed {
    /// Nothing, if they are more than a minute old ([`super::GRACE`]).
    Skip,
    /// The latest of them runs.
    #[default]
    Once,
    /// All of them run, the oldest first: at most `missed_max` of them, the latest, and none older than `missed_age`.
    All,
}

/// A schedule. Everything but name, expression, queue and kind may be left out.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScheduleSpec {
    /// Its name, which nothing else has.
    pub name: ScheduleName,
    /// When: five or six fields, `@daily`, `@every 5m`, `@at 2026-12-01T03:00:00Z`.
    pub cron: Recurrence,
    /// The zone whose clocks are meant, by its IANA name.
    #[serde(default = "utc")]
    pub timezone: String,
    /// The queue that its jobs join.
    pub queue: QueueName,
    /// The handler that runs them.
    pub kind: Kind,
    /// Their arguments; texts in them may have placeholders, e.g. `{{ tick.date }}`.
    #[serde(default = "nothing")]
    pub args: RawJson,
    /// Puts each tick off by a part of this that follows from name and tick, so that many schedules do not start at once.
    #[serde(default, with = "text::duration", skip_serializing_if = "Option::is_none")]
    pub jitter: Option<Duration>,
    /// There is no tick before.
    #[serde(default, with = "text::instant", skip_serializing_if = "Option::is_none")]
    pub starts_at: Option<Timestamp>,
    /// There is no tick from here on.
    #[serde(default, with = "text::instant", skip_serializing_if = "Option::is_none")]
    pub ends_at: Option<Timestamp>,
    /// What is done about missed ticks.
    #[serde(default)]
    pub missed: Missed,
    /// Most missed ticks that run, with [`Missed::All`]; 100 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missed_max: Option<u32>,
    /// No older missed tick runs; with [`Missed::All`] a day by default.
    #[serde(default, with = "text::duration", skip_serializing_if = "Option::is_none")]
    pub missed_age: Option<Duration>,
    /// What is done if the run before has not ended.
    #[serde(default)]
    pub overlap: Overlap,
    /// If none of its jobs has completed for so long, it is overdue.
    #[serde(default, with = "text::duration", skip_serializing_if = "Option::is_none")]
    pub success_within: Option<Duration>,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Its jobs' place in the line.
    #[serde(default)]
    pub priority: Priority,
    /// Its jobs' tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<Tenant>,
    /// What its jobs' limits by key count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<FlowKey>,
    /// Its jobs' tags.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Its jobs' metadata; `schedule` and `tick` are added.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// Hard limit of one attempt, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// Instead of the kind's retry policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<RetryPolicy>,
    /// A job that still waits so long after its tick is discarded as expired.
    #[serde(default, with = "text::duration", skip_serializing_if = "Option::is_none")]
    pub expires_after: Option<Duration>,
}

/// The fields of a schedule, as they are written.
pub const FIELDS: [&str; 23] = [
    "name",
    "cron",
    "timezone",
    "queue",
    "kind",
    "args",
    "jitter",
    "starts_at",
    "ends_at",
    "missed",
    "missed_max",
    "missed_age",
    "overlap",
    "success_within",
    "description",
    "priority",
    "tenant",
    "key",
    "tags",
    "metadata",
    "timeout_ms",
    "retry",
    "expires_after",
];

fn utc() -> String {
    "UTC".to_owned()
}

fn nothing() -> RawJson {
    serde_json::value::RawValue::from_string("{}".to_owned()).unwrap_or_default()
}

impl ScheduleSpec {
    /// Reads and checks a schedule. `zone` finds a zone by its name, or says that there is none.
    pub fn parse(json: &str, zone: impl Fn(&str) -> Option<TimeZone>) -> Result<Self, Invalid> {
        let spec: Self = serde_json::from_str(json).map_err(|error| {
            Invalid::new("schedule", error.to_string(), "see docs/guide/schedules.md for the fields of a schedule")
        })?;
        spec.check(zone)?;
        Ok(spec)
    }

    /// Reads a schedule as it was stored. What a newer release has added to it is passed over.
    pub fn read_stored(json: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(json).or_else(|error| {
            let mut fields: BTreeMap<String, RawJson> = serde_json::from_str(json).map_err(|_| error)?;
            fields.retain(|name, _| FIELDS.contains(&name.as_str()));
            serde_json::from_str(&serde_json::to_string(&fields)?)
        })
    }

    /// Checks what its types alone do not.
    pub fn check(&self, zone: impl Fn(&str) -> Option<TimeZone>) -> Result<(), Invalid> {
        let named = |field: &str, problem: &str, help: &str| {
            Err(Invalid::new(field, format!("of schedule {}: {problem}", self.name), help))
        };
        if self.timezone.len() > MAX_ZONE_CHARS || zone(&self.timezone).is_none() {
            let problem = format!("there is no zone {:?}", self.timezone);
            return named("timezone", &problem, "use a name of the IANA database, e.g. Europe/Berlin, or UTC");
        }
        if self.jitter.is_some_and(|jitter| jitter > MAX_JITTER) {
            return named("jitter", "is too long", "use at most 1h");
        }
        let first = self.cron.next(Timestamp::default(), &TimeZone::UTC);
        let second = first.and_then(|first| self.cron.next(first, &TimeZone::UTC));
        let apart = first.zip(second).map(|(first, second)| second.since(first));
        if self.jitter.zip(apart).is_some_and(|(jitter, apart)| jitter > apart) {
            return named("jitter", "is longer than the time between two ticks", "use less");
        }
        if self.success_within.is_some_and(|within| within > MAX_DEADLINE) {
            return named("success_within", "is too long", "use at most 3650d");
        }
        if self.success_within.is_some_and(|within| within < Duration::from_secs(1)) {
            return named("success_within", "is too short", "use at least 1s");
        }
        if self.expires_after.is_some_and(|after| after < Duration::from_secs(1)) {
            return named("expires_after", "is so short that no job would run", "use at least 1s");
        }
        if self.missed_age.is_some_and(|age| age < GRACE) {
            return named("missed_age", "is too short: a change of leader takes seconds", "use at least 1m");
        }
        if self.description.as_ref().is_some_and(|text| text.chars().count() > MAX_DESCRIPTION_CHARS) {
            return named("description", "is too long", &format!("use at most {MAX_DESCRIPTION_CHARS} characters"));
        }
        if self.starts_at.zip(self.ends_at).is_some_and(|(starts, ends)| ends <= starts) {
            return named("ends_at", "is not after starts_at", "put it later");
        }
        if self.missed != Missed::All && self.missed_max.is_some() {
            return named("missed_max", "is for missed = \"all\" only", "leave it out");
        }
        if self.missed_max.is_some_and(|most| most == 0 || most > MAX_CATCH_UP) {
            return named("missed_max", "is out of range", &format!("use 1 to {MAX_CATCH_UP}"));
        }
        if self.missed == Missed::Skip && self.missed_age.is_some() {
            return named("missed_age", "does not go with missed = \"skip\"", "leave it out");
        }
        check(self.args.get()).map_err(|problem| {
            let help = "use {{ tick.date }}, {{ tick.date - 1d }} or another of docs/guide/schedules.md";
            Invalid::new("args", format!("of schedule {}: {problem}", self.name), help)
        })?;
        let sample = self.starts_at.unwrap_or_default();
        self.job(sample, &TimeZone::UTC).validate(MAX_PAYLOAD_BYTES)
    }

    /// The first tick after `after`, within the schedule's start and end; none if there is none any more.
    pub fn next(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let after = self.starts_at.map_or(after, |starts| after.max(starts.just_before()));
        self.cron.next(after, zone).filter(|tick| self.ends_at.is_none_or(|ends| *tick < ends))
    }

    /// The job of a tick. The same tick is the same job: by its id, and by a unique key that outlives the job.
    pub fn job(&self, tick: Timestamp, zone: &TimeZone) -> NewJob {
        let at = Tick { name: self.name.as_str(), at: tick, zone };
        let args = serde_json::value::RawValue::from_string(render(self.args.get(), &at));
        let mut job =
            NewJob::with_raw_args(self.queue.clone(), self.kind.clone(), args.unwrap_or_else(|_| self.args.clone()));
        job.id = self.job_id(tick);
        job.unique =
            Some(Unique { hold: Hold::Ttl, ..Unique::key(format!("schedule:{}:{}", self.name, tick.as_millis())) });
        job.priority = self.priority;
        job.tenant.clone_from(&self.tenant);
        job.key.clone_from(&self.key);
        job.tags.clone_from(&self.tags);
        job.metadata.clone_from(&self.metadata);
        job.metadata.insert("schedule".to_owned(), self.name.to_string());
        job.metadata.insert("tick".to_owned(), tick.rfc3339());
        job.timeout_ms = self.timeout_ms;
        job.retry.clone_from(&self.retry);
        job.expires_at = self.expires_after.map(|after| tick.plus(after));
        job
    }

    /// The id of a tick's job: `nightly:1796090400000`.
    pub fn job_id(&self, tick: Timestamp) -> Option<JobId> {
        format!("{}:{}", self.name, tick.as_millis()).parse().ok()
    }

    /// How long after its tick a job is enqueued.
    pub fn jitter_of(&self, tick: Timestamp) -> Duration {
        use sha2::{Digest as _, Sha256};
        let Some(most) = self.jitter.map(|jitter| jitter.as_millis() as u64).filter(|most| *most > 0) else {
            return Duration::ZERO;
        };
        let digest = Sha256::digest(format!("{} {}", self.name, tick.as_millis()).as_bytes());
        let mut first = [0; 8];
        first.copy_from_slice(&digest[..8]);
        Duration::from_millis(u64::from_be_bytes(first) % most)
    }
}
