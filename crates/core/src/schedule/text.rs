//! How durations and instants of a schedule are written: `26h`, `2026-12-01T03:00:00Z`.

#![expect(clippy::ref_option, reason = "the form that serde asks for")]

/// A duration as text.
pub(super) mod duration {
    use std::time::Duration;

    use serde::{Deserialize as _, Deserializer, Serializer, de};

    pub fn serialize<S: Serializer>(duration: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
        match duration {
            Some(duration) => to.serialize_str(&crate::duration::exact(*duration)),
            None => to.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        text.map(|text| crate::duration::parse(&text).map_err(de::Error::custom)).transpose()
    }
}

/// An instant as RFC 3339.
pub(super) mod instant {
    use serde::{Deserialize as _, Deserializer, Serializer, de};

    use crate::clock::Timestamp;

    pub fn serialize<S: Serializer>(instant: &Option<Timestamp>, to: S) -> Result<S::Ok, S::Error> {
        match instant {
            Some(instant) => to.serialize_str(&instant.rfc3339()),
            None => to.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Timestamp>, D::Error> {
        let Some(text) = Option::<String>::deserialize(from)? else { return Ok(None) };
        let at: jiff::Timestamp = text.parse().map_err(|_| {
            de::Error::custom(format!("{text:?} is not an instant; use RFC 3339, e.g. 2026-12-01T03:00:00Z"))
        })?;
        Ok(Some(Timestamp::from_millis(u64::try_from(at.as_millisecond()).unwrap_or(0))))
    }
}
