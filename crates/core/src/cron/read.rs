//! From the text of a schedule to what it means.

use jiff::civil::DateTime;

use crate::clock::Timestamp;
use crate::cron::fields::Fields;
use crate::cron::part::{Part, invalid};
use crate::cron::sets::{self, HOUR, MINUTE, MONTH, SECOND};
use crate::cron::{Form, MAX_EXPRESSION_CHARS, Recurrence};
use crate::duration;
use crate::error::Invalid;
use crate::nearest;

const EXAMPLE: &str = "use five fields, minute hour day-of-month month day-of-week, as in `0 3 * * *`";
const SHORTHANDS: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];
const AT_HELP: &str = "use a time with its offset, as in `@at 2026-12-01T03:00:00Z`, or one without, \
    `@at 2026-12-01T03:00:00`, which is of the schedule's zone";

pub(super) fn recurrence(text: &str) -> Result<Recurrence, Invalid> {
    let limit = || format!("use at most {MAX_EXPRESSION_CHARS}");
    if text.chars().nth(MAX_EXPRESSION_CHARS).is_some() {
        return Err(invalid(format!("is longer than {MAX_EXPRESSION_CHARS} characters"), limit()));
    }
    let words = Part::words(text);
    let Some(first) = words.first() else { return Err(invalid("is empty", EXAMPLE)) };
    let form = if first.text.starts_with('@') { shorthand(*first, text)? } else { Form::Fields(fields(&words)?) };
    let recurrence = Recurrence(form);
    if recurrence.to_string().len() > MAX_EXPRESSION_CHARS {
        let problem = format!("is longer than {MAX_EXPRESSION_CHARS} characters when its lists are written out");
        return Err(invalid(problem, limit()));
    }
    Ok(recurrence)
}

fn fields(words: &[Part<'_>]) -> Result<Fields, Invalid> {
    // `TZ=` and `CRON_TZ=` of other crons.
    if let Some(setting) = words.first().filter(|word| word.text.contains('=')) {
        let help = "leave it out: the zone has a field of its own in the schedule";
        return Err(setting.invalid("setting", "is no part of an expression", help));
    }
    let (seconds, rest) = match words {
        [second, rest @ ..] if words.len() == 6 => (SECOND.set(*second)?, rest),
        _ => (1, words),
    };
    let [minute, hour, day, month, weekday] = rest else {
        let help = format!("{EXAMPLE}, or six with the second first");
        return Err(invalid(format!("has {} fields", words.len()), help));
    };
    Ok(Fields {
        seconds,
        minutes: MINUTE.set(*minute)?,
        hours: HOUR.set(*hour)?,
        days: sets::days(*day)?,
        months: MONTH.set(*month)?,
        weekdays: sets::weekdays(*weekday)?,
    })
}

/// The forms that begin with `@`.
fn shorthand(word: Part<'_>, text: &str) -> Result<Form, Invalid> {
    let name = word.text.to_ascii_lowercase();
    let words = Part::words(text);
    let value = words.get(1).map(|first| Part { text: tail(text, *first), ..*first });
    match name.as_str() {
        "@every" => every(value.ok_or_else(|| invalid("@every: an interval is missing", "as in `@every 5m`"))?),
        "@at" => at(value.ok_or_else(|| invalid("@at: a time is missing", AT_HELP))?),
        _ => {
            let Some((_, meaning)) = SHORTHANDS.iter().find(|(known, _)| *known == name) else {
                return Err(unknown(word, &name));
            };
            match value {
                Some(more) => Err(more.invalid(&name, "is too much", format!("`{name}` stands alone"))),
                None => Ok(Form::Fields(fields(&Part::words(meaning))?)),
            }
        }
    }
}

fn unknown(word: Part<'_>, name: &str) -> Invalid {
    let mut known: Vec<&str> = SHORTHANDS.iter().map(|(known, _)| *known).collect();
    known.extend(["@every", "@at"]);
    let meant = nearest(name, known.iter().copied()).map(|name| format!("did you mean `{name}`? ")).unwrap_or_default();
    let problem = "is no shorthand that is known";
    word.invalid("shorthand", problem, format!("{meant}use one of {}", known.join(", ")))
}

/// The text from a word on, without the spaces at its end.
fn tail<'a>(text: &'a str, from: Part<'_>) -> &'a str {
    let start = text.char_indices().nth(from.column - 1).map_or(text.len(), |(at, _)| at);
    text[start..].trim_end()
}

fn every(value: Part<'_>) -> Result<Form, Invalid> {
    let interval = duration::parse(value.text).map_err(|error| {
        let (problem, help) = error.split_once("; ").unwrap_or((&error, ""));
        invalid(format!("@every: {problem} at column {}", value.column), help)
    })?;
    let millis = interval.as_millis() as u64;
    if millis < 1_000 {
        return Err(value.invalid("@every", "is too short", "use at least `@every 1s`"));
    }
    Ok(Form::Every(millis))
}

fn at(value: Part<'_>) -> Result<Form, Invalid> {
    // A zone in brackets would be looked up, and one time must not have two zones.
    if value.text.contains('[') {
        return Err(value.invalid("@at", "has a zone in brackets", AT_HELP));
    }
    let millis = if let Ok(instant) = value.text.parse::<jiff::Timestamp>() {
        instant.as_millisecond()
    } else {
        let civil = value.text.parse::<DateTime>().map_err(|_| value.invalid("@at", "is not a time", AT_HELP))?;
        let millis = jiff::tz::Offset::UTC.to_timestamp(civil).map(jiff::Timestamp::as_millisecond);
        let millis = millis.map_err(|_| value.invalid("@at", "is too late", AT_HELP))?;
        return if millis < 0 { Err(too_early(value)) } else { Ok(Form::AtCivil(millis)) };
    };
    u64::try_from(millis).map(|millis| Form::At(Timestamp::from_millis(millis))).map_err(|_| too_early(value))
}

fn too_early(value: Part<'_>) -> Invalid {
    value.invalid("@at", "lies before 1970", "use a time that is still to come")
}
