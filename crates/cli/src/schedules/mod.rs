//! Schedules as people write them: in `lovage.toml`, in files of `lovage schedule apply`, as options of `lovage schedule add`.
//!
//! All three become fields with JSON values, and those a [`ScheduleSpec`], so that a mistake is told with the same words: the
//! schedule, the field, and in an expression the column.

mod kinds;
mod upcoming;

use jiff::tz::TimeZone;
use lovage_core::schedule::{FIELDS, ScheduleSpec};
use lovage_core::{Invalid, nearest};
use lovage_scheduler::zone;

pub use kinds::Kinds;
pub use upcoming::{local, offset, upcoming};

/// Those that cannot be left out, with what they say.
const REQUIRED: [(&str, &str); 3] = [
    ("cron", "say when it runs, e.g. \"0 2 * * *\""),
    ("queue", "name the queue that its jobs join"),
    ("kind", "name the handler that runs its jobs, e.g. \"export.query\""),
];
const HELP: &str = "docs/guide/schedules.md has the fields of a schedule";

/// A field: its name, and its value as JSON.
pub type Field = (String, String);

/// The schedule that the fields say. The error's field is the one that is wrong.
pub fn spec(fields: &[Field]) -> Result<ScheduleSpec, Invalid> {
    let Some((_, name)) = fields.iter().find(|(field, _)| field == "name") else {
        return Err(Invalid::new("name", "a schedule has none", "give each its own, e.g. \"nightly-orders\""));
    };
    let name = serde_json::from_str::<String>(name).unwrap_or_else(|_| name.clone());
    for (field, json) in fields {
        check(&name, field, json)?;
    }
    for (field, help) in REQUIRED {
        if !fields.iter().any(|(known, _)| known == field) {
            return Err(Invalid::new(field, format!("of schedule {name}: is missing"), help));
        }
    }
    let spec: ScheduleSpec = serde_json::from_str(&object(fields.iter().map(|(field, json)| (&**field, &**json))))
        .map_err(|error| Invalid::new("schedule", format!("{name}: {error}"), HELP))?;
    spec.check(zone).map_err(|invalid| better(&name, &spec, invalid))?;
    Ok(spec)
}

/// Whether one field can be read. Beside valid others, so that what fails is this one.
fn check(name: &str, field: &str, json: &str) -> Result<(), Invalid> {
    if !FIELDS.contains(&field) {
        let help = nearest(field, FIELDS).map_or(HELP.to_owned(), |known| format!("did you mean {known:?}?"));
        return Err(Invalid::new(field, format!("of schedule {name}: there is no such field"), help));
    }
    let others = [("name", "\"x\""), ("cron", "\"@daily\""), ("queue", "\"x\""), ("kind", "\"x\"")];
    let others = others.into_iter().filter(|(other, _)| *other != field);
    let Err(error) = serde_json::from_str::<ScheduleSpec>(&object(others.chain([(field, json)]))) else {
        return Ok(());
    };
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    let text = text.strip_suffix(&place).unwrap_or(&text);
    let text = text.strip_prefix(field).and_then(|rest| rest.strip_prefix(": ")).unwrap_or(text);
    let (problem, help) = text.split_once("; ").unwrap_or((text, HELP));
    Err(Invalid::new(field, format!("of schedule {name}: {problem}"), help))
}

fn object<'f>(fields: impl Iterator<Item = (&'f str, &'f str)>) -> String {
    let fields = fields.map(|(field, json)| format!("{}:{json}", serde_json::Value::from(field)));
    format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
}

/// The error with the schedule's name, and for a zone with the one that was probably meant.
fn better(name: &str, spec: &ScheduleSpec, mut invalid: Invalid) -> Invalid {
    if invalid.field == "timezone"
        && let Some(known) = nearest_zone(&spec.timezone)
    {
        invalid.help = format!("did you mean {known:?}?");
    }
    if !invalid.problem.contains(&format!("schedule {name}")) {
        invalid.problem = format!("of schedule {name}: {}", invalid.problem);
    }
    invalid
}

fn nearest_zone(name: &str) -> Option<String> {
    let known = jiff::tz::db().available().map(|known| known.to_string());
    let known: Vec<String> = known.filter(|known| zone(known).is_some()).collect();
    let city = known.iter().find(|zone| zone.rsplit('/').next().is_some_and(|city| city.eq_ignore_ascii_case(name)));
    city.map(String::as_str).or_else(|| nearest(name, known.iter().map(String::as_str))).map(str::to_owned)
}

