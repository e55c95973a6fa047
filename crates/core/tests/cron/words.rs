//! What a schedule says in English, and its canonical text.

use std::collections::HashMap;

use jiff::tz::TimeZone;

use crate::{read, runs};

/// An expression, its canonical text, and its English.
const TABLE: &[(&str, &str, &str)] = &[
    ("0 3 * * *", "0 3 * * *", "at 03:00 every day"),
    ("30 15 3 * * *", "30 15 3 * * *", "at 03:15:30 every day"),
    ("15 30 3 * * *", "15 30 3 * * *", "at 03:30:15 every day"),
    ("0 3,15 * * *", "0 3,15 * * *", "at 03:00 and 15:00 every day"),
    ("0,30 9,10 * * *", "0,30 9,10 * * *", "at 09:00, 09:30, 10:00 and 10:30 every day"),
    ("* * * * *", "* * * * *", "every minute"),
    ("*/15 * * * *", "*/15 * * * *", "every 15 minutes"),
    ("*/15 9-17 * * 1-5", "*/15 9-17 * * mon-fri", "every 15 minutes from 09:00 to 17:59, Monday to Friday"),
    ("*/7 * * * *", "*/7 * * * *", "at the minutes 0 to 56 in steps of 7 of every hour"),
    ("5/10 * * * *", "5/10 * * * *", "at the minutes 5 to 55 in steps of 10 of every hour"),
    ("0 * * * *", "0 * * * *", "every hour"),
    ("5 * * * *", "5 * * * *", "at 5 minutes past every hour"),
    ("1 * * * *", "1 * * * *", "at 1 minute past every hour"),
    ("0 */2 * * *", "0 */2 * * *", "every 2 hours from 00:00"),
    ("0 */12 * * *", "0 0,12 * * *", "at 00:00 and 12:00 every day"),
    ("0 */5 * * *", "0 */5 * * *", "at 00:00, 05:00, 10:00, 15:00 and 20:00 every day"),
    ("0 9-17 * * mon-fri", "0 9-17 * * mon-fri", "every hour from 09:00 to 17:00, Monday to Friday"),
    ("10,20 * * * *", "10,20 * * * *", "at the minutes 10 and 20 of every hour"),
    ("*/20 1,3,5 * * *", "*/20 1,3,5 * * *", "every 20 minutes in the hours 1, 3 and 5"),
    ("* * * * * *", "* * * * * *", "every second"),
    ("*/10 * * * * *", "*/10 * * * * *", "every 10 seconds"),
    ("*/10 * 9-17 * * *", "*/10 * 9-17 * * *", "every 10 seconds from 09:00 to 17:59"),
    ("5 * * * * *", "5 * * * * *", "at second 5 of every minute"),
    ("0,30 5 * * * *", "0,30 5 * * * *", "every 30 seconds of minute 5 of every hour"),
    ("5,10 0 3 * * *", "5,10 0 3 * * *", "at the seconds 5 and 10 of minute 0 of hour 3"),
    ("* 30 3 * * *", "* 30 3 * * *", "every second of minute 30 of hour 3"),
    ("0 0 * * friL", "0 0 * * friL", "at 00:00 on the last Friday of each month"),
    ("0 9 * * mon#2", "0 9 * * mon#2", "at 09:00 on the second Monday of each month"),
    ("0 9 * * 1#1,1#3", "0 9 * * mon#1,mon#3", "at 09:00 on the first Monday and the third Monday of each month"),
    ("0 9 * * mon,wed,fri", "0 9 * * mon,wed,fri", "at 09:00 on Mondays, Wednesdays and Fridays"),
    ("0 9 * * sat,sun", "0 9 * * sat,sun", "at 09:00 on Saturdays and Sundays"),
    ("0 9 * * fri-mon", "0 9 * * mon,fri-sun", "at 09:00 on Mondays, Fridays, Saturdays and Sundays"),
    ("0 9 1 * *", "0 9 1 * *", "at 09:00 on day 1 of each month"),
    ("0 9 1,15 * *", "0 9 1,15 * *", "at 09:00 on days 1 and 15 of each month"),
    ("0 9 L * *", "0 9 L * *", "at 09:00 on the last day of each month"),
    ("0 9 LW * *", "0 9 LW * *", "at 09:00 on the last weekday (Monday to Friday) of each month"),
    ("0 9 15W * *", "0 9 15W * *", "at 09:00 on the weekday (Monday to Friday) nearest to day 15 of each month"),
    (
        "0 9 1W,LW,10 * *",
        "0 9 10,1W,LW * *",
        "at 09:00 on day 10, the weekday (Monday to Friday) nearest to day 1 and the last weekday (Monday to Friday) of each month",
    ),
    ("0 9 13 * 5", "0 9 13 * fri", "at 09:00 on day 13 of each month and also on Fridays"),
    ("0 9 13 6 fri", "0 9 13 6 fri", "at 09:00 on 13 June and also on Fridays in June"),
    ("0 9 13 * mon-fri", "0 9 13 * mon-fri", "at 09:00 on day 13 of each month and also on Monday to Friday"),
    ("0 9 13 6 mon-fri", "0 9 13 6 mon-fri", "at 09:00 on 13 June and also on Monday to Friday, in June"),
    ("0 9 */2 * mon", "0 9 */2 * mon", "at 09:00 on days 1 to 31 in steps of 2 of each month, if that is a Monday"),
    ("0 9 1-7 * */7", "0 9 1-7 * */7", "at 09:00 on days 1 to 7 of each month, if that is a Sunday"),
    ("0 9 * * */2", "0 9 * * */2", "at 09:00 on Tuesdays, Thursdays, Saturdays and Sundays"),
    ("0 9 */2 * *", "0 9 */2 * *", "at 09:00 on days 1 to 31 in steps of 2 of each month"),
    ("0 9 24 12 *", "0 9 24 12 *", "at 09:00 on 24 December"),
    ("0 9 1 1,4,7,10 *", "0 9 1 */3 *", "at 09:00 on day 1 of January, April, July and October"),
    ("0 9 * 6-8 *", "0 9 * 6-8 *", "at 09:00 every day in June, July and August"),
    ("*/5 * * 6-8 *", "*/5 * * 6-8 *", "every 5 minutes in June, July and August"),
    ("*/5 * * * mon", "*/5 * * * mon", "every 5 minutes on Mondays"),
    ("0 9 * 6 mon-fri", "0 9 * 6 mon-fri", "at 09:00, Monday to Friday, in June"),
    ("0 9 ? * 1-5", "0 9 * * mon-fri", "at 09:00, Monday to Friday"),
    ("0 22-2 * * *", "0 0-2,22,23 * * *", "at 00:00, 01:00, 02:00, 22:00 and 23:00 every day"),
    ("*/10 22-2 * * *", "*/10 0-2,22,23 * * *", "every 10 minutes in the hours 0 to 2, 22 and 23"),
    ("30 22-2 * * *", "30 0-2,22,23 * * *", "at 00:30, 01:30, 02:30, 22:30 and 23:30 every day"),
    ("0 9 1-31 * mon", "0 9 1-31 * mon", "at 09:00 every day"),
    ("@daily", "0 0 * * *", "at 00:00 every day"),
    ("@yearly", "0 0 1 1 *", "at 00:00 on 1 January"),
    ("@monthly", "0 0 1 * *", "at 00:00 on day 1 of each month"),
    ("@weekly", "0 0 * * sun", "at 00:00 on Sundays"),
    ("@hourly", "0 * * * *", "every hour"),
    ("@midnight", "0 0 * * *", "at 00:00 every day"),
    ("@annually", "0 0 1 1 *", "at 00:00 on 1 January"),
    ("@every 5m", "@every 5m", "every 5 minutes, counted from 1970-01-01T00:00:00Z"),
    ("@every 1h", "@every 1h", "every hour, counted from 1970-01-01T00:00:00Z"),
    ("@every 1h30m", "@every 1h30m", "every 1 hour 30 minutes, counted from 1970-01-01T00:00:00Z"),
    ("@every 1500ms", "@every 1s500ms", "every 1 second 500 milliseconds, counted from 1970-01-01T00:00:00Z"),
    ("@at 2026-12-01T03:00:00Z", "@at 2026-12-01T03:00:00Z", "once, at 2026-12-01T03:00:00Z"),
    ("@at 2026-12-01T03:00:00+01:00", "@at 2026-12-01T02:00:00Z", "once, at 2026-12-01T02:00:00Z"),
    ("@at 2026-12-01T03:00:00", "@at 2026-12-01T03:00:00", "once, at 2026-12-01T03:00:00 in the schedule's time zone"),
    (
        "@at 2026-12-01T03:00:00.250",
        "@at 2026-12-01T03:00:00.25",
        "once, at 2026-12-01T03:00:00.25 in the schedule's time zone",
    ),
    ("@at 2026-12-01", "@at 2026-12-01T00:00:00", "once, at 2026-12-01T00:00:00 in the schedule's time zone"),
    ("0 0 30 2 *", "0 0 30 2 *", "at 00:00 on 30 February, which never comes"),
    ("0 0 29 2 *", "0 0 29 2 *", "at 00:00 on 29 February"),
    (
        "0 9 L,13 2,3 monL,tue",
        "0 9 13,L 2,3 tue,monL",
        "at 09:00 on day 13 and the last day of February and March and also on Tuesdays and the last Monday of February and March",
    ),
    (
        "3-59/7 1-20/3 5-25/4 2-12/5 0,2,4",
        "3/7 1-19/3 5-25/4 2/5 tue,thu,sun",
        "at the minutes 3 to 59 in steps of 7 of the hours 1 to 19 in steps of 3 on days 5 to 25 in steps of 4 of February, July and December and also on Tuesdays, Thursdays and Sundays in February, July and December",
    ),
    ("0 0 * * mon,mon#2", "0 0 * * mon", "at 00:00 on Mondays"),
    ("0-10,12,14-59 * * * *", "0-10,12,14-59 * * * *", "at the minutes 0 to 10, 12 and 14 to 59 of every hour"),
];

