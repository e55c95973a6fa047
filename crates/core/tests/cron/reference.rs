//! A second evaluator, as simple as can be: it walks real time step by step, looks at the zone's clock at each step and
//! asks each field of the text. `next` must give the same runs.

use std::collections::BTreeSet;

use jiff::civil::{Date, DateTime};
use jiff::tz::{Offset, TimeZone};
use lovage_core::Timestamp;
use proptest::prelude::*;

use crate::{read, zone};

const DAY: i64 = 86_400;

/// An item of a field, without the means of the crate.
#[derive(Debug, Clone)]
enum Item {
    Star(i8),
    Range(i8, i8, i8),
    LastDay,
    LastWorking,
    Working(i8),
    Nth(i8, i8),
    LastOf(i8),
}

#[derive(Debug, Clone)]
struct Expression {
    text: String,
    /// Second, minute, hour, day of month, month, day of week.
    fields: [Vec<Item>; 6],
}

impl Item {
    fn text(&self) -> String {
        match self {
            Self::Star(1) => "*".to_owned(),
            Self::Star(step) => format!("*/{step}"),
            Self::Range(low, high, 1) if low == high => low.to_string(),
            Self::Range(low, high, 1) => format!("{low}-{high}"),
            Self::Range(low, high, step) => format!("{low}-{high}/{step}"),
            Self::LastDay => "L".to_owned(),
            Self::LastWorking => "LW".to_owned(),
            Self::Working(day) => format!("{day}W"),
            Self::Nth(day, nth) => format!("{day}#{nth}"),
            Self::LastOf(day) => format!("{day}L"),
        }
    }

    /// Whether a value of a field that begins with `min` is meant; `date` for what asks the calendar.
    fn takes(&self, value: i8, min: i8, date: Date) -> bool {
        let works = |date: Date| (1..=5).contains(&date.weekday().to_monday_one_offset());
        let weekday = date.weekday().to_sunday_zero_offset();
        match *self {
            Self::Star(step) => (value - min) % step == 0,
            Self::Range(low, high, step) => (low..=high).step_by(step as usize).any(|taken| taken == value),
            Self::LastDay => date == date.last_of_month(),
            Self::LastWorking => {
                works(date) && (1..=31).map(|day| day_of(date, day)).all(|other| !works_after(other, date))
            }
            Self::Working(wanted) => day_of(date, wanted).is_some_and(|wanted| {
                let near = (-2..=2).filter_map(|ahead| day_of(date, wanted.day() + ahead)).filter(|day| works(*day));
                near.min_by_key(|day| (day.day() - wanted.day()).abs()) == Some(date)
            }),
            Self::Nth(day, nth) => weekday == day && (date.day() - 1) / 7 + 1 == nth,
            Self::LastOf(day) => weekday == day && day_of(date, date.day() + 7).is_none(),
        }
    }
}

fn day_of(month: Date, day: i8) -> Option<Date> {
    Date::new(month.year(), month.month(), day).ok()
}

fn works_after(other: Option<Date>, date: Date) -> bool {
    other.is_some_and(|other| other > date && (1..=5).contains(&other.weekday().to_monday_one_offset()))
}

impl Expression {
    fn matches(&self, civil: i64) -> bool {
        let time = civil_time(civil);
        let date = time.date();
        let takes =
            |field: usize, value: i8, min: i8| self.fields[field].iter().any(|item| item.takes(value, min, date));
        let star = |field: usize| matches!(self.fields[field].first(), Some(Item::Star(_)));
        let (day, weekday) = (takes(3, date.day(), 1), takes(5, date.weekday().to_sunday_zero_offset(), 0));
        let day = if star(3) || star(5) { day && weekday } else { day || weekday };
        let clock = takes(0, time.second(), 0) && takes(1, time.minute(), 0) && takes(2, time.hour(), 0);
        clock && day && takes(4, date.month(), 1)
    }

    fn every_hour(&self) -> bool {
        (0..24).all(|hour| self.fields[2].iter().any(|item| item.takes(hour, 0, Date::ZERO)))
    }

    /// All runs in `from..until`, by a walk that began long enough before to have seen what may be repeated.
    fn runs(&self, from: i64, until: i64, step: i64, zone: &TimeZone) -> Vec<i64> {
        let mut runs = BTreeSet::new();
        let (mut shown, mut last) = (i64::MIN, None);
        let mut at = (from - 2_880 * step).max(0);
        while at < until {
            let offset = i64::from(zone.to_offset(jiff::Timestamp::from_second(at).unwrap()).seconds());
            let civil = at + offset;
            if let Some(last) = last.filter(|last| *last < offset)
                && self.makes_up(at + last, civil, shown, step)
            {
                runs.insert(at);
            }
            if self.matches(civil) && (self.every_hour() || civil > shown) {
                runs.insert(at);
            }
            shown = shown.max(civil);
            last = Some(offset);
            at += step;
        }
        runs.into_iter().filter(|run| (from..until).contains(run)).collect()
    }

