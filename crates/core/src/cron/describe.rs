//! An expression in plain English. Common forms have a short sentence; every other has a general one that says the same
//! as the fields.

use crate::cron::fields::{Days, Fields, Weekdays};
use crate::cron::sets::{DAY, HOUR, MINUTE, MONTH, SECOND, WEEKDAY};
use crate::cron::show::{members, monday_first, progression, runs};

/// Most times of a day that are told one by one.
const MOST_TIMES: u32 = 6;
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const ORDINALS: [&str; 5] = ["first", "second", "third", "fourth", "fifth"];

pub(super) fn fields(fields: &Fields) -> String {
    let never = if fields.first(0).is_none() { ", which never comes" } else { "" };
    format!("{}{never}", sentence(fields))
}

fn sentence(fields: &Fields) -> String {
    let days = days(fields);
    match times(fields) {
        Some(times) if days.is_empty() => format!("at {times} every day"),
        Some(times) if days.starts_with(" in ") => format!("at {times} every day{days}"),
        Some(times) => format!("at {times}{days}"),
        None => format!("{}{days}", repeated(fields)),
    }
}

/// An interval after the word `every`: `minute`, `90 seconds`, `1 day 12 hours`.
pub(super) fn interval(millis: u64) -> String {
    let units = [("day", 86_400_000), ("hour", 3_600_000), ("minute", 60_000), ("second", 1_000), ("millisecond", 1)];
    let mut rest = millis;
    let mut parts = Vec::new();
    for (name, factor) in units {
        let count = rest / factor;
        rest %= factor;
        match count {
            0 => {}
            1 if rest == 0 && parts.is_empty() => return name.to_owned(),
            1 => parts.push(format!("1 {name}")),
            _ => parts.push(format!("{count} {name}s")),
        }
    }
    parts.join(" ")
}

/// The times of a day, if they are few.
fn times(fields: &Fields) -> Option<String> {
    let second = fields.seconds.trailing_zeros();
    if !fields.seconds.is_power_of_two() || fields.minutes.count_ones() * fields.hours.count_ones() > MOST_TIMES {
        return None;
    }
    let minutes = |hour: u32| members(fields.minutes).map(move |minute| (hour, minute));
    let times = members(fields.hours).flat_map(minutes).map(|(hour, minute)| match second {
        0 => format!("{hour:02}:{minute:02}"),
        _ => format!("{hour:02}:{minute:02}:{second:02}"),
    });
    Some(joined(&times.collect::<Vec<_>>(), "and"))
}

/// Times that are too many to tell.
fn repeated(fields: &Fields) -> String {
    let whole_minutes = fields.seconds == 1;
    if whole_minutes && fields.minutes == 1 {
        if let Some((low, high)) = one_run(fields.hours) {
            let all = fields.every_hour();
            return if all { "every hour".to_owned() } else { format!("every hour from {low:02}:00 to {high:02}:00") };
        }
        if let Some(step) = even_step(fields.hours, HOUR.all()) {
            return format!("every {step} hours from 00:00");
        }
    }
    if whole_minutes && fields.every_hour() && fields.minutes.is_power_of_two() {
        let minute = fields.minutes.trailing_zeros();
        return format!("at {} past every hour", counted(minute, "minute"));
    }
    let minutes = match even_step(fields.minutes, MINUTE.all()) {
        Some(1) => None,
        Some(step) if whole_minutes => return format!("every {step} minutes{}", hours_as_span(fields)),
        _ => Some(values(fields.minutes, "minute")),
    };
    let seconds = match even_step(fields.seconds, SECOND.all()) {
        _ if whole_minutes => None,
        Some(1) => Some("every second".to_owned()),
        Some(step) => Some(format!("every {step} seconds")),
        None => Some(format!("at {}", values(fields.seconds, "second"))),
    };
    match (seconds, minutes) {
        (None, None) => format!("every minute{}", hours_as_span(fields)),
        (None, Some(minutes)) => format!("at {minutes} of {}", hours_as_values(fields)),
        (Some(seconds), Some(minutes)) => format!("{seconds} of {minutes} of {}", hours_as_values(fields)),
        (Some(seconds), None) if seconds.starts_with("every") => format!("{seconds}{}", hours_as_span(fields)),
        (Some(seconds), None) => format!("{seconds} of every minute{}", hours_as_span(fields)),
    }
}

/// When in the day something happens that goes on all the time.
fn hours_as_span(fields: &Fields) -> String {
    match one_run(fields.hours) {
        _ if fields.every_hour() => String::new(),
        Some((low, high)) => format!(" from {low:02}:00 to {high:02}:59"),
        None => format!(" in {}", values(fields.hours, "hour")),
    }
}

fn hours_as_values(fields: &Fields) -> String {
    if fields.every_hour() { "every hour".to_owned() } else { values(fields.hours, "hour") }
}

