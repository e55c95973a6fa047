//! Audit events: what a caller sends, and what is kept.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use crate::RawJson;
use crate::clock::{Entropy, Timestamp};
use crate::error::Invalid;
use crate::names::Tenant;

/// Largest event in bytes: all texts and JSON together.
pub const MAX_AUDIT_BYTES: usize = 64 * 1024;
/// How far an event's time may lie ahead of the clock that checks it: clocks of machines differ.
pub const MAX_AUDIT_LEAD: Duration = Duration::from_mins(5);
/// Longest actor and action in bytes.
const MAX_NAME: usize = 256;
/// Longest other text in bytes.
const MAX_TEXT: usize = 2 * 1024;

/// An instant that is written as RFC 3339 in UTC with milliseconds, and read from that or from milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub Timestamp);

/// An event as a caller sends it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventDraft {
    /// Its id, a UUID, best of version 7. Under the same id an event is kept once a tenant. Made up when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Uuid>,
    /// When it happened. When absent, the time in its id if that is of version 7, else when it was handed in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<Moment>,
    /// Who did it, e.g. `user:42` or an e-mail address.
    #[serde(default)]
    pub actor: String,
    /// What was done, e.g. `order.refund`.
    #[serde(default)]
    pub action: String,
    /// What it was done to, e.g. `order:1001`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The customer or team whose trail it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<Tenant>,
    /// The address that it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<IpAddr>,
    /// The program that it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
    /// The request that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// What the target was before, as JSON. Kept byte for byte.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<RawJson>,
    /// What it was afterwards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<RawJson>,
    /// Anything else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<RawJson>,
}

/// An event that is complete and in order, as it is stored and hashed. Read back from a store it may hold anything that
/// somebody put there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEvent {
    /// Its id.
    pub id: Uuid,
    /// When it happened, in milliseconds since 1970.
    pub time_ms: i64,
    /// The tenant whose chain it belongs to; empty for none.
    pub tenant: String,
    /// Who did it.
    pub actor: String,
    /// What was done.
    pub action: String,
    /// What it was done to.
    pub target: Option<String>,
    /// The address that it came from.
    pub ip: Option<String>,
    /// The program that it came from.
    pub user_agent: Option<String>,
    /// The request that it belongs to.
    pub request_id: Option<String>,
    /// JSON text of what the target was before.
    pub before: Option<String>,
    /// JSON text of what it was afterwards.
    pub after: Option<String>,
    /// JSON text of anything else.
    pub metadata: Option<String>,
}

/// An id for an event that has none: a `UUIDv7` of the instant `now`.
pub fn event_id(now: Timestamp, entropy: &dyn Entropy) -> Uuid {
    crate::id::new_uuid(now, entropy)
}

impl EventDraft {
    /// An event of this actor and action, with nothing else said.
    pub fn new(actor: impl Into<String>, action: impl Into<String>) -> Self {
        Self {
            id: None,
            time: None,
            actor: actor.into(),
            action: action.into(),
            target: None,
            tenant: None,
            ip: None,
            user_agent: None,
            request_id: None,
            before: None,
            after: None,
            metadata: None,
        }
    }

    /// Checks the event and fills in what its sender left open. What is sent twice under an id of version 7 is the same event
    /// both times, also without a time. `id` and `now` are used if the event has none of its
    /// own; a time that lies more than [`MAX_AUDIT_LEAD`] after `now` is refused.
    pub fn complete(self, id: Uuid, now: Timestamp) -> Result<AuditEvent, Invalid> {
        name("actor", &self.actor, "say who did it, e.g. user:42")?;
        name("action", &self.action, "say what was done, e.g. order.refund")?;
        for (field, text) in
            [("target", &self.target), ("user_agent", &self.user_agent), ("request_id", &self.request_id)]
        {
            if let Some(text) = text {
                bounded(field, text, MAX_TEXT)?;
            }
        }
        let bytes = self.bytes();
        if bytes > MAX_AUDIT_BYTES {
            let help = format!("send at most {MAX_AUDIT_BYTES}; keep large documents elsewhere and refer to them");
            return Err(Invalid::new("event", format!("has {bytes} bytes"), help));
        }
        let time = self.time.map(|Moment(time)| time).or_else(|| self.id.and_then(time_of)).unwrap_or(now);
        if time > now.plus(MAX_AUDIT_LEAD) {
            let ahead = time.since(now).as_secs();
            let help = format!("send when it happened; at most {} s are allowed", MAX_AUDIT_LEAD.as_secs());
            return Err(Invalid::new("time", format!("{} lies {ahead} s in the future", Moment(time)), help));
        }
        let json = |json: Option<RawJson>| json.map(|json| String::from(Box::<str>::from(json)));
        Ok(AuditEvent {
            id: self.id.unwrap_or(id),
            time_ms: time.as_millis() as i64,
            tenant: self.tenant.map(String::from).unwrap_or_default(),
            actor: self.actor,
            action: self.action,
            target: self.target,
            ip: self.ip.map(|ip| ip.to_string()),
            user_agent: self.user_agent,
            request_id: self.request_id,
            before: json(self.before),
            after: json(self.after),
            metadata: json(self.metadata),
        })
    }

