//! Values that are ranges: of numbers and of time.

use std::fmt::Display;

use crate::clock::Timestamp;
use crate::duration;
use crate::error::Invalid;
use crate::filter::lex::{Word, invalid};
use crate::filter::{NumberRange, TimeRange};

const NUMBER_HELP: &str = "use a number from 0 to 4294967295: attempt:3, attempt:>2, attempt:<=5 or attempt:2..4";
const TIME_HELP: &str = "use an age as in created:<1h or created:>7d, a date as in created:2026-11-26 or \
                         created:2026-11-01..2026-11-30, or an instant as in created:>=2026-11-26T08:00:00Z";
/// Milliseconds of a day of UTC.
pub(super) const DAY: u64 = 86_400_000;
/// The first instant that is not accepted: 9999-01-01, well within what can be written as a date.
pub(super) const END: u64 = 253_370_764_800_000;

#[derive(Clone, Copy)]
enum Operator {
    Less,
    LessOrEqual,
    More,
    MoreOrEqual,
}

fn operator(text: &str) -> Option<(Operator, &str)> {
    // The longer ones first, for each begins with a shorter one.
    let all =
        [("<=", Operator::LessOrEqual), (">=", Operator::MoreOrEqual), ("<", Operator::Less), (">", Operator::More)];
    all.into_iter().find_map(|(sign, operator)| Some((operator, text.strip_prefix(sign)?)))
}

pub(super) fn number_range(word: &Word) -> Result<NumberRange, Invalid> {
    let wrong = |problem: &str| invalid(word.column, &format!("{:?} {problem}", word.text), NUMBER_HELP);
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| text.parse::<u32>().ok()).flatten().ok_or_else(|| wrong("is not a number or a range"))
    };
    let end = |text: &str| if text.is_empty() { Ok(None) } else { number(text).map(Some) };
    let range = if let Some((operator, text)) = operator(&word.text) {
        let n = number(text)?;
        let none = || wrong("holds no number");
        match operator {
            Operator::Less => NumberRange { from: None, to: Some(n.checked_sub(1).ok_or_else(none)?) },
            Operator::LessOrEqual => NumberRange { from: None, to: Some(n) },
            Operator::More => NumberRange { from: Some(n.checked_add(1).ok_or_else(none)?), to: None },
            Operator::MoreOrEqual => NumberRange { from: Some(n), to: None },
        }
    } else if let Some((from, to)) = word.text.split_once("..") {
        NumberRange { from: end(from)?, to: end(to)? }
    } else {
        let n = Some(number(&word.text)?);
        NumberRange { from: n, to: n }
    };
    match (range.from, range.to) {
        (None, None) => Err(wrong("has no end")),
        (Some(from), Some(to)) if from > to => Err(wrong("ends before it begins")),
        _ => Ok(range),
    }
}

/// A point of time as it was written.
enum Point {
    /// Milliseconds before now.
    Age(u64),
    /// Milliseconds since 1970 of the day's begin in UTC.
    Date(u64),
    /// Whole milliseconds since 1970, and whether a part of one was cut off.
    Instant(u64, bool),
}

pub(super) fn time_range(word: &Word, now: Timestamp) -> Result<TimeRange, Invalid> {
    let wrong = |problem: &str| invalid(word.column, &format!("{:?} {problem}", word.text), TIME_HELP);
    if let Some((operator, text)) = operator(&word.text) {
        return Ok(compared(operator, &point(text).map_err(|e| wrong(&e))?, now));
    }
    let Some((from, to)) = word.text.split_once("..") else {
        return match point(&word.text).map_err(|e| wrong(&e))? {
            Point::Date(day) => Ok(range(Some(day), Some(day + DAY))),
            Point::Age(_) => Err(wrong("is an age without < or >")),
            Point::Instant(..) => Err(wrong("is an instant without < or >")),
        };
    };
    let end = |text: &str| if text.is_empty() { Ok(None) } else { point(text).map(Some).map_err(|e| wrong(&e)) };
    let first = match end(from)? {
        Some(Point::Age(_)) => return Err(wrong("has an age in a range")),
        Some(Point::Date(at)) => Some(at),
        Some(Point::Instant(at, cut)) => Some(at + u64::from(cut)),
        None => None,
    };
    let until = match end(to)? {
        Some(Point::Age(_)) => return Err(wrong("has an age in a range")),
        Some(Point::Date(at)) => Some(at + DAY),
        Some(Point::Instant(at, _)) => Some(at + 1),
        None => None,
    };
    match (first, until) {
        (None, None) => Err(wrong("has no end")),
        (Some(first), Some(until)) if first >= until => Err(wrong("ends before it begins")),
        _ => Ok(range(first, until)),
    }
}

