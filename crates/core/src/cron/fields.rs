//! What an expression of fields means in civil time: which seconds of the calendar match.
//!
//! A set is the bits of a number, so that looking for the next member is one instruction and nothing is allocated. A
//! civil time is a count of seconds since 1970-01-01T00:00:00 on a clock without a zone.

use jiff::civil::Date;
use jiff::tz::Offset;

/// Seconds of a civil day.
pub(super) const DAY: i64 = 86_400;
/// The first day of each of five weeks.
const WEEKS: u64 = 1 | 1 << 7 | 1 << 14 | 1 << 21 | 1 << 28;
/// Years that are searched after the one in which a search begins. A year is one of fourteen kinds, by its length and by
/// the weekday on which it begins; the same kind comes again within 40 years, also over a century without a leap day.
const HORIZON_YEARS: i16 = 40;

/// The six fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Fields {
    /// Bits 0 to 59.
    pub seconds: u64,
    /// Bits 0 to 59.
    pub minutes: u64,
    /// Bits 0 to 23.
    pub hours: u64,
    /// The days by their number.
    pub days: Days,
    /// Bits 1 to 12.
    pub months: u64,
    /// The days by their name.
    pub weekdays: Weekdays,
}

/// The field day of month.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) struct Days {
    /// Whether the field begins with `*`: it then counts as not restricted.
    pub star: bool,
    /// Bits 1 to 31.
    pub set: u64,
    /// `L`: the last day of the month.
    pub last: bool,
    /// `LW`: the last day from Monday to Friday.
    pub last_working: bool,
    /// `15W`: the day from Monday to Friday that is nearest to day 15, in the same month. Bits 1 to 31.
    pub nearest_working: u64,
}

/// The field day of week. Sunday is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) struct Weekdays {
    /// Whether the field begins with `*`: it then counts as not restricted.
    pub star: bool,
    /// Bits 0 to 6.
    pub set: u64,
    /// `friL`: the last one of the month. Bits 0 to 6.
    pub last: u64,
    /// `mon#2`: bit `7 * (n - 1) + weekday` is the nth of the month.
    pub nth: u64,
}

impl Fields {
    /// Whether the expression names every hour of a day. Such a schedule counts hours, all others name times.
    pub fn every_hour(&self) -> bool {
        self.hours == bits(0, 23)
    }

    /// The first civil time from `from` on that matches; `None` if there is none in the calendar.
    pub fn first(&self, from: i64) -> Option<i64> {
        let start = Offset::UTC.to_datetime(jiff::Timestamp::from_second(from).ok()?);
        let (mut year, mut month) = (start.year(), start.month());
        let mut days = self.days_of(year, month)? & (u64::MAX << start.day());
        if days & (1 << start.day()) != 0 {
            if let Some(second) = self.second_of_day(from.rem_euclid(DAY)) {
                return Some(from.div_euclid(DAY) * DAY + second);
            }
            days &= days - 1;
        }
        let last_year = year.saturating_add(HORIZON_YEARS);
        while days == 0 {
            (year, month) = match from_bit(self.months, month as u32 + 1) {
                Some(next) => (year, next as i8),
                None => (year.checked_add(1)?, self.months.trailing_zeros() as i8),
            };
            if year > last_year {
                return None;
            }
            days = self.days_of(year, month)?;
        }
        let date = Date::new(year, month, days.trailing_zeros() as i8).ok()?;
        let midnight = Offset::UTC.to_timestamp(date.at(0, 0, 0, 0)).ok()?.as_second();
        Some(midnight + self.second_of_day(0)?)
    }

    /// The first matching second of a day from `from` on.
    fn second_of_day(&self, from: i64) -> Option<i64> {
        let (hour, minute, second) = (from / 3_600, from / 60 % 60, from % 60);
        let time = |hour: u32, minute: u32, second: u32| i64::from(hour * 3_600 + minute * 60 + second);
        let (first_minute, first_second) = (self.minutes.trailing_zeros(), self.seconds.trailing_zeros());
        if self.hours & (1 << hour) != 0 {
            if self.minutes & (1 << minute) != 0
                && let Some(found) = from_bit(self.seconds, second as u32)
            {
                return Some(time(hour as u32, minute as u32, found));
            }
            if let Some(found) = from_bit(self.minutes, minute as u32 + 1) {
                return Some(time(hour as u32, found, first_second));
            }
        }
        Some(time(from_bit(self.hours, hour as u32 + 1)?, first_minute, first_second))
    }

    /// The matching days of a month as bits 1 to 31; `None` outside the calendar.
    fn days_of(&self, year: i16, month: i8) -> Option<u64> {
        if self.months & (1 << month) == 0 {
            return Some(0);
        }
        let first = Date::new(year, month, 1).ok()?;
        let (length, weekday) = (first.days_in_month() as u32, first.weekday().to_sunday_zero_offset() as u32);
        let (by_number, by_name) = (self.days.of_month(length, weekday), self.weekdays.of_month(length, weekday));
        let either = !self.days.star && !self.weekdays.star;
        Some(if either { by_number | by_name } else { by_number & by_name })
    }
}

impl Days {
    /// The matching days of a month with `length` days that begins on the weekday `first`.
    fn of_month(&self, length: u32, first: u32) -> u64 {
        let mut days = self.set & bits(1, length);
        if self.last {
            days |= 1 << length;
        }
        if self.last_working {
            days |= 1 << nearest_working(length, length, first);
        }
        let mut wanted = self.nearest_working & bits(1, length);
        while wanted != 0 {
            days |= 1 << nearest_working(wanted.trailing_zeros(), length, first);
            wanted &= wanted - 1;
        }
        days
    }
}

/// The day from Monday to Friday that is nearest to `day` without leaving the month.
fn nearest_working(day: u32, length: u32, first: u32) -> u32 {
    match (first + day - 1) % 7 {
        0 if day == length => day - 2,
        0 => day + 1,
        6 if day == 1 => 3,
        6 => day - 1,
        _ => day,
    }
}

impl Weekdays {
    /// The matching days of a month with `length` days that begins on the weekday `first`.
    fn of_month(&self, length: u32, first: u32) -> u64 {
        let month = bits(1, length);
        if self.set == bits(0, 6) {
            return month;
        }
        let mut days = 0;
        for weekday in 0..7 {
            let earliest = 1 + (weekday + 7 - first) % 7;
            let all = WEEKS << earliest & month;
            if self.set & (1 << weekday) != 0 {
                days |= all;
            }
            if self.last & (1 << weekday) != 0 {
                days |= 1 << all.ilog2();
            }
            days |= (self.nth >> weekday & WEEKS) << earliest & month;
        }
        days
    }
}

/// The bits from `low` to `high`, both included.
pub(super) const fn bits(low: u32, high: u32) -> u64 {
    (u64::MAX >> (63 - (high - low))) << low
}

/// The lowest set bit from `from` on.
fn from_bit(set: u64, from: u32) -> Option<u32> {
    let rest = set & u64::MAX.checked_shl(from)?;
    (rest != 0).then(|| rest.trailing_zeros())
}