    /// Bytes of all texts and JSON.
    fn bytes(&self) -> usize {
        let texts = [&self.target, &self.user_agent, &self.request_id];
        let jsons = [&self.before, &self.after, &self.metadata];
        self.actor.len()
            + self.action.len()
            + texts.iter().map(|text| text.as_ref().map_or(0, String::len)).sum::<usize>()
            + jsons.iter().map(|json| json.as_ref().map_or(0, |json| json.get().len())).sum::<usize>()
    }
}

impl AuditEvent {
    /// The event as a caller would send it. An error if a store gave back what no caller could have sent.
    pub fn to_draft(&self) -> Result<EventDraft, Invalid> {
        let changed = |field: &str| Invalid::new(field, "is not what can have been stored", "verify the audit trail");
        let json = |field: &str, text: &Option<String>| -> Result<Option<RawJson>, Invalid> {
            let Some(text) = text else { return Ok(None) };
            serde_json::value::RawValue::from_string(text.clone()).map(Some).map_err(|_| changed(field))
        };
        let time = u64::try_from(self.time_ms).map_err(|_| changed("time"))?;
        Ok(EventDraft {
            id: Some(self.id),
            time: Some(Moment(Timestamp::from_millis(time))),
            actor: self.actor.clone(),
            action: self.action.clone(),
            target: self.target.clone(),
            tenant: Some(self.tenant.as_str()).filter(|name| !name.is_empty()).map(str::parse).transpose()?,
            ip: self.ip.as_deref().map(str::parse).transpose().map_err(|_| changed("ip"))?,
            user_agent: self.user_agent.clone(),
            request_id: self.request_id.clone(),
            before: json("before", &self.before)?,
            after: json("after", &self.after)?,
            metadata: json("metadata", &self.metadata)?,
        })
    }
}

/// The time in an id of version 7.
fn time_of(id: Uuid) -> Option<Timestamp> {
    let (seconds, nanos) = (id.get_version_num() == 7).then(|| id.get_timestamp())??.to_unix();
    Some(Timestamp::from_millis(seconds * 1_000 + u64::from(nanos) / 1_000_000))
}

fn name(field: &str, text: &str, help: &str) -> Result<(), Invalid> {
    if text.trim().is_empty() {
        return Err(Invalid::new(field, "is missing", help));
    }
    bounded(field, text, MAX_NAME)
}

