//! What is read and what is refused: each error names the field and the column, and says what to do.

use lovage_core::cron::Recurrence;

use crate::read;

#[test]
fn ways_of_writing_the_same_are_the_same() {
    for (text, same) in [
        ("0 9 * * MON-Fri", "0 9 * * 1-5"),
        ("0 9 * JAN,dec *", "0 9 * 1,12 *"),
        ("0 9 * * 0", "0 9 * * 7"),
        ("0 9 * * 5-7", "0 9 * * fri,sat,sun"),
        ("0 9 * * fri-sun", "0 9 * * 5-7"),
        ("0 9 * * 7-2", "0 9 * * sun,mon,tue"),
        ("0 9 * * 07-07", "0 9 * * sun"),
        ("0 9 * * 0-7", "0 9 * * mon-sun"),
        ("0 9 * * 7/3", "0 9 * * sun,wed,sat"),
        ("0 9 * * fri-mon/2", "0 9 * * fri,sun"),
        ("0 22-2 * * *", "0 22,23,0,1,2 * * *"),
        ("0 9 28-3 * *", "0 9 28,29,30,31,1,2,3 * *"),
        ("0 9 * nov-feb *", "0 9 * 11,12,1,2 *"),
        ("50-10/10 * * * *", "50,0,10 * * * *"),
        ("0 0-23 * * *", "0 */1 * * *"),
        ("0 9 ? * ?", "0 9 * * *"),
        ("0 9 l * *", "0 9 L * *"),
        ("0 9 15w,lw * *", "0 9 LW,15W * *"),
        ("0 9 * * 5L", "0 9 * * fril"),
        ("0 9 * * 7#2", "0 9 * * SUN#2"),
        ("0 0 9 * * *", "0 9 * * *"),
        ("  0\t9 *  * * ", "0 9 * * *"),
        ("*/60 */24 * * *", "0 0 * * *"),
        ("@Daily", "@midnight"),
        ("@every 60s", "@every 1m"),
        ("@at 2026-12-01T04:00:00+01:00", "@at 2026-12-01T03:00:00Z"),
    ] {
        assert_eq!(read(text), read(same), "{text} and {same}");
    }
}

#[test]
fn a_star_at_the_beginning_of_a_day_field_is_kept() {
    assert_ne!(read("0 9 */2 * mon"), read("0 9 1-31/2 * mon"));
    assert_ne!(read("0 9 1-31 * mon"), read("0 9 * * mon"));
    for text in ["0 9 */2,4 * mon", "0 9 */7,L * mon", "0 9 1 * */4,mon,wedL", "0 9 *,L * 1", "0 9 */31,2 * 1"] {
        assert_eq!(read(&read(text).to_string()), read(text), "{text}");
    }
}

