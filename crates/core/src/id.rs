//! Ids of jobs: a UUIDv7 of ours, or any short text that the client chose.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::clock::{Entropy, Timestamp};
use crate::error::Invalid;
use crate::limits::MAX_ID_CHARS;

/// The id of a job, unique within its queue: `[A-Za-z0-9_.:-]{1,128}`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct JobId(std::sync::Arc<str>);

/// A new `UUIDv7` (RFC 9562) for the instant `now`.
pub(crate) fn new_uuid(now: Timestamp, entropy: &dyn Entropy) -> uuid::Uuid {
    let mut random = [0; 10];
    entropy.fill(&mut random);
    uuid::Builder::from_unix_timestamp_millis(now.as_millis(), &random).into_uuid()
}

impl JobId {
    /// A new `UUIDv7` (RFC 9562) for the instant `now`.
    pub fn generate(now: Timestamp, entropy: &dyn Entropy) -> Self {
        let uuid = new_uuid(now, entropy);
        let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
        Self((&*uuid.hyphenated().encode_lower(&mut text)).into())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for JobId {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let help = "use 1 to 128 characters of A-Z, a-z, 0-9, `_`, `.`, `:` and `-`, or leave it out";
        if text.is_empty() {
            return Err(Invalid::new("id", "is empty", help));
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | ':' | '-');
        if let Some(bad) = text.chars().find(|&c| !allowed(c)) {
            return Err(Invalid::new("id", format!("{text:?} contains {bad:?}"), help));
        }
        if text.len() > MAX_ID_CHARS {
            return Err(Invalid::new("id", format!("is {} characters long", text.len()), help));
        }
        Ok(Self(text.into()))
    }
}

impl TryFrom<String> for JobId {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

impl From<JobId> for String {
    fn from(id: JobId) -> Self {
        id.0.to_string()
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Zeros;
    impl Entropy for Zeros {
        fn fill(&self, buffer: &mut [u8]) {
            buffer.fill(0);
        }
    }

    #[test]
    fn a_generated_id_is_a_version_7_uuid_of_its_instant() {
        let id = JobId::generate(Timestamp::from_millis(0x0123_4567_89ab), &Zeros);
        assert_eq!(id.as_str(), "01234567-89ab-7000-8000-000000000000");
    }

    #[test]
    fn a_clients_id_may_not_carry_spaces_or_control_characters() {
        assert!("order:42".parse::<JobId>().is_ok());
        for bad in ["", "a b", "a\0b", "a/b", &"x".repeat(129)] {
            assert!(bad.parse::<JobId>().is_err(), "{bad:?}");
        }
    }
}
