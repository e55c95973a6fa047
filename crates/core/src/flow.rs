//! Flow control as values: what may be limited ([`Subject`]), by how much ([`Limits`]), and what readers see of it
//! ([`FlowView`]). The broker keeps and applies them; nothing here asks the clock.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::error::Invalid;
use crate::limits::{MAX_COOLDOWN, MAX_RATE, MAX_RATE_PERIOD, MAX_WEIGHT};
use crate::names::{FlowKey, Kind, Tenant};
use crate::view::Pause;

/// What a limit or a pause is about, within one queue. As text: `queue`, `tenant:acme`, `tenant:*`, `kind:export.query`,
/// `key:smtp`, `key:*`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Subject {
    /// All jobs of the queue.
    Queue,
    /// The jobs of a tenant.
    Tenant(Tenant),
    /// Each tenant that has no limits of its own, for itself. Jobs without a tenant are not meant.
    AnyTenant,
    /// The jobs of a kind.
    Kind(Kind),
    /// The jobs with a key.
    Key(FlowKey),
    /// Each key that has no limits of its own, for itself.
    AnyKey,
}

impl Subject {
    /// Whether it can be paused: everything but the two that stand for others.
    pub fn can_pause(&self) -> Result<(), Invalid> {
        match self {
            Self::AnyTenant | Self::AnyKey | Self::Key(_) => {
                Err(Invalid::new("subject", format!("{self} cannot be paused"), "pause the queue, a kind or a tenant"))
            }
            Self::Queue | Self::Tenant(_) | Self::Kind(_) => Ok(()),
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Queue => f.write_str("queue"),
            Self::Tenant(tenant) => write!(f, "tenant:{tenant}"),
            Self::AnyTenant => f.write_str("tenant:*"),
            Self::Kind(kind) => write!(f, "kind:{kind}"),
            Self::Key(key) => write!(f, "key:{key}"),
            Self::AnyKey => f.write_str("key:*"),
        }
    }
}

impl FromStr for Subject {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let help = "use queue, tenant:NAME, tenant:*, kind:NAME, key:NAME or key:*";
        match text.split_once(':') {
            None if text == "queue" => Ok(Self::Queue),
            Some(("tenant", "*")) => Ok(Self::AnyTenant),
            Some(("tenant", name)) => Ok(Self::Tenant(name.parse()?)),
            Some(("kind", name)) => Ok(Self::Kind(name.parse()?)),
            Some(("key", "*")) => Ok(Self::AnyKey),
            Some(("key", name)) => Ok(Self::Key(name.parse()?)),
            _ => Err(Invalid::new("subject", format!("{text:?} is not known"), help)),
        }
    }
}

impl TryFrom<String> for Subject {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

impl From<Subject> for String {
    fn from(subject: Subject) -> Self {
        subject.to_string()
    }
}

/// How many starts in how much time: a token bucket that holds `burst` and is filled with `count` tokens every `per_ms`,
/// evenly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// Tokens per period.
    pub count: u32,
    /// The period in milliseconds.
    pub per_ms: u64,
    /// Most tokens that the bucket holds; as many as `count` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst: Option<u32>,
}

impl Rate {
    /// `count` a second, and as many at once.
    pub const fn per_second(count: u32) -> Self {
        Self { count, per_ms: 1_000, burst: None }
    }

    /// Most tokens that the bucket holds.
    pub const fn bucket(&self) -> u32 {
        match self.burst {
            Some(burst) => burst,
            None => self.count,
        }
    }

    /// Checks that it can be kept; `field` is what the error names.
    pub fn validate(&self, field: &str) -> Result<(), Invalid> {
        let within = |field: String, value: u64, most: u64| {
            let help = format!("use 1 to {most}");
            if (1..=most).contains(&value) { Ok(()) } else { Err(Invalid::new(field, format!("is {value}"), help)) }
        };
        within(format!("{field}.count"), self.count.into(), MAX_RATE.into())?;
        within(format!("{field}.burst"), self.bucket().into(), MAX_RATE.into())?;
        within(format!("{field}.per_ms"), self.per_ms, MAX_RATE_PERIOD.as_millis() as u64)
    }
}

/// A circuit breaker: after `failures` failed attempts in a row nothing is given out for `cooldown_ms`; then one job at
/// a time is let through, and its success closes the breaker while its failure opens it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Breaker {
    /// Failures in a row.
    pub failures: u32,
    /// Time without any job, in milliseconds.
    pub cooldown_ms: u64,
}

/// The limits of one [`Subject`]. Absent means unlimited, or the default that the field names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Jobs that run at once. For the queue, tenants and keys; 0 lets nothing start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
    /// One job at a time, and the next one only when it has come to its end: also while it waits for a retry. For keys.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ordered: bool,
    /// Attempts that start in a time. For the queue, tenants and keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// Jobs that wait (scheduled, available, retryable); an enqueue beyond it is refused. For the queue and tenants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub depth: Option<u64>,
    /// Share among the tenants of a queue, 1 by default. For tenants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u32>,
    /// Retryable jobs that become available in a time; [`crate::limits::RETRY_RATE`] by default. For the queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_rate: Option<Rate>,
    /// For the queue and kinds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breaker: Option<Breaker>,
}

