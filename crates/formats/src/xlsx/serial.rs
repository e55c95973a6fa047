//! Dates and times as the numbers that a spreadsheet keeps: days since the end of 1899, and fractions of a day.
//!
//! The count has a day that never was, 1900-02-29, so only from March 1900 on do all programs agree; the last day is
//! 9999-12-31. What lies outside stays text. Fractions are cut, not rounded, to milliseconds, the finest that a spreadsheet
//! shows: nothing may turn up on the day after its own.

use super::style::Style;
use crate::civil;

/// The number of 2000-01-01.
const DAY_2000: i64 = 36_526;
const MARCH_1900: i64 = 61;
const LAST: i64 = 2_958_465;
const MILLIS: u64 = 86_400_000;

/// The number of a date that lies `days` after 2000-01-01.
pub(super) fn day(days: i64) -> Option<i64> {
    // The infinities are at the far ends.
    let serial = days.checked_add(DAY_2000)?;
    (MARCH_1900..=LAST).contains(&serial).then_some(serial)
}

/// Adds the number of a local time, in microseconds since 2000-01-01; answers the format that shows all of it, or nothing
/// when there is no such number.
pub(super) fn push_moment(out: &mut Vec<u8>, micros: i64) -> Option<Style> {
    let serial = day(micros.div_euclid(civil::DAY))?;
    let millis = (micros.rem_euclid(civil::DAY) / 1000) as u64;
    out.extend_from_slice(itoa::Buffer::new().format(serial).as_bytes());
    push_fraction(out, millis, 12);
    Some(if millis.is_multiple_of(1000) { Style::MOMENT } else { Style::MOMENT_MILLIS })
}

/// Adds the number of a time of day; answers the format that shows all of it.
pub(super) fn push_time(out: &mut Vec<u8>, micros: i64) -> Style {
    if micros >= civil::DAY {
        out.push(b'1');
        return Style::MIDNIGHT;
    }
    let millis = (micros / 1000) as u64;
    out.push(b'0');
    push_fraction(out, millis, 16);
    if millis.is_multiple_of(1000) { Style::TIME } else { Style::TIME_MILLIS }
}

/// Adds `millis` as a fraction of a day: a point and at most `digits` (up to 16), without zeros at the end. Twelve behind
/// the five of a day make seventeen, which tell any two floats apart.
fn push_fraction(out: &mut Vec<u8>, millis: u64, digits: u32) {
    const HALF: u64 = 100_000_000;
    if millis == 0 {
        return;
    }
    let first = millis * HALF;
    let second = first % MILLIS * HALF + MILLIS / 2;
    let exact = first / MILLIS * HALF + second / MILLIS;
    let unit = 10_u64.pow(16 - digits);
    let mut rest = (exact + unit / 2) / unit;
    let mut text = [b'0'; 16];
    for digit in text[..digits as usize].iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    let zeros = text.iter().rev().take_while(|&&digit| digit == b'0').count();
    out.push(b'.');
    out.extend_from_slice(&text[..text.len() - zeros]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::value::{DAY_INFINITY, DAY_NEG_INFINITY, MICROS_INFINITY, MICROS_NEG_INFINITY};

    fn moment(micros: i64) -> Option<(String, Style)> {
        let mut out = Vec::new();
        push_moment(&mut out, micros).map(|style| (String::from_utf8(out).unwrap(), style))
    }

    fn time(micros: i64) -> (String, Style) {
        let mut out = Vec::new();
        let style = push_time(&mut out, micros);
        (String::from_utf8(out).unwrap(), style)
    }

    #[test]
    fn days_have_the_numbers_that_spreadsheets_give_them() {
        // Left sides: `=DATE(2000,1,1)`, `=DATE(2024,2,29)`, `=DATE(1900,3,1)`, `=DATE(9999,12,31)`.
        for (serial, days) in [(36_526, 0), (45_351, 8_825), (61, -36_465), (2_958_465, 2_921_939)] {
            assert_eq!(day(days), Some(serial));
        }
        assert_eq!([day(-36_466), day(2_921_940)], [None, None], "the days before and after");
        assert_eq!([day(DAY_INFINITY.into()), day(DAY_NEG_INFINITY.into())], [None, None]);
        assert_eq!([moment(MICROS_INFINITY), moment(MICROS_NEG_INFINITY)], [None, None]);
    }

    #[test]
    fn nothing_turns_up_a_day_late() {
        let (serial, style) = moment(civil::DAY - 1).unwrap();
        assert_eq!((serial.as_str(), style), ("36526.999999988426", Style::MOMENT_MILLIS));
        assert_eq!(time(civil::DAY - 1), ("0.9999999884259259".to_owned(), Style::TIME_MILLIS));
        assert_eq!(moment(civil::DAY).unwrap(), ("36527".to_owned(), Style::MOMENT));
        assert_eq!(time(civil::DAY), ("1".to_owned(), Style::MIDNIGHT));
        assert_eq!(time(0), ("0".to_owned(), Style::TIME));
        assert_eq!(time(civil::DAY / 2 + 999), ("0.5".to_owned(), Style::TIME));
    }

    proptest! {
        #[test]
        fn the_number_is_that_of_the_millisecond(micros in -3_150_000_000_000_000_i64..252_455_000_000_000_000) {
            let (text, style) = moment(micros).unwrap();
            let serial: f64 = text.parse().unwrap();
            let millis = micros.div_euclid(1000);
            let (day, rest) = (millis.div_euclid(MILLIS as i64), millis.rem_euclid(MILLIS as i64));
            let exact = (day + DAY_2000) as f64 + rest as f64 / MILLIS as f64;
            // Twelve digits behind the point, and two roundings to a float of this size.
            prop_assert!((serial - exact).abs() <= 5e-13 + exact * 2.0 * f64::EPSILON, "{text} {exact}");
            // What a spreadsheet shows: the fraction, rounded to milliseconds.
            let shown = (serial.fract() * MILLIS as f64).round() as i64;
            prop_assert_eq!(shown, rest);
            prop_assert_eq!(style == Style::MOMENT, millis % 1000 == 0);
        }

        #[test]
        fn a_time_has_all_digits_that_a_spreadsheet_compares(micros in 0..civil::DAY) {
            let serial: f64 = time(micros).0.parse().unwrap();
            let exact = (micros / 1000) as f64 / MILLIS as f64;
            prop_assert!((serial - exact).abs() <= 2e-16, "{serial} {exact}");
        }
    }
}