/// The zone of that name; the error is that of a schedule.
pub fn named_zone(name: &str) -> Result<TimeZone, Invalid> {
    zone(name).ok_or_else(|| {
        let help = nearest_zone(name).map_or_else(
            || "use a name of the IANA database, e.g. Europe/Berlin, or UTC".to_owned(),
            |known| format!("did you mean {known:?}?"),
        );
        Invalid::new("timezone", format!("there is no zone {name:?}"), help)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(more: &[(&str, &str)]) -> Vec<Field> {
        let base = [("name", "\"nightly\""), ("cron", "\"0 2 * * *\""), ("queue", "\"exports\""), ("kind", "\"k\"")];
        let kept = base.iter().filter(|(name, _)| more.iter().all(|(other, _)| other != name));
        kept.chain(more).map(|(name, json)| ((*name).to_owned(), (*json).to_owned())).collect()
    }

    #[test]
    fn every_field_of_a_schedule_is_known() {
        let all = fields(&[
            ("args", r#"{"n":12345678901234567890}"#),
            ("timezone", "\"Europe/Berlin\""),
            ("jitter", "\"5m\""),
            ("starts_at", "\"2026-01-01T00:00:00Z\""),
            ("ends_at", "\"2027-01-01T00:00:00Z\""),
            ("missed", "\"all\""),
            ("missed_max", "5"),
            ("missed_age", "\"2h\""),
            ("overlap", "\"queue_one\""),
            ("success_within", "\"26h\""),
            ("description", "\"d\""),
            ("priority", "3"),
            ("tenant", "\"acme\""),
            ("key", "\"db\""),
            ("tags", r#"["a"]"#),
            ("metadata", r#"{"a":"b"}"#),
            ("timeout_ms", "1000"),
            ("retry", r#"{"max_attempts":2}"#),
            ("expires_after", "\"1h\""),
        ]);
        let spec = spec(&all).unwrap();
        let written: std::collections::BTreeMap<String, serde_json::Value> =
            serde_json::from_str(&serde_json::to_string(&spec).unwrap()).unwrap();
        let mut known = FIELDS.to_vec();
        known.sort_unstable();
        assert_eq!(written.keys().map(String::as_str).collect::<Vec<_>>(), known);
        assert!(spec.args.get().contains("12345678901234567890"), "numbers stay exact");
    }

    #[test]
    fn what_is_wrong_is_told_with_schedule_and_field() {
        for (field, json, parts) in [
            ("cron", "\"1--100000000 * * * *\"", ["minute", "column"]),
            ("cron", "\"60 2 * * *\"", ["minute: 60 at column 1 is out of range", "use 0 to 59"]),
            ("cron", "\"@every 10ms\"", ["@every", "1s"]),
            ("cron", "5", ["invalid type", "docs/guide/schedules.md"]),
            ("timezone", "\"Europe/Berln\"", ["there is no zone \"Europe/Berln\"", "did you mean \"Europe/Berlin\"?"]),
            ("timezone", "\"berlin\"", ["", "did you mean \"Europe/Berlin\"?"]),
            ("overlap", "\"maybe\"", ["unknown variant `maybe`", "skip"]),
            ("jitter", "\"5\"", ["\"5\" has no unit", "5m"]),
            ("jitter", "\"5h\"", ["is too long", "at most 1h"]),
            ("queue", "\"A\"", ["contains 'A'", "1 to 64"]),
            ("priority", "11", ["", "9"]),
            ("tags", "[5]", ["invalid type", ""]),
            ("tenat", "\"a\"", ["there is no such field", "did you mean \"tenant\"?"]),
            ("args", r#""{{ tick.dat }}""#, ["there is no placeholder {{ tick.dat }}", "tick.date"]),
        ] {
            let invalid = spec(&fields(&[(field, json)])).unwrap_err();
            assert_eq!(invalid.field, field, "{invalid}");
            let told = invalid.to_string();
            for part in [parts[0], parts[1], &format!("{field}: of schedule nightly: ")] {
                assert!(told.contains(part), "{part:?} is not in {told}");
            }
            assert!(!told.contains("line 1"), "{told}");
        }
        let missing: Vec<Field> = fields(&[]).into_iter().filter(|(name, _)| name != "cron").collect();
        assert_eq!(spec(&missing).unwrap_err().field, "cron");
        assert_eq!(spec(&[]).unwrap_err().field, "name");
    }
}