fn bounded(field: &str, text: &str, most: usize) -> Result<(), Invalid> {
    if text.len() > most {
        return Err(Invalid::new(field, format!("is {} bytes long", text.len()), format!("use at most {most}")));
    }
    match text.chars().find(|c| c.is_control()) {
        Some(bad) => Err(Invalid::new(field, format!("contains {bad:?}"), "leave control characters out")),
        None => Ok(()),
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.rfc3339())
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "a time is RFC 3339, e.g. 2026-01-31T09:30:00Z, or milliseconds since 1970")]
        enum Form {
            Millis(u64),
            Text(String),
        }
        let millis = match Form::deserialize(deserializer)? {
            Form::Millis(millis) => millis,
            Form::Text(text) => {
                let problem = |what: &str| {
                    serde::de::Error::custom(format!("{text:?} {what}; use RFC 3339, e.g. 2026-01-31T09:30:00Z"))
                };
                let time: jiff::Timestamp = text.parse().map_err(|_| problem("is not a time with its zone"))?;
                u64::try_from(time.as_millisecond()).map_err(|_| problem("lies before 1970"))?
            }
        };
        let known = i64::try_from(millis).is_ok_and(|millis| jiff::Timestamp::from_millisecond(millis).is_ok());
        if !known {
            return Err(serde::de::Error::custom(format!("{millis} ms is no time of this calendar")));
        }
        Ok(Self(Timestamp::from_millis(millis)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    fn read(text: &str) -> Result<EventDraft, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_left_open_is_filled_in_and_json_is_kept_as_it_was() {
        let text = r#"{"actor":"user:42","action":"order.refund","tenant":"acme","ip":"::1","after":{"b":1.00,"a":12345678901234567890}}"#;
        let event = read(text).unwrap().complete(Uuid::from_u128(7), NOW).unwrap();
        assert_eq!((event.id, event.time_ms, event.tenant.as_str()), (Uuid::from_u128(7), 1_700_000_000_000, "acme"));
        assert_eq!(event.after.as_deref().unwrap(), r#"{"b":1.00,"a":12345678901234567890}"#);
        let written = serde_json::to_string(&event.to_draft().unwrap()).unwrap();
        assert!(written.contains(r#""time":"2023-11-14T22:13:20.000Z""#), "{written}");
        assert_eq!(read(&written).unwrap().complete(Uuid::nil(), Timestamp::default()).unwrap_err().field, "time");
        assert_eq!(read(&written).unwrap().complete(Uuid::nil(), NOW).unwrap(), event);
    }

    #[test]
    fn times_are_read_in_both_forms() {
        for text in [r#""2023-11-14T22:13:20.000Z""#, r#""2023-11-15T06:13:20+08:00""#, "1700000000000"] {
            assert_eq!(serde_json::from_str::<Moment>(text).unwrap(), Moment(NOW), "{text}");
        }
        for (text, part) in [
            (r#""2023-11-14""#, "is not a time with its zone"),
            (r#""1969-12-31T23:59:59Z""#, "before 1970"),
            ("-1", "RFC 3339"),
            ("18446744073709551615", "no time"),
            ("true", "RFC 3339"),
        ] {
            let error = serde_json::from_str::<Moment>(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn without_a_time_an_id_of_version_7_tells_it() {
        let sent = |id: &str| EventDraft { id: Some(id.parse().unwrap()), ..EventDraft::new("a", "b") };
        let draft = sent("018bcfe5-687b-7000-8000-000000000001");
        assert_eq!(draft.complete(Uuid::nil(), NOW.plus(Duration::from_hours(1))).unwrap().time_ms, 1_700_000_000_123);
        let other = sent("018bcfe5-687b-4000-8000-000000000001");
        assert_eq!(other.complete(Uuid::nil(), NOW).unwrap().time_ms, 1_700_000_000_000);
    }

    #[test]
    fn what_is_wrong_is_named() {
        type Change = fn(&mut EventDraft);
        let refused = |change: Change| {
            let mut draft = EventDraft::new("user:42", "order.refund");
            change(&mut draft);
            draft.complete(Uuid::nil(), NOW).unwrap_err().to_string()
        };
        let cases: [(Change, &str); 7] = [
            (|draft| draft.actor.clear(), "actor: is missing"),
            (|draft| draft.action = " ".into(), "action: is missing"),
            (|draft| draft.action = "a\0b".into(), "action: contains '\\0'"),
            (|draft| draft.actor = "a".repeat(257), "actor: is 257 bytes long"),
            (|draft| draft.target = Some("a".repeat(2_049)), "target: is 2049 bytes long"),
            (
                |draft| draft.after = serde_json::value::to_raw_value(&"a".repeat(MAX_AUDIT_BYTES)).ok(),
                "event: has 65557 bytes",
            ),
            (
                |draft| draft.time = Some(Moment(NOW.plus(Duration::from_secs(301)))),
                "time: 2023-11-14T22:18:21.000Z lies 301 s in the future",
            ),
        ];
        for (change, expected) in cases {
            let text = refused(change);
            assert!(text.starts_with(expected), "{text}");
        }
        let mut draft = EventDraft::new("user:42", "order.refund");
        draft.time = Some(Moment(NOW.plus(MAX_AUDIT_LEAD)));
        draft.complete(Uuid::nil(), NOW).unwrap();
        assert!(read(r#"{"actor":"a","action":"b","who":1}"#).unwrap_err().contains("unknown field `who`"));
        assert!(read(r#"{"actor":"a","action":"b","ip":"localhost"}"#).is_err());
    }
}