impl Limits {
    /// Whether nothing is limited.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Checks that each limit makes sense for the subject.
    pub fn validate(&self, subject: &Subject) -> Result<(), Invalid> {
        let tenant = matches!(subject, Subject::Tenant(_) | Subject::AnyTenant);
        let key = matches!(subject, Subject::Key(_) | Subject::AnyKey);
        let (queue, kind) = (*subject == Subject::Queue, matches!(subject, Subject::Kind(_)));
        let rules = [
            ("concurrency", self.concurrency.is_some(), !kind, "the queue, tenants and keys"),
            ("ordered", self.ordered, key, "keys"),
            ("rate", self.rate.is_some(), !kind, "the queue, tenants and keys"),
            ("depth", self.depth.is_some(), queue || tenant, "the queue and tenants"),
            ("weight", self.weight.is_some(), tenant, "tenants"),
            ("retry_rate", self.retry_rate.is_some(), queue, "the queue"),
            ("breaker", self.breaker.is_some(), queue || kind, "the queue and kinds"),
        ];
        if let Some((field, _, _, fit)) = rules.into_iter().find(|(_, given, fits, _)| *given && !fits) {
            return Err(Invalid::new(field, format!("does not apply to {subject}"), format!("it is for {fit}")));
        }
        if let Some(rate) = &self.rate {
            rate.validate("rate")?;
        }
        if let Some(rate) = &self.retry_rate {
            rate.validate("retry_rate")?;
        }
        if let Some(weight) = self.weight.filter(|weight| !(1..=MAX_WEIGHT).contains(weight)) {
            return Err(Invalid::new("weight", format!("is {weight}"), format!("use 1 to {MAX_WEIGHT}")));
        }
        if let Some(breaker) = &self.breaker {
            let longest = MAX_COOLDOWN.as_millis() as u64;
            if breaker.failures == 0 {
                return Err(Invalid::new("breaker.failures", "is 0", "use at least 1"));
            }
            if !(1..=longest).contains(&breaker.cooldown_ms) {
                let problem = format!("is {}", breaker.cooldown_ms);
                return Err(Invalid::new("breaker.cooldown_ms", problem, format!("use 1 to {longest}")));
            }
        }
        Ok(())
    }
}

/// Where a circuit breaker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BreakerState {
    /// Jobs go through.
    Closed,
    /// Nothing goes through until `until`.
    Open,
    /// One job at a time goes through, as a probe.
    HalfOpen,
}

/// A circuit breaker as readers see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BreakerView {
    /// Where it stands.
    pub state: BreakerState,
    /// Failures in a row so far.
    pub failures: u32,
    /// When the first probe may go through, while it is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// A subject with limits, a pause or a breaker, as readers see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowView {
    /// Whom it is about.
    pub subject: Subject,
    /// Its own limits.
    pub limits: Limits,
    /// Set while it is paused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<Pause>,
    /// Set if it has a breaker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breaker: Option<BreakerView>,
    /// Slots in use: its running jobs, and with `ordered` those that wait for a retry. Absent for kinds and for the two
    /// subjects that stand for others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used: Option<u64>,
    /// Jobs that wait, where a depth can be limited: the queue and tenants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<u64>,
}

/// Why an enqueue was refused: too many jobs wait already.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{subject} is full: {limit} jobs may wait; try again in {} s", retry_after.as_secs_f64().ceil())]
pub struct Full {
    /// Whose depth is limited: the queue or a tenant.
    pub subject: Subject,
    /// The limit.
    pub limit: u64,
    /// When there may be room, from the rate at which jobs were claimed lately.
    pub retry_after: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_written_as_it_is_read() {
        for text in ["queue", "tenant:acme", "tenant:*", "kind:export.query", "key:mail@example.org/eu", "key:*"] {
            assert_eq!(text.parse::<Subject>().unwrap().to_string(), text);
        }
        for bad in ["", "queues", "tenant:", "kind:*", "key:a b", "key:a*", "user:1"] {
            assert!(bad.parse::<Subject>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_limit_that_does_not_fit_is_named() {
        let weight = Limits { weight: Some(2), ..Limits::default() };
        assert!(weight.validate(&Subject::AnyTenant).is_ok());
        assert_eq!(weight.validate(&Subject::Queue).unwrap_err().field, "weight");
        let rate = |count, burst| Limits { rate: Some(Rate { count, per_ms: 1_000, burst }), ..Limits::default() };
        assert!(rate(1, None).validate(&Subject::AnyKey).is_ok());
        assert_eq!(rate(0, Some(1)).validate(&Subject::Queue).unwrap_err().field, "rate.count");
        assert_eq!(rate(5, Some(0)).validate(&Subject::Queue).unwrap_err().field, "rate.burst");
        let breaker = Limits { breaker: Some(Breaker { failures: 3, cooldown_ms: 0 }), ..Limits::default() };
        assert_eq!(breaker.validate(&Subject::Queue).unwrap_err().field, "breaker.cooldown_ms");
        assert_eq!(breaker.validate(&Subject::AnyKey).unwrap_err().field, "breaker");
    }
}