fn range(from: Option<u64>, until: Option<u64>) -> TimeRange {
    TimeRange { from: from.map(Timestamp::from_millis), until: until.map(Timestamp::from_millis) }
}

/// The range of what compares so with the point. An age grows into the past, so its operators turn round.
fn compared(operator: Operator, point: &Point, now: Timestamp) -> TimeRange {
    use Operator::{Less, LessOrEqual, More, MoreOrEqual};
    let now = now.as_millis().min(END - 1);
    match *point {
        Point::Age(age) => match (operator, now.checked_sub(age)) {
            // So old that everything is younger.
            (Less | LessOrEqual, None) => range(Some(0), None),
            (More | MoreOrEqual, None) => range(None, Some(0)),
            (Less, Some(at)) => range(Some(at + 1), None),
            (LessOrEqual, Some(at)) => range(Some(at), None),
            (More, Some(at)) => range(None, Some(at)),
            (MoreOrEqual, Some(at)) => range(None, Some(at + 1)),
        },
        Point::Date(at) => beside(operator, at, false),
        Point::Instant(at, cut) => beside(operator, at, cut),
    }
}

/// `cut` says that the instant lies a part of a millisecond after `at`.
fn beside(operator: Operator, at: u64, cut: bool) -> TimeRange {
    match operator {
        Operator::Less => range(None, Some(at + u64::from(cut))),
        Operator::LessOrEqual => range(None, Some(at + 1)),
        Operator::More => range(Some(at + 1), None),
        Operator::MoreOrEqual => range(Some(at + u64::from(cut)), None),
    }
}

fn point(text: &str) -> Result<Point, String> {
    let shape = |c: char| if c.is_ascii_digit() { '0' } else { c };
    let shaped: String = text.chars().map(shape).collect();
    if shaped == "0000-00-00" {
        let day = format!("{text}T00:00:00Z");
        return Ok(Point::Date(instant(&day).map_err(|e| format!("has a date that {e}"))?.0));
    }
    if shaped.starts_with("0000-00-00") {
        let (at, cut) = instant(text).map_err(|e| format!("has an instant that {e}"))?;
        return Ok(Point::Instant(at, cut));
    }
    let age = text.strip_suffix("ago").map_or(text, str::trim_end);
    let age = duration::parse(age).map_err(|_| "is neither an age nor a date nor an instant".to_owned())?;
    Ok(Point::Age(age.as_millis() as u64))
}

/// Whole milliseconds, and whether a part was cut off.
fn instant(text: &str) -> Result<(u64, bool), String> {
    let unread = |_: jiff::Error| "does not exist, or has no `Z` or offset at its end".to_owned();
    let instant: jiff::Timestamp = text.parse().map_err(unread)?;
    let nanos = instant.as_nanosecond();
    let out = |_| "is not from 1970 to 9998".to_owned();
    let millis = u64::try_from(nanos.div_euclid(1_000_000)).map_err(out)?;
    if millis >= END {
        return Err("is not from 1970 to 9998".to_owned());
    }
    Ok((millis, nanos.rem_euclid(1_000_000) != 0))
}

/// An instant as [`time_range`] reads it: with milliseconds, in UTC.
pub(super) fn written(millis: u64) -> impl Display {
    let millis = millis.min(END - 1) as i64;
    let instant = jiff::Timestamp::from_millisecond(millis).unwrap_or_default();
    format!("{instant:.3}")
}
