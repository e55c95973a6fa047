//! Instants as people read and write them: RFC 3339 in UTC, with milliseconds.

use std::fmt;

use jiff::tz::TimeZone;
use lovage_core::Timestamp;
use serde::{Serialize, Serializer};

/// A timestamp that shows itself as `2026-11-24T03:00:00.000Z`, in text and in JSON.
#[derive(Debug, Clone, Copy)]
pub struct Instant(pub Timestamp);

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0.rfc3339())
    }
}

impl Serialize for Instant {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The instant in few characters: the time alone if it is of the same day as `now`, `12:00:30Z`, or else the day and
/// the minute, `2026-11-24T12:00Z`.
pub fn short(at: Timestamp, now: Timestamp) -> String {
    let (text, today) = (Instant(at).to_string(), Instant(now).to_string());
    match (text.split_once('T'), today.split_once('T')) {
        (Some((day, time)), Some((today, _))) if day == today => format!("{}Z", time.get(..8).unwrap_or(time)),
        (Some((day, time)), _) => format!("{day}T{}Z", time.get(..5).unwrap_or(time)),
        _ => text,
    }
}

/// Reads an instant: RFC 3339 with an offset or `Z`; without either it is taken as UTC.
pub fn parse(text: &str) -> Result<Timestamp, String> {
    let help = "use RFC 3339, e.g. 2026-11-24T03:00:00Z or 2026-11-24T03:00:00+01:00";
    let at: jiff::Timestamp = match text.trim().parse() {
        Ok(at) => at,
        Err(error) => text
            .trim()
            .parse::<jiff::civil::DateTime>()
            .ok()
            .and_then(|civil| TimeZone::UTC.to_timestamp(civil).ok())
            .ok_or_else(|| format!("{text:?} is not an instant ({error}); {help}"))?,
    };
    // What lies before 1970 lies in the past all the same.
    Ok(Timestamp::from_millis(u64::try_from(at.as_millisecond()).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_read_in_any_zone_and_shown_in_utc() {
        for text in ["2026-11-24T03:00:00Z", "2026-11-24T04:00:00+01:00", "2026-11-24T03:00:00"] {
            assert_eq!(Instant(parse(text).unwrap()).to_string(), "2026-11-24T03:00:00.000Z", "{text}");
        }
    }

    #[test]
    fn an_instant_of_today_is_shown_without_its_day() {
        let at = |text: &str| parse(text).unwrap();
        let now = at("2026-11-24T03:00:00Z");
        assert_eq!(short(at("2026-11-24T12:00:30.250Z"), now), "12:00:30Z");
        assert_eq!(short(at("2026-11-25T00:00:30Z"), now), "2026-11-25T00:00Z");
    }

    #[test]
    fn something_else_is_refused_with_an_example() {
        let error = parse("tomorrow").unwrap_err();
        assert!(error.contains("tomorrow") && error.contains("RFC 3339"), "{error}");
    }

    #[test]
    fn the_past_before_1970_is_simply_past() {
        assert_eq!(parse("1950-01-01T00:00:00Z").unwrap().as_millis(), 0);
    }
}
