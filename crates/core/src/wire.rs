//! Wire format v1: how a job's unchanging part is stored, in Redis and in SQLite alike.
//!
//! One JSON object. Absent means default. A reader keeps fields that it does not know and writes them back
//! unchanged; a version above [`WIRE_VERSION`] is refused by name, so that an old worker leaves the job to a newer one
//! instead of running it wrongly. `tests/golden/` holds every released form; they are never edited.

use std::collections::BTreeMap;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::to_raw_value;

use crate::RawJson;
use crate::job::JobSpec;

/// The version that this build writes, and the newest that it reads.
pub const WIRE_VERSION: u32 = 1;

/// Why a stored job cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// Not this format at all, or a field of the wrong type.
    #[error("the stored job cannot be read: {0}")]
    Corrupt(String),
    /// Written by a newer release.
    #[error("the stored job has wire version {0}; this release reads up to {WIRE_VERSION}")]
    Newer(u32),
}

type Fields = BTreeMap<String, RawJson>;

impl JobSpec {
    /// The stored form.
    pub fn encode(&self) -> String {
        // Written by hand in a fixed order: the three fields that every job has come first.
        let mut text = String::with_capacity(64 + self.args.get().len());
        text.push_str("{\"v\":1,\"kind\":\"");
        text.push_str(self.kind.as_str());
        text.push_str("\",\"args\":");
        text.push_str(self.args.get());
        push(&mut text, "timeout_ms", self.timeout_ms.as_ref());
        push(&mut text, "retry", self.retry.as_ref());
        push(&mut text, "tenant", self.tenant.as_ref());
        push(&mut text, "key", self.key.as_ref());
        push(&mut text, "tags", Some(&self.tags).filter(|tags| !tags.is_empty()));
        push(&mut text, "metadata", Some(&self.metadata).filter(|entries| !entries.is_empty()));
        for (name, value) in &self.extra {
            push(&mut text, name, Some(value));
        }
        text.push('}');
        text
    }

    /// Reads the stored form.
    pub fn decode(text: &str) -> Result<Self, WireError> {
        let mut fields: Fields = serde_json::from_str(text).map_err(|error| WireError::Corrupt(error.to_string()))?;
        let version: u32 = required(&mut fields, "v")?;
        if version > WIRE_VERSION {
            return Err(WireError::Newer(version));
        }
        Ok(Self {
            kind: required(&mut fields, "kind")?,
            args: fields.remove("args").ok_or_else(|| WireError::Corrupt("field `args` is missing".into()))?,
            timeout_ms: take(&mut fields, "timeout_ms")?,
            retry: take(&mut fields, "retry")?,
            tenant: take(&mut fields, "tenant")?,
            key: take(&mut fields, "key")?,
            tags: take(&mut fields, "tags")?.unwrap_or_default(),
            metadata: take(&mut fields, "metadata")?.unwrap_or_default(),
            extra: fields,
        })
    }
}

fn push(text: &mut String, name: &str, value: Option<&impl Serialize>) {
    // These types always serialise: plain structs, strings and raw JSON.
    let Some(json) = value.and_then(|value| to_raw_value(value).ok()) else { return };
    let Ok(name) = serde_json::to_string(name) else { return };
    text.push(',');
    text.push_str(&name);
    text.push(':');
    text.push_str(json.get());
}

fn take<T: DeserializeOwned>(fields: &mut Fields, name: &str) -> Result<Option<T>, WireError> {
    let Some(raw) = fields.remove(name) else { return Ok(None) };
    serde_json::from_str(raw.get()).map(Some).map_err(|error| WireError::Corrupt(format!("field `{name}`: {error}")))
}

fn required<T: DeserializeOwned>(fields: &mut Fields, name: &str) -> Result<T, WireError> {
    take(fields, name)?.ok_or_else(|| WireError::Corrupt(format!("field `{name}` is missing")))
}