/// Which days, to be put after the times; empty for every day.
fn days(fields: &Fields) -> String {
    let (days, weekdays) = (&fields.days, &fields.weekdays);
    let either = !days.star && !weekdays.star;
    let (any_number, any_name) = (days.set == DAY.all(), weekdays.set == WEEKDAY.all());
    let months = months(fields.months);
    if any_number && any_name || either && (any_number || any_name) {
        return if fields.months == MONTH.all() { String::new() } else { format!(" in {months}") };
    }
    if any_number {
        return by_name(weekdays, fields.months);
    }
    let number = by_number(days, fields.months);
    match any_name {
        true => number,
        false if either => {
            let name = by_name(weekdays, fields.months);
            format!("{number} and also{}", name.strip_prefix(',').map_or(name.clone(), |range| format!(" on{range}")))
        }
        false => format!("{number}, if that is {}", joined(&each_name(weekdays), "or")),
    }
}

fn by_number(days: &Days, set_of_months: u64) -> String {
    let months = months(set_of_months);
    let only_set = !days.last && !days.last_working && days.nearest_working == 0;
    if only_set && days.set.is_power_of_two() && set_of_months.is_power_of_two() {
        return format!(" on {} {months}", days.set.trailing_zeros());
    }
    let mut items = Vec::new();
    if days.set != 0 {
        items.push(numbered(days.set, "day"));
    }
    items.extend(
        members(days.nearest_working).map(|day| format!("the weekday (Monday to Friday) nearest to day {day}")),
    );
    items.extend(days.last.then(|| "the last day".to_owned()));
    items.extend(days.last_working.then(|| "the last weekday (Monday to Friday)".to_owned()));
    format!(" on {} of {months}", joined(&items, "and"))
}

fn by_name(weekdays: &Weekdays, set_of_months: u64) -> String {
    let months = months(set_of_months);
    let in_months = if set_of_months == MONTH.all() { String::new() } else { format!(" in {months}") };
    let places = places(weekdays);
    if let Some((low, high)) = one_run(monday_first(weekdays.set)).filter(|(low, high)| high - low >= 2)
        && places.is_empty()
    {
        let comma = if in_months.is_empty() { "" } else { "," };
        return format!(", {} to {}{comma}{in_months}", weekday(low), weekday(high));
    }
    let mut items: Vec<String> = members(monday_first(weekdays.set)).map(|day| format!("{}s", weekday(day))).collect();
    let ending = if places.is_empty() { in_months } else { format!(" of {months}") };
    items.extend(places);
    format!(" on {}{ending}", joined(&items, "and"))
}

/// What a day may be: `a Monday`, `the last Friday of the month`.
fn each_name(weekdays: &Weekdays) -> Vec<String> {
    let names = members(monday_first(weekdays.set)).map(|day| format!("a {}", weekday(day)));
    names.chain(places(weekdays).into_iter().map(|place| format!("{place} of the month"))).collect()
}

/// The days by their place in the month: `the second Monday`.
fn places(weekdays: &Weekdays) -> Vec<String> {
    let nth = members(weekdays.nth).map(|bit| format!("the {} {}", ORDINALS[bit as usize / 7], weekday(bit)));
    nth.chain(members(weekdays.last).map(|day| format!("the last {}", weekday(day)))).collect()
}

fn weekday(day: u32) -> &'static str {
    WEEKDAYS[day as usize % 7]
}

fn months(set: u64) -> String {
    if set == MONTH.all() {
        return "each month".to_owned();
    }
    let names: Vec<_> = members(set).map(|month| MONTHS[month as usize - 1].to_owned()).collect();
    joined(&names, "and")
}

/// `minute 5`, or `the minutes 0 to 56 in steps of 7`.
fn values(set: u64, name: &str) -> String {
    if set.is_power_of_two() { numbered(set, name) } else { format!("the {}", numbered(set, name)) }
}

/// `day 5`, `days 1 and 15`, `days 1 to 31 in steps of 2`.
fn numbered(set: u64, name: &str) -> String {
    let plural = if set.is_power_of_two() { "" } else { "s" };
    match progression(set).filter(|_| set.count_ones() > 4) {
        Some((low, high, step)) => format!("{name}{plural} {low} to {high} in steps of {step}"),
        None => format!("{name}{plural} {}", spans(set)),
    }
}

/// `1, 3 to 5 and 9`.
fn spans(set: u64) -> String {
    let mut items = Vec::new();
    for (low, high) in runs(set) {
        match high - low {
            0 => items.push(low.to_string()),
            1 => items.extend([low.to_string(), high.to_string()]),
            _ => items.push(format!("{low} to {high}")),
        }
    }
    joined(&items, "and")
}

fn joined(items: &[String], word: &str) -> String {
    match items {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} {word} {last}", first.join(", ")),
    }
}

fn counted(count: u32, unit: &str) -> String {
    if count == 1 { format!("1 {unit}") } else { format!("{count} {unit}s") }
}

/// First and last of a set that has no hole.
fn one_run(set: u64) -> Option<(u32, u32)> {
    let mut runs = runs(set);
    runs.next().filter(|_| runs.next().is_none())
}

/// The step of a set that is spread evenly over its whole field, also over the field's end.
fn even_step(set: u64, all: u64) -> Option<u32> {
    if set == all {
        return Some(1);
    }
    let size = all.count_ones();
    let (low, _, step) = progression(set).or_else(|| two_halves(set))?;
    (low == 0 && size.is_multiple_of(step) && set.count_ones() * step == size).then_some(step)
}

fn two_halves(set: u64) -> Option<(u32, u32, u32)> {
    let high = set.checked_ilog2()?;
    (set.count_ones() == 2 && set & 1 == 1).then_some((0, high, high))
}
