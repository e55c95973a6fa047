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
}

impl Tick<'_> {
    /// The tick as RFC 3339 in UTC.
    pub fn instant(&self) -> String {
        let at = jiff::Timestamp::from_millisecond(self.at.as_millis() as i64).unwrap_or_default();
        format!("{at:.3}")
    }

    fn value(&self, placeholder: &Placeholder<'_>) -> String {
        let instant = |at: Timestamp| jiff::Timestamp::from_millisecond(at.as_millis() as i64).unwrap_or_default();
        let back = placeholder.back;
        let at = Timestamp::from_millis(self.at.as_millis().saturating_sub(back.as_millis() as u64));
        // Whole days are days of the calendar, also where one has 23 hours.
        let days = back.as_secs().is_multiple_of(DAY).then(|| i64::try_from(back.as_secs() / DAY).unwrap_or(i64::MAX));
        let days = days.filter(|days| *days > 0).and_then(|days| jiff::Span::new().try_days(days).ok());
        let shifted = match days.map(|days| self.zone.to_datetime(instant(self.at)).saturating_sub(days)) {
            Some(civil) => self.zone.to_timestamp(civil).unwrap_or_else(|_| instant(at)),
            None => instant(at),
        };
        let civil = self.zone.to_datetime(shifted);
        let unix_ms = shifted.as_millisecond();
        match placeholder.field {
            "tick.date" => civil.date().to_string(),
            "tick.time" => civil.strftime("%H:%M:%S").to_string(),
            "tick.local" => format!("{}{}", civil.strftime("%Y-%m-%dT%H:%M:%S"), offset(self.zone.to_offset(shifted))),
            "tick.instant" => format!("{shifted:.3}"),
            "tick.unix" => unix_ms.div_euclid(1_000).to_string(),
            "tick.unix_ms" => unix_ms.to_string(),
            "tick.year" => civil.strftime("%Y").to_string(),
            "tick.month" => civil.strftime("%m").to_string(),
            "tick.day" => civil.strftime("%d").to_string(),
            _ => self.name.to_owned(),
        }
    }
}

/// An offset as RFC 3339 has it.
fn offset(offset: jiff::tz::Offset) -> String {
    let minutes = offset.seconds() / 60;
    let sign = if minutes < 0 { '-' } else { '+' };
    format!("{sign}{:02}:{:02}", minutes.abs() / 60, minutes.abs() % 60)
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
    let (field, back) = match inner.split_once('-') {
        Some((field, back)) => {
            (field.trim(), duration::parse(back).map_err(|problem| format!("{{{{ {inner} }}}}: {problem}"))?)
        }
        None => (inner, Duration::ZERO),
    };
    let known = FIELDS.iter().find(|known| **known == field);
    known
        .map(|field| Placeholder { field, back })
        .ok_or_else(|| format!("there is no placeholder {{{{ {inner} }}}}; there are {}", FIELDS.join(", ")))
}