    /// Whether something of a gap is to run at its end.
    fn makes_up(&self, start: i64, end: i64, shown: i64, step: i64) -> bool {
        if self.every_hour() && (end - start) % 3_600 == 0 {
            return false;
        }
        (start..end).step_by(step as usize).any(|civil| {
            let midnight = civil.div_euclid(DAY) * DAY;
            let no_day = midnight >= start && midnight + DAY <= end;
            !no_day && self.matches(civil) && (self.every_hour() || civil > shown)
        })
    }
}

fn civil_time(civil: i64) -> DateTime {
    Offset::UTC.to_datetime(jiff::Timestamp::from_second(civil).unwrap())
}

/// A field of plain items: values from `min` to `max`.
fn plain(min: i8, max: i8) -> impl Strategy<Value = Vec<Item>> {
    let range = (min..=max, min..=max, 1..4i8).prop_map(|(a, b, step)| Item::Range(a.min(b), a.max(b), step));
    let value = (min..=max).prop_map(|value| Item::Range(value, value, 1));
    let item = prop_oneof![2 => Just(Item::Star(1)), 2 => (1..=max).prop_map(Item::Star), 3 => value, 2 => range];
    prop::collection::vec(item, 1..4)
}

fn days() -> impl Strategy<Value = Vec<Item>> {
    let special = prop_oneof![Just(Item::LastDay), Just(Item::LastWorking), (1..=31i8).prop_map(Item::Working)];
    prop_oneof![
        4 => Just(vec![Item::Star(1)]),
        2 => plain(1, 31),
        1 => prop::collection::vec(special, 1..3),
    ]
}

fn weekdays() -> impl Strategy<Value = Vec<Item>> {
    let nth = (0..=6i8, 1..=5i8).prop_map(|(day, nth)| Item::Nth(day, nth));
    let special = prop_oneof![nth, (0..=6i8).prop_map(Item::LastOf)];
    prop_oneof![
        4 => Just(vec![Item::Star(1)]),
        2 => plain(0, 6),
        1 => prop::collection::vec(special, 1..3),
    ]
}

fn expression(seconds: bool) -> impl Strategy<Value = Expression> {
    let second = if seconds { plain(0, 59).boxed() } else { Just(vec![Item::Range(0, 0, 1)]).boxed() };
    let month = prop_oneof![4 => Just(vec![Item::Star(1)]), 1 => plain(1, 12)];
    (second, plain(0, 59), plain(0, 23), days(), month, weekdays()).prop_map(move |(a, b, c, d, e, f)| {
        let fields = [a, b, c, d, e, f];
        let field = |items: &Vec<Item>| items.iter().map(Item::text).collect::<Vec<_>>().join(",");
        let texts: Vec<String> = fields.iter().skip(usize::from(!seconds)).map(field).collect();
        Expression { text: texts.join(" "), fields }
    })
}

/// Zones with changes of many kinds, and an instant of a change in each, or 0 for none.
const PLACES: [(&str, i64); 16] = [
    ("UTC", 0),
    ("Asia/Kolkata", 0),
    ("America/New_York", 1_741_503_600),
    ("America/New_York", 1_762_063_200),
    ("Europe/London", 1_743_296_400),
    ("Australia/Lord_Howe", 1_759_591_800),
    ("Australia/Lord_Howe", 1_743_865_200),
    ("Antarctica/Troll", 1_743_296_400),
    ("Antarctica/Troll", 1_761_440_400),
    ("America/Santiago", 1_757_217_600),
    ("America/Santiago", 1_743_908_400),
    ("Pacific/Chatham", 1_758_981_600),
    ("Pacific/Apia", 1_325_239_200),
    ("Pacific/Kwajalein", 745_934_400),
    ("Asia/Pyongyang", 1_525_446_000),
    ("America/Havana", 1_762_059_600),
];

fn compare(expression: &Expression, place: usize, from: i64, length: i64, step: i64) {
    let (name, _) = PLACES[place];
    let (zone, recurrence) = (zone(name), read(&expression.text));
    let mut found = Vec::new();
    let mut last = Timestamp::from_millis(from as u64 * 1_000 - 1);
    while let Some(next) = recurrence.next(last, &zone).filter(|next| next.as_millis() < (from + length) as u64 * 1_000)
    {
        found.push((next.as_millis() / 1_000) as i64);
        last = next;
    }
    let expected = expression.runs(from, from + length, step, &zone);
    assert_eq!(found, expected, "{} in {name} from {from}", expression.text);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn minutes_of_any_days_are_those_of_a_walk(
        expression in expression(false), place in 0..PLACES.len(), day in 10_000i64..30_000,
    ) {
        compare(&expression, place, day * DAY, 3 * DAY, 60);
    }

    #[test]
    fn minutes_around_a_change_are_those_of_a_walk(
        expression in expression(false), place in 2..PLACES.len(), before in -6i64..40,
    ) {
        compare(&expression, place, PLACES[place].1 - before * 3_600, 2 * DAY, 60);
    }

    #[test]
    fn seconds_around_a_change_are_those_of_a_walk(
        expression in expression(true), place in 2..PLACES.len(), before in 0i64..120, wide in any::<bool>(),
    ) {
        // The walk sees 48 minutes of what was before: enough if it begins shortly after a change, or well before one.
        let before = if wide { 3_600 + before } else { before };
        compare(&expression, place, PLACES[place].1 - before, 3 * 3_600, 1);
    }
}
