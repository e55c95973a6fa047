//! When a schedule runs: the expressions, the instants that they mean in a time zone, and what they say in words.
//!
//! A zone and an instant come in as arguments; nothing here reads a clock or a time zone database.
//!
//! # Expressions
//!
//! | text | means |
//! |---|---|
//! | `30 3 * * *` | minute, hour, day of month, month, day of week: at 03:30 every day |
//! | `15 30 3 * * *` | the same with the second first: at 03:30:15 |
//! | `@yearly` `@annually` `@monthly` `@weekly` `@daily` `@midnight` `@hourly` | the beginning of each |
//! | `@every 90m` | every 90 minutes, counted from 1970-01-01T00:00:00Z; at least `1s` |
//! | `@at 2026-12-01T03:00:00Z`, `@at 2026-12-01T03:00:00` | once, at an instant, or at a time of the schedule's zone |
//!
//! A field is a list of `*`, values, ranges `a-b` (also `fri-mon`, `22-2`) and steps `*/n`, `a-b/n`, `a/n`. Months and
//! days of the week have names, `jan` to `dec` and `mon` to `sun`; 0 and 7 are Sunday. The day of month also takes `?`
//! for `*`, `L` (the last day), `LW` (the last from Monday to Friday) and `15W` (from Monday to Friday the nearest to
//! day 15, in the same month); the day of week `?`, `friL` (the last Friday) and `mon#2` (the second Monday). If both
//! day fields are restricted, a day matches that satisfies either; a field that begins with `*` or `?` is not restricted.
//!
//! # Time zones
//!
//! An expression is evaluated in the civil time of the zone. Where the zone's clocks are changed:
//!
//! 1. **Hours that are named.** If the hour field leaves out any hour (`0 3 * * *`, `*/5 9-17 * * *`, `0 */2 * * *`),
//!    each civil time counts once. One that exists twice runs at the first of the two. One that is skipped runs at
//!    the first instant after the gap; all that one gap skips are one run together, and none of their own if the
//!    schedule runs at that instant anyway.
//! 2. **Every hour.** If the hour field holds all hours (`*`, `*/1`, `0-23`), the schedule counts hours. A civil time
//!    that exists twice runs twice. What a gap of whole hours skips is not made up for: 01:30 and 03:30 are then one
//!    hour apart. What any other gap skips (Lord Howe Island: 30 minutes) is made up for as in rule 1.
//! 3. **A day that is skipped as a whole** (Samoa, 2011-12-30) is not in that zone's calendar: nothing runs for it.
//! 4. `@at` without an offset always runs: at the first of two, or at the first instant after a gap, also after a
//!    skipped day.
//! 5. `@every` and `@at` with an offset count instants and know no zone.

mod describe;
mod fields;
mod part;
mod read;
mod sets;
mod show;
mod zone;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::tz::{Offset, TimeZone};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::clock::Timestamp;
use crate::duration;
use crate::error::Invalid;
use fields::Fields;

/// Longest text of an expression in characters; its canonical text is held to the same.
pub const MAX_EXPRESSION_CHARS: usize = 256;

/// When something runs again and again, or once. Its text is an expression of the [module](self).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Recurrence(Form);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Form {
    /// Civil times that fields name.
    Fields(Fields),
    /// Multiples of so many milliseconds since the epoch.
    Every(u64),
    /// One instant.
    At(Timestamp),
    /// One civil time, in milliseconds since 1970-01-01T00:00:00 of whatever zone.
    AtCivil(i64),
}

impl Recurrence {
    /// Reads an expression.
    ///
    /// The error's field is `cron`; its problem names the field of the expression and the column, in characters from 1.
    ///
    /// ```
    /// use lovage_core::cron::Recurrence;
    ///
    /// let weekly = Recurrence::parse("30 9 * * 1-5")?;
    /// assert_eq!(weekly.to_string(), "30 9 * * mon-fri");
    /// let error = Recurrence::parse("60 9 * * *").unwrap_err();
    /// assert_eq!(error.to_string(), "cron: minute: 60 at column 1 is out of range; use 0 to 59");
    /// # Ok::<(), lovage_core::Invalid>(())
    /// ```
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        read::recurrence(text)
    }

    /// The first run after `after`, which is not a run of this answer itself; `None` if there is none any more.
    pub fn next(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        match self.0 {
            Form::Fields(ref fields) => zone::next(fields, after, zone),
            Form::Every(millis) => {
                let next = (after.as_millis() / millis).checked_add(1)?.checked_mul(millis)?;
                // Beyond the year 9999 no time can be shown or read.
                let last = jiff::Timestamp::MAX.as_millisecond();
                i64::try_from(next).is_ok_and(|next| next <= last).then_some(Timestamp::from_millis(next))
            }
            Form::At(at) => (at > after).then_some(at),
            Form::AtCivil(civil) => zone::once(civil, zone).filter(|at| *at > after),
        }
    }

    /// Whether it names one time, after which it never runs again.
    pub fn is_once(&self) -> bool {
        matches!(self.0, Form::At(_) | Form::AtCivil(_))
    }

    /// The interval of `@every`.
    pub fn interval(&self) -> Option<Duration> {
        match self.0 {
            Form::Every(millis) => Some(Duration::from_millis(millis)),
            _ => None,
        }
    }

    /// What the clocks of the zone do at the run `tick`, if that needs a word: `02:30 does not exist on this day: clocks
    /// go from 02:00 to 03:00`. `None` for an instant that is no run.
    pub fn note(&self, tick: Timestamp, zone: &TimeZone) -> Option<String> {
        match self.0 {
            Form::Fields(ref fields) => zone::note(fields, tick, zone),
            Form::AtCivil(civil) => zone::note_once(civil, tick, zone),
            Form::Every(_) | Form::At(_) => None,
        }
    }

    /// The expression in English: `at 03:00 every day`.
    pub fn describe(&self) -> String {
        match self.0 {
            Form::Fields(ref fields) => describe::fields(fields),
            Form::Every(millis) => format!("every {}, counted from 1970-01-01T00:00:00Z", describe::interval(millis)),
            Form::At(at) => format!("once, at {}", utc_text(at.as_millis() as i64, "Z")),
            Form::AtCivil(civil) => format!("once, at {} in the schedule's time zone", utc_text(civil, "")),
        }
    }
}

impl fmt::Display for Recurrence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Form::Fields(ref fields) => fields.fmt(f),
            Form::Every(millis) => write!(f, "@every {}", duration::exact(Duration::from_millis(millis))),
            Form::At(at) => write!(f, "@at {}", utc_text(at.as_millis() as i64, "Z")),
            Form::AtCivil(civil) => write!(f, "@at {}", utc_text(civil, "")),
        }
    }
}

/// Milliseconds as a date and a time, which are in range because they were read from such a text.
fn utc_text(millis: i64, ending: &str) -> String {
    let at = jiff::Timestamp::from_millisecond(millis).unwrap_or_default();
    format!("{}{ending}", Offset::UTC.to_datetime(at))
}

impl FromStr for Recurrence {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        Self::parse(text)
    }
}

impl Serialize for Recurrence {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Recurrence {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}
