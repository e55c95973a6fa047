//! Names of sheets and columns.

use lovage_core::Invalid;

/// The most that the name of a sheet holds, in units of UTF-16.
const LONGEST: usize = 31;
const FORBIDDEN: [char; 7] = ['[', ']', ':', '*', '?', '/', '\\'];

/// Checks the name of the first sheet; Excel calls a workbook damaged in which one breaks its rules.
pub(super) fn check(name: &str) -> Result<(), Invalid> {
    let wrong = |problem: String, help: &str| Err(Invalid::new("sheet", problem, help));
    if name.is_empty() {
        return wrong("is empty".to_owned(), "name the sheet, e.g. data");
    }
    if units(name) > LONGEST {
        return wrong(format!("{name:?} has {} characters", units(name)), "use at most 31");
    }
    if name.contains(FORBIDDEN) {
        return wrong(format!("is {name:?}"), "leave out [ ] : * ? / \\");
    }
    if name.starts_with('\'') || name.ends_with('\'') {
        return wrong(format!("is {name:?}"), "an apostrophe can stand neither first nor last");
    }
    if name.contains(|c: char| c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}')) {
        return wrong(format!("is {name:?}"), "leave out control characters");
    }
    if name.eq_ignore_ascii_case("history") {
        return wrong(format!("is {name:?}"), "Excel keeps this name for itself; use another");
    }
    Ok(())
}

/// The name of the sheet after those in `taken`, of which the first has the name that was asked for: `data_2`. A long name
/// is shortened to make room for the number.
pub(super) fn next(taken: &[String]) -> String {
    let first = taken.first().map_or("", String::as_str);
    // The shortened name may be one that is there: a first name that ends with a number itself.
    let mut numbers = taken.len() + 1..;
    loop {
        let number = format!("_{}", numbers.next().unwrap_or_default());
        let mut room = LONGEST.saturating_sub(number.len());
        let kept = first.chars().take_while(|c| {
            let fits = c.len_utf16() <= room;
            room = if fits { room - c.len_utf16() } else { 0 };
            fits
        });
        let name: String = kept.chain(number.chars()).collect();
        if !taken.contains(&name) {
            return name;
        }
    }
}

fn units(name: &str) -> usize {
    name.encode_utf16().count()
}

/// The letters of a column, counted from 0: `A`, `Z`, `AA`.
pub(super) fn letters(mut column: usize) -> String {
    let mut letters = Vec::new();
    loop {
        letters.push(char::from(b'A' + (column % 26) as u8));
        if column < 26 {
            return letters.into_iter().rev().collect();
        }
        column = column / 26 - 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_excel_refuses_are_refused() {
        let long = "x".repeat(32);
        let emoji = "😀".repeat(16);
        for name in ["", &long, &emoji, "a[b", "a:b", "a/b", "a\\b", "a*", "a?", "'a", "a'", "HiStory", "a\u{1}"] {
            let error = check(name).unwrap_err();
            assert_eq!(error.field, "sheet", "{name:?}");
        }
        for name in ["data", "it's", &"x".repeat(31), &"😀".repeat(15), "订单 2024", "a&b<c>\"d\"", "history2"] {
            check(name).unwrap();
        }
    }

    #[test]
    fn further_sheets_are_numbered_and_never_share_a_name() {
        let of = |names: &[&str]| next(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        assert_eq!(of(&["data"]), "data_2");
        assert_eq!(of(&["data", "data_2"]), "data_3");
        let long = format!("{}_2", "x".repeat(29));
        assert_eq!(of(&[&long]), format!("{}_3", "x".repeat(29)));
        let emoji = "😀".repeat(15);
        assert_eq!(of(&[&emoji]), format!("{}_2", "😀".repeat(14)));
        check(&of(&[&emoji])).unwrap();
    }

    #[test]
    fn columns_have_letters() {
        let known = [(0, "A"), (25, "Z"), (26, "AA"), (701, "ZZ"), (702, "AAA"), (16_383, "XFD")];
        for (column, name) in known {
            assert_eq!(letters(column), name);
        }
    }
}