#[test]
fn what_is_refused_is_named_with_its_field_and_its_column() {
    for (text, problem, help) in [
        ("", "is empty", "five fields"),
        ("   ", "is empty", "five fields"),
        ("* * *", "has 3 fields", "or six with the second first"),
        ("0 0 3 * * * 2026", "has 7 fields", "five fields"),
        ("60 * * * *", "minute: 60 at column 1 is out of range", "use 0 to 59"),
        ("60 0 * * * *", "second: 60 at column 1 is out of range", "use 0 to 59"),
        ("0 24 * * *", "hour: 24 at column 3 is out of range", "use 0 to 23"),
        ("0 0 0 * *", "day of month: 0 at column 5 is out of range", "use 1 to 31"),
        ("0 0 32W * *", "day of month: 32 at column 5 is out of range", "use 1 to 31"),
        ("0 0 * 13 *", "month: 13 at column 7 is out of range", "use 1 to 12 or jan to dec"),
        ("0 0 * * 8", "day of week: 8 at column 9 is out of range", "use 0 to 6, 7 for Sunday, or sun to sat"),
        ("1--100000000 * * * *", "minute: \"-100000000\" at column 3 is not a value", "use 0 to 59"),
        ("0 1-100000000000000000000 * * *", "hour: 100000000000000000000 at column 5 is out of range", "use 0 to 23"),
        ("*/0 * * * *", "minute: 0 at column 3 is not a step", "1 to 60"),
        ("*/90 * * * *", "minute: 90 at column 3 is a step over more than the whole field", "`@every 90m`"),
        ("*/ * * * *", "minute: a step is missing at column 3", "as in `*/2`"),
        ("*/x * * * *", "minute: x at column 3 is not a step", "1 to 60"),
        ("1,,2 * * * *", "minute: a value is missing at column 3", "use 0 to 59"),
        ("1,2, * * * *", "minute: a value is missing at column 5", "use 0 to 59"),
        ("5- * * * *", "minute: a value is missing at column 3", "use 0 to 59"),
        ("1.5 * * * *", "minute: \"1.5\" at column 1 is not a value", "use 0 to 59"),
        ("é 0 * * *", "minute: \"é\" at column 1 is not a value", "use 0 to 59"),
        ("0 ? * * *", "hour: \"?\" at column 3 has a meaning only in the two day fields", "use `*`"),
        ("0 0 * * tus", "day of week: tus at column 9 is no name", "did you mean `tue`?"),
        ("0 0 * * monday", "day of week: monday at column 9 is no name", "did you mean `mon`?"),
        ("0 0 * sept *", "month: sept at column 7 is no name", "did you mean `sep`?"),
        ("0 0 * * x", "day of week: x at column 9 is no name", "or sun to sat"),
        ("0 0 * * L", "day of week: L at column 9 is not a day", "`friL`"),
        ("0 0 L-3 * *", "day of month: \"L-3\" at column 5 is not a day", "`LW`"),
        ("0 0 * * mon#6", "day of week: 6 at column 13 is not 1 to 5", "`mon#2`"),
        ("0 0 * * mon#", "day of week: a number is missing at column 13", "`mon#2`"),
        ("CRON_TZ=UTC 0 0 * * *", "setting: \"CRON_TZ=UTC\" at column 1 is no part", "the zone has a field of its own"),
        ("@dialy", "shorthand: \"@dialy\" at column 1 is no shorthand", "did you mean `@daily`?"),
        ("@reboot", "shorthand: \"@reboot\" at column 1 is no shorthand", "use one of @yearly"),
        ("@daily 5", "@daily: 5 at column 8 is too much", "`@daily` stands alone"),
        ("@every", "@every: an interval is missing", "@every 5m"),
        ("@every 5", "@every: \"5\" has no unit at column 8", "5m"),
        ("@every 500ms", "@every: 500ms at column 8 is too short", "at least `@every 1s`"),
        ("@at", "@at: a time is missing", "2026-12-01T03:00:00Z"),
        ("@at tomorrow", "@at: tomorrow at column 5 is not a time", "2026-12-01T03:00:00Z"),
        ("@at 2026-02-30T00:00:00Z", "at column 5 is not a time", "2026-12-01T03:00:00Z"),
        ("@at 2026-12-01T03:00:00+01:00[Europe/Berlin]", "has a zone in brackets", "of the schedule's zone"),
        ("@at 1969-12-31T00:00:00Z", "lies before 1970", "still to come"),
        ("@at 1969-12-31T00:00:00", "lies before 1970", "still to come"),
    ] {
        let error = Recurrence::parse(text).expect_err(text);
        assert_eq!(error.field, "cron", "{text}");
        assert!(error.problem.contains(problem), "{text}: {error}");
        assert!(error.help.contains(help), "{text}: {error}");
    }
}

#[test]
fn long_texts_are_refused_also_when_only_their_canonical_text_is_long() {
    let long = format!("{} * * * *", "1,".repeat(150));
    assert_eq!(Recurrence::parse(&long).unwrap_err().problem, "is longer than 256 characters");
    let dense = "*/3,2/3";
    let error = Recurrence::parse(&format!("{dense} {dense} {dense} {dense} * *")).unwrap_err();
    assert!(error.problem.ends_with("when its lists are written out"), "{error}");
}

#[test]
fn a_schedule_is_its_text_in_json() {
    let recurrence = read("*/15 9-17 * * 1-5");
    let json = serde_json::to_string(&recurrence).unwrap();
    assert_eq!(json, r#""*/15 9-17 * * mon-fri""#);
    assert_eq!(serde_json::from_str::<Recurrence>(&json).unwrap(), recurrence);
    assert!(serde_json::from_str::<Recurrence>(r#""61 * * * *""#).unwrap_err().to_string().contains("minute: 61"));
}
