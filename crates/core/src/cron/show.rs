//! The canonical text of a schedule, from which the same schedule is read.

use std::fmt::{self, Write as _};

use crate::cron::fields::{Days, Fields, Weekdays, bits};
use crate::cron::sets::{DAY, Field, HOUR, MINUTE, MONTH, SECOND, WEEKDAY};

impl fmt::Display for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.seconds != 1 {
            write!(f, "{} ", set(self.seconds, &SECOND))?;
        }
        write!(f, "{} {} ", set(self.minutes, &MINUTE), set(self.hours, &HOUR))?;
        write!(f, "{} {} {}", days(&self.days), set(self.months, &MONTH), weekdays(&self.weekdays))
    }
}

/// A set of a field in which `*` has no second meaning.
fn set(set: u64, field: &Field) -> String {
    if set == field.all() {
        return "*".to_owned();
    }
    match progression(set) {
        Some((low, high, step)) if low == field.min && high + step > field.max => format!("*/{step}"),
        Some((low, high, step)) if high + step > field.max => format!("{low}/{step}"),
        Some((low, high, step)) if set.count_ones() > 3 => format!("{low}-{high}/{step}"),
        _ => list(set, &|value| value.to_string()),
    }
}

fn days(days: &Days) -> String {
    let mut items = starred(days.star, days.set, &DAY, &|value| value.to_string());
    let mut wanted = days.nearest_working;
    while wanted != 0 {
        items.push(format!("{}W", wanted.trailing_zeros()));
        wanted &= wanted - 1;
    }
    items.extend(days.last.then(|| "L".to_owned()));
    items.extend(days.last_working.then(|| "LW".to_owned()));
    items.join(",")
}

fn weekdays(weekdays: &Weekdays) -> String {
    let name = |day: u32| WEEKDAY.names[day as usize % 7].to_owned();
    let mut items = starred(weekdays.star, weekdays.set, &WEEKDAY, &name);
    items.extend(members(weekdays.nth).map(|bit| format!("{}#{}", name(bit % 7), bit / 7 + 1)));
    items.extend(members(weekdays.last).map(|day| format!("{}L", name(day))));
    items.join(",")
}

/// The items of a day field's set. One that counts as not restricted must begin with `*` again.
fn starred(star: bool, set: u64, field: &Field, show: &dyn Fn(u32) -> String) -> Vec<String> {
    let mut items = Vec::new();
    let mut rest = set;
    if star {
        let steps = (1..=field.max - field.min + 1).map(|step| (step, every(step, field)));
        if let Some((step, found)) = steps.into_iter().find(|(_, found)| found & !set == 0) {
            items.push(if step == 1 { "*".to_owned() } else { format!("*/{step}") });
            rest &= !found;
        }
    }
    match progression(rest) {
        Some((low, high, step)) if !star && field.max == DAY.max && rest.count_ones() > 3 => {
            items.push(format!("{}-{}/{step}", show(low), show(high)));
        }
        _ if rest != 0 && field.max == WEEKDAY.max => items.push(week_list(rest, show)),
        _ if rest != 0 => items.push(list(rest, show)),
        _ => {}
    }
    items
}

/// Every `step`th value of a field from its first.
fn every(step: u32, field: &Field) -> u64 {
    (field.min..=field.max).step_by(step as usize).fold(0, |set, value| set | 1 << value)
}

/// First, last and step of a set of at least three members, if there is one step of 2 or more between all.
pub(super) fn progression(set: u64) -> Option<(u32, u32, u32)> {
    if set.count_ones() < 3 {
        return None;
    }
    let (low, high) = (set.trailing_zeros(), set.ilog2());
    let step = (set & (set - 1)).trailing_zeros() - low;
    let same = (low..=high).step_by(step as usize).fold(0, |set, value| set | 1 << value) == set;
    (step >= 2 && same).then_some((low, high, step))
}

/// Members, with three or more in a row as a range.
fn list(set: u64, show: &dyn Fn(u32) -> String) -> String {
    let mut text = String::new();
    for (low, high) in runs(set) {
        let comma = if text.is_empty() { "" } else { "," };
        let _ = match high - low {
            0 => write!(text, "{comma}{}", show(low)),
            1 => write!(text, "{comma}{},{}", show(low), show(high)),
            _ => write!(text, "{comma}{}-{}", show(low), show(high)),
        };
    }
    text
}

/// Days of the week, with Sunday at the end.
fn week_list(set: u64, show: &dyn Fn(u32) -> String) -> String {
    list(monday_first(set), show)
}

/// The set with Sunday as 7.
pub(super) fn monday_first(set: u64) -> u64 {
    set & !1 | (set & 1) << 7
}

/// The members of a set in order.
pub(super) fn members(set: u64) -> impl Iterator<Item = u32> {
    (0..u64::BITS).filter(move |bit| set & (1 << bit) != 0)
}

/// First and last of each stretch of members without a hole.
pub(super) fn runs(set: u64) -> impl Iterator<Item = (u32, u32)> {
    let mut rest = set;
    std::iter::from_fn(move || {
        let low = (rest != 0).then(|| rest.trailing_zeros())?;
        let high = low + (rest >> low).trailing_ones() - 1;
        rest &= !bits(low, high);
        Some((low, high))
    })
}
