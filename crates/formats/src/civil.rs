//! Days and microseconds to the dates and times that people read, over the whole range of Postgres (4713 BC to
//! 294276 AD), which is wider than what calendar libraries hold.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::value::{DAY_INFINITY, DAY_NEG_INFINITY, MICROS_INFINITY, MICROS_NEG_INFINITY};

/// Microseconds of a day.
pub(crate) const DAY: i64 = 86_400_000_000;
/// Seconds from 1970 to 2000.
const TO_2000: i64 = 946_684_800;
/// Days from 0000-03-01 to 2000-01-01. Years are counted from March, so that the leap day is a year's last.
const MARCH_0_TO_2000: i64 = 730_425;
/// Days of 400 years, after which the calendar repeats.
const CYCLE: i64 = 146_097;

/// A date of the proleptic Gregorian calendar; year 0 is 1 BC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Civil {
    pub(crate) year: i64,
    pub(crate) month: u8,
    pub(crate) day: u8,
}

/// The date that lies `days` after 2000-01-01.
pub(crate) fn civil(days: i64) -> Civil {
    let days = days + MARCH_0_TO_2000;
    let cycle = days.div_euclid(CYCLE);
    let day_of_cycle = days.rem_euclid(CYCLE);
    // Of the days before it, each fourth year's, but not each hundredth's, but each four hundredth's is a leap day.
    let year_of_cycle = (day_of_cycle - day_of_cycle / 1_460 + day_of_cycle / 36_524 - day_of_cycle / 146_096) / 365;
    let day_of_year = day_of_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
    // From March on the months' lengths repeat in five: 31, 30, 31, 30, 31, which are 153 days.
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, later) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    Civil { year: cycle * 400 + year_of_cycle + later, month: month as u8, day: day as u8 }
}

/// The offset of `zone` from UTC in seconds, at an instant in microseconds since 2000-01-01T00:00:00Z.
pub(crate) fn offset(zone: &TimeZone, micros: i64) -> i32 {
    let second = micros.div_euclid(1_000_000) + TO_2000;
    let second = second.clamp(Timestamp::MIN.as_second(), Timestamp::MAX.as_second());
    Timestamp::from_second(second).map_or(0, |instant| zone.to_offset(instant).seconds())
}

/// Adds `infinity` or `-infinity` if the date is one of them.
pub(crate) fn push_infinite_day(out: &mut Vec<u8>, days: i32) -> bool {
    push_infinity(out, days == DAY_INFINITY, days == DAY_NEG_INFINITY)
}

/// Adds `infinity` or `-infinity` if the time is one of them.
pub(crate) fn push_infinite_instant(out: &mut Vec<u8>, micros: i64) -> bool {
    push_infinity(out, micros == MICROS_INFINITY, micros == MICROS_NEG_INFINITY)
}

fn push_infinity(out: &mut Vec<u8>, positive: bool, negative: bool) -> bool {
    if positive {
        out.extend_from_slice(b"infinity");
    } else if negative {
        out.extend_from_slice(b"-infinity");
    }
    positive || negative
}

/// Adds `2024-02-29`. Years before 1 and after 9999 are written with all their digits; answers whether it is BC, whose
/// mark comes after what follows the date.
pub(crate) fn push_date(out: &mut Vec<u8>, days: i64) -> bool {
    let Civil { year, month, day } = civil(days);
    let before_christ = year <= 0;
    let year = if before_christ { 1 - year } else { year };
    push_padded(out, year as u64, 4);
    out.push(b'-');
    push_two(out, month);
    out.push(b'-');
    push_two(out, day);
    before_christ
}

/// Adds `23:59:59.123456`, with no more digits of the fraction than there are, and at most `digits`.
pub(crate) fn push_time(out: &mut Vec<u8>, micros: i64, digits: usize) {
    let seconds = micros / 1_000_000;
    push_two(out, (seconds / 3600) as u8);
    out.push(b':');
    push_two(out, (seconds / 60 % 60) as u8);
    out.push(b':');
    push_two(out, (seconds % 60) as u8);
    let mut fraction = (micros % 1_000_000) as u64;
    if fraction == 0 {
        return;
    }
    let mut shown = 6;
    while shown > digits || fraction > 0 && fraction.is_multiple_of(10) {
        fraction /= 10;
        shown -= 1;
    }
    if fraction > 0 {
        out.push(b'.');
        push_padded(out, fraction, shown);
    }
}

/// Adds `+08`, `-03:30` or `+00:19:32`.
pub(crate) fn push_offset(out: &mut Vec<u8>, seconds: i32) {
    out.push(if seconds < 0 { b'-' } else { b'+' });
    let seconds = seconds.unsigned_abs();
    push_two(out, (seconds / 3600) as u8);
    if !seconds.is_multiple_of(3600) {
        out.push(b':');
        push_two(out, (seconds / 60 % 60) as u8);
    }
    if !seconds.is_multiple_of(60) {
        out.push(b':');
        push_two(out, (seconds % 60) as u8);
    }
}

fn push_two(out: &mut Vec<u8>, number: u8) {
    out.push(b'0' + number / 10);
    out.push(b'0' + number % 10);
}

fn push_padded(out: &mut Vec<u8>, number: u64, width: usize) {
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(number);
    out.extend(std::iter::repeat_n(b'0', width.saturating_sub(digits.len())));
    out.extend_from_slice(digits.as_bytes());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_days_have_their_dates() {
        for (days, year, month, day) in [
            (0, 2000, 1, 1),
            (59, 2000, 2, 29),
            (60, 2000, 3, 1),
            (-1, 1999, 12, 31),
            (-10957, 1970, 1, 1),
            (-36_524, 1900, 1, 1),
            (36_525 + 58, 2100, 2, 28),
            (36_525 + 59, 2100, 3, 1),
            (-730_119, 1, 1, 1),
            (-730_120, 0, 12, 31),
            // Julian day 0, at its noon (SQLite: `julianday('-4713-11-24 12:00:00')`).
            (-2_451_545, -4713, 11, 24),
        ] {
            assert_eq!(civil(days), Civil { year, month, day }, "{days}");
        }
    }

    proptest! {
        #[test]
        fn dates_agree_with_the_library(days in -4_000_000_i64..2_900_000) {
            let Ok(date) = jiff::civil::date(2000, 1, 1).checked_add(jiff::Span::new().try_days(days).unwrap()) else {
                return Ok(());
            };
            let found = civil(days);
            prop_assert_eq!((found.year, found.month as i8, found.day as i8), (date.year().into(), date.month(), date.day()));
        }
    }

    #[test]
    fn fractions_and_offsets_have_no_digit_too_many() {
        let shown = |micros, digits| {
            let mut out = Vec::new();
            push_time(&mut out, micros, digits);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(shown(DAY, 6), "24:00:00");
        assert_eq!(shown(1_500_000, 6), "00:00:01.5");
        assert_eq!(shown(1_000_009, 6), "00:00:01.000009");
        assert_eq!(shown(1_000_009, 3), "00:00:01");
        assert_eq!(shown(1_050_009, 3), "00:00:01.05");
        let offset = |seconds| {
            let mut out = Vec::new();
            push_offset(&mut out, seconds);
            String::from_utf8(out).unwrap()
        };
        assert_eq!([offset(0), offset(-12_600), offset(1172)], ["+00", "-03:30", "+00:19:32"]);
    }
}
