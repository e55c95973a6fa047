//! Durations as people write them: `250ms`, `30s`, `5m`, `2h`, `1d`, `1h30m`.

use std::fmt::Write as _;
use std::time::Duration;

const UNITS: [(&str, u64); 6] =
    [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000), ("w", 604_800_000)];
const HELP: &str = "use a number and a unit: 250ms, 30s, 5m, 2h, 1d or 1h30m";

/// Reads a duration. The error says what is wrong and what would be right, without naming the field.
pub fn parse(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    if text.starts_with('-') {
        return Err(format!("{text:?} is negative; {HELP}"));
    }
    if text.is_empty() {
        return Err(format!("is empty; {HELP}"));
    }
    let mut rest = text;
    let mut millis: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (number, tail) = rest.split_at(digits);
        let letters = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        if number.is_empty() || (unit.is_empty() && !tail.is_empty()) {
            return Err(format!("{text:?} is not a duration; {HELP}"));
        }
        if unit.is_empty() {
            return Err(format!("{text:?} has no unit; {HELP}"));
        }
        let Some((_, factor)) = UNITS.iter().find(|(name, _)| *name == unit) else {
            return Err(format!("{text:?} has the unknown unit {unit:?}; {HELP}"));
        };
        millis = number
            .parse::<u64>()
            .ok()
            .and_then(|number| number.checked_mul(*factor))
            .and_then(|part| millis.checked_add(part))
            .ok_or_else(|| format!("{text:?} is longer than can be counted; {HELP}"))?;
        rest = tail;
    }
    Ok(Duration::from_millis(millis))
}

/// The exact text that [`parse`] reads back: `1h30m`.
pub fn exact(duration: Duration) -> String {
    let mut millis = duration.as_millis() as u64;
    let mut text = String::new();
    // Weeks are only read: `14d` says more than `2w` to most.
    for (unit, factor) in UNITS.iter().rev().skip(1) {
        let count = millis / factor;
        if count > 0 {
            let _ = write!(text, "{count}{unit}");
            millis %= factor;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// An age for a table: the two largest units, `3d 4h`, `12s`, `850ms`.
pub fn human(duration: Duration) -> String {
    let millis = duration.as_millis() as u64;
    if millis < 1_000 {
        return format!("{millis}ms");
    }
    let seconds = millis / 1_000;
    let (first, second) = match seconds {
        0..60 => return format!("{seconds}s"),
        60..3_600 => ((seconds / 60, "m"), (seconds % 60, "s")),
        3_600..86_400 => ((seconds / 3_600, "h"), (seconds % 3_600 / 60, "m")),
        _ => ((seconds / 86_400, "d"), (seconds % 86_400 / 3_600, "h")),
    };
    if second.0 == 0 {
        return format!("{}{}", first.0, first.1);
    }
    format!("{}{} {}{}", first.0, first.1, second.0, second.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_add_up_and_are_written_back() {
        for (text, millis) in
            [("250ms", 250), ("30s", 30_000), ("5m", 300_000), ("1h30m", 5_400_000), ("1d", 86_400_000), ("0s", 0)]
        {
            assert_eq!(parse(text).unwrap(), Duration::from_millis(millis), "{text}");
            assert_eq!(exact(Duration::from_millis(millis)), text);
        }
        assert_eq!(exact(parse("2w").unwrap()), "14d");
    }

    #[test]
    fn what_is_not_a_duration_says_why() {
        for (text, part) in [
            ("30", "has no unit"),
            ("-5s", "is negative"),
            ("", "is empty"),
            ("5 s", "is not a duration"),
            ("5y", "unknown unit \"y\""),
            ("s", "is not a duration"),
            ("99999999999999999999s", "longer than can be counted"),
            ("1.5h", "is not a duration"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn an_age_shows_its_two_largest_units() {
        let shown = |seconds| human(Duration::from_secs(seconds));
        assert_eq!(human(Duration::from_millis(850)), "850ms");
        assert_eq!(
            [shown(12), shown(60), shown(303), shown(7_500), shown(273_600)],
            ["12s", "1m", "5m 3s", "2h 5m", "3d 4h"]
        );
    }
}
