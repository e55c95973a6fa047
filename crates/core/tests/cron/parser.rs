//! Hostile and nearly right texts: an answer at once, and what is read is written back.

use std::time::Duration;

use lovage_core::Timestamp;
use lovage_core::cron::Recurrence;
use proptest::prelude::*;

use crate::{read, zone};

/// How long something takes: the least of several rounds, so that a busy machine does not break a bound.
#[expect(clippy::disallowed_methods, reason = "a bound of real time is what is tested")]
fn time(work: impl Fn()) -> Duration {
    let round = || {
        let start = std::time::Instant::now();
        work();
        start.elapsed()
    };
    (0..5).map(|_| round()).min().unwrap()
}

/// Everything that may be asked of a text, without a panic.
fn ask(text: &str, after: u64) {
    let Ok(recurrence) = Recurrence::parse(text) else { return };
    let canonical = recurrence.to_string();
    assert_eq!(read(&canonical), recurrence, "{text} became {canonical}");
    assert_eq!(read(&canonical).to_string(), canonical, "{text}");
    assert!(recurrence.describe().is_ascii() && !recurrence.describe().is_empty(), "{text}");
    let (zone, after) = (zone("Australia/Lord_Howe"), Timestamp::from_millis(after));
    if let Some(next) = recurrence.next(after, &zone) {
        assert!(next > after, "{text}");
        let _ = recurrence.note(next, &zone);
        // Nothing lies between: from just before the run, it is the run that comes.
        assert_eq!(recurrence.next(Timestamp::from_millis(next.as_millis() - 1), &zone), Some(next), "{text}");
    }
}

/// Texts that are nearly expressions, and often are.
fn nearly() -> impl Strategy<Value = String> {
    let value = prop_oneof![
        4 => (0u32..32).prop_map(|value| value.to_string()),
        1 => (0u32..100).prop_map(|value| value.to_string()),
        1 => prop::sample::select(vec!["mon", "SUN", "fri", "jan", "dec", "L", "LW", "15W", "friL", "7L", "mon#2", "2#6"])
            .prop_map(str::to_owned),
    ];
    let item = prop_oneof![
        3 => Just("*".to_owned()),
        1 => Just("?".to_owned()),
        2 => (1u32..40).prop_map(|step| format!("*/{step}")),
        4 => value.clone(),
        2 => (value.clone(), value.clone()).prop_map(|(low, high)| format!("{low}-{high}")),
        1 => (value.clone(), value.clone(), 0u32..9).prop_map(|(low, high, step)| format!("{low}-{high}/{step}")),
        1 => (value, 1u32..9).prop_map(|(low, step)| format!("{low}/{step}")),
    ];
    let field = prop::collection::vec(item, 1..4).prop_map(|items| items.join(","));
    prop::collection::vec(field, 4..8).prop_map(|fields| fields.join(" "))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_has_an_answer(text in ".{0,300}", after in 0u64..4_102_444_800_000) {
        ask(&text, after);
    }

    #[test]
    fn any_text_of_the_letters_of_expressions_has_an_answer(
        text in "@?[-0-9*,/?LW#a-z ]{0,60}",
        after in 0u64..4_102_444_800_000,
    ) {
        ask(&text, after);
    }

    #[test]
    fn shorthands_of_any_ending_have_an_answer(text in "@(at|every) [-0-9T:.Z+mshd]{1,30}", after in 0u64..4_102_444_800_000) {
        ask(&text, after);
    }

    #[test]
    fn expressions_are_read_written_and_asked(text in nearly(), after in 0u64..4_102_444_800_000) {
        ask(&text, after);
    }
}

/// Row 14.
#[test]
fn hostile_texts_are_answered_in_less_than_a_millisecond() {
    let texts = [
        "1--100000000 * * * *".to_owned(),
        "0-99999999999999999999 * * * *".to_owned(),
        "*/4294967296 * * * *".to_owned(),
        "1,".repeat(127),
        "*,".repeat(120) + "* * * * *",
        "*/1,".repeat(60) + "* * * * *",
        "@every 99999999999999w".to_owned(),
        "x".repeat(1_000_000),
        " ".repeat(250),
        "é".repeat(256),
    ];
    for text in texts {
        let many = time(|| (0..20).for_each(|_| drop(Recurrence::parse(&text))));
        assert!(many < Duration::from_millis(20), "{}: {many:?} for 20", text.chars().take(40).collect::<String>());
    }
}

/// Row 14.
#[test]
fn never_is_known_in_less_than_a_millisecond() {
    let zone = zone("America/New_York");
    for text in ["0 0 30 2 *", "0 0 31 4,6 *", "0 0 LW * */7", "* * * 31 2,4,6,9,11 *", "0 0 30W 2 *"] {
        let recurrence = read(text);
        let many = time(|| {
            for start in 0..100 {
                assert_eq!(recurrence.next(Timestamp::from_millis(start * 40_000_000_000), &zone), None, "{text}");
            }
        });
        assert!(many < Duration::from_millis(100), "{text}: {many:?} for 100");
    }
}
