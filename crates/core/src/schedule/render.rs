//! Placeholders in a schedule's arguments: `{{ tick.date }}`, `{{ tick.date - 1d }}`.
//!
//! They stand in texts of JSON, and what they become needs no escape there, so the arguments are never taken apart: big numbers and
//! the order of keys stay. Nothing but a text can have `{{` in JSON.

use std::time::Duration;

use jiff::tz::TimeZone;

use crate::clock::Timestamp;
use crate::duration;

/// What placeholders are about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tick<'a> {
    pub name: &'a str,
    pub at: Timestamp,
    pub zone: &'a TimeZone,
}

const DAY: u64 = 24 * 60 * 60;

/// What a placeholder may be.
const FIELDS: [&str; 10] = [
    "tick.date",
    "tick.time",
    "tick.local",
    "tick.instant",
    "tick.unix",
    "tick.unix_ms",
    "tick.year",
    "tick.month",
    "tick.day",
    "schedule.name",
];

/// A placeholder that was read.
struct Placeholder<'t> {
    field: &'t str,
    /// Subtracted from the tick.
    back: Duration,
    /// Whether it was written in days, which are those of the calendar.
    in_days: bool,
}

impl Tick<'_> {
    fn value(&self, placeholder: &Placeholder<'_>) -> String {
        let at = jiff::Timestamp::from_millisecond(self.at.as_millis() as i64).unwrap_or_default();
        let at = at.to_zoned_datetime(self.zone.clone());
        let back = placeholder.back;
        // Days are those of the calendar, also where one has 23 hours; 24h are 24 hours.
        let days = (placeholder.in_days && back.as_secs().is_multiple_of(DAY))
            .then(|| i64::try_from(back.as_secs() / DAY).unwrap_or(i64::MAX));
        let shifted = match days.and_then(|days| jiff::Span::new().try_days(days).ok()) {
            Some(days) => at.saturating_sub(days),
            None => at.saturating_sub(back),
        };
        let unix_ms = shifted.timestamp().as_millisecond();
        match placeholder.field {
            "tick.date" => shifted.date().to_string(),
            "tick.time" => shifted.strftime("%H:%M:%S").to_string(),
            "tick.local" => shifted.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
            "tick.instant" => format!("{:.3}", shifted.timestamp()),
            "tick.unix" => unix_ms.div_euclid(1_000).to_string(),
            "tick.unix_ms" => unix_ms.to_string(),
            "tick.year" => shifted.strftime("%Y").to_string(),
            "tick.month" => shifted.strftime("%m").to_string(),
            "tick.day" => shifted.strftime("%d").to_string(),
            _ => self.name.to_owned(),
        }
    }
}

/// Whether all placeholders can be read; the error says which cannot.
pub(super) fn check(json: &str) -> Result<(), String> {
    parts(json).try_for_each(|part| part.map(drop))
}

/// The JSON with its placeholders replaced. Those that cannot be read stay.
pub(super) fn render(json: &str, tick: &Tick<'_>) -> String {
    let mut text = String::with_capacity(json.len());
    for part in parts(json) {
        match part {
            Ok(Part::Plain(plain)) => text.push_str(plain),
            Ok(Part::Placeholder(placeholder)) => text.push_str(&tick.value(&placeholder)),
            Err(_) => return json.to_owned(),
        }
    }
    text
}

enum Part<'t> {
    Plain(&'t str),
    Placeholder(Placeholder<'t>),
}

fn parts(json: &str) -> impl Iterator<Item = Result<Part<'_>, String>> {
    let mut rest = json;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let Some(inside) = rest.strip_prefix("{{") else {
            let end = rest.find("{{").unwrap_or(rest.len());
            let (plain, tail) = rest.split_at(end);
            rest = tail;
            return Some(Ok(Part::Plain(plain)));
        };
        let Some((inner, tail)) = inside.split_once("}}") else {
            rest = "";
            return Some(Err("a placeholder {{ is not closed".to_owned()));
        };
        rest = tail;
        Some(placeholder(inner.trim()).map(Part::Placeholder))
    })
}

fn placeholder(inner: &str) -> Result<Placeholder<'_>, String> {
    let (field, back, in_days) = match inner.split_once('-') {
        Some((field, back)) => {
            let length = duration::parse(back).map_err(|problem| format!("{{{{ {inner} }}}}: {problem}"))?;
            (field.trim(), length, back.contains(['d', 'w']))
        }
        None => (inner, Duration::ZERO, false),
    };
    let known = FIELDS.iter().find(|known| **known == field);
    known
        .map(|field| Placeholder { field, back, in_days })
        .ok_or_else(|| format!("there is no placeholder {{{{ {inner} }}}}; there are {}", FIELDS.join(", ")))
}