#[test]
fn every_expression_has_a_canonical_text_and_says_what_it_means() {
    for (text, canonical, english) in TABLE {
        let recurrence = read(text);
        assert_eq!(recurrence.to_string(), *canonical, "{text}");
        assert_eq!(read(canonical), recurrence, "{text}");
        assert_eq!(recurrence.describe(), *english, "{text}");
    }
}

#[test]
fn the_guide_says_what_its_expressions_mean() {
    let guide = include_str!("../../../../docs/guide/cron.md");
    let rows: Vec<_> = guide.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | ")).collect();
    assert!(rows.len() > 20, "the table of the guide was not found");
    for (text, english) in rows {
        assert_eq!(read(text).describe(), english.trim_end_matches(" |"), "{text}");
    }
}

/// Whatever the words leave out must not matter: expressions that are described alike run at the same times.
#[test]
fn the_words_say_all_that_matters() {
    const MINUTES: [&str; 9] = ["0", "30", "*", "*/15", "*/25", "5,10", "10-20", "1-59/2", "0-4,30"];
    const HOURS: [&str; 9] = ["0", "9", "*", "*/6", "*/5", "8-17", "9,17", "22-23,0-3", "1-23/2"];
    const DAYS: [&str; 9] = ["*", "1", "L", "15W", "LW", "1,15", "*/2", "10-12", "31"];
    const MONTHS: [&str; 6] = ["*", "1", "jan,mar", "*/3", "6-8", "2"];
    const WEEKDAYS: [&str; 9] = ["*", "mon", "mon-fri", "0", "sun,sat", "mon#2", "5L", "1-5/2", "*/2"];
    let mut told: HashMap<String, String> = HashMap::new();
    for minute in MINUTES {
        for hour in HOURS {
            for day in DAYS {
                for month in MONTHS {
                    for weekday in WEEKDAYS {
                        let text = format!("{minute} {hour} {day} {month} {weekday}");
                        let Some(like) = told.insert(read(&text).describe(), text.clone()) else { continue };
                        let times = |text: &str| runs(text, "2026-01-01T00:00:00Z", &TimeZone::UTC, 150);
                        assert_eq!(times(&text), times(&like), "{text} and {like}: {}", read(&text).describe());
                    }
                }
            }
        }
    }
    assert!(told.len() > 30_000, "{} sentences", told.len());
}
