//! A file of schedules: TOML with `[[schedules]]`, or JSON, an array of objects or one after the other.

use std::collections::{BTreeMap, HashSet};
use std::io::Read as _;
use std::path::Path;

use lovage_core::RawJson;
use lovage_core::schedule::ScheduleSpec;

use crate::config::read_schedules;
use crate::error::{Failure, Outcome};
use crate::schedules::{self, Field};

/// Longest file in bytes.
const LONGEST: u64 = 64 * 1024 * 1024;

/// Reads the file, or standard input for `-`, and checks all that is in it.
pub fn read(source: &str) -> Outcome<Vec<ScheduleSpec>> {
    let text = text(source).map_err(|error| {
        Failure::usage("file", format!("file: {source} cannot be read ({error}); name a file of TOML or JSON in UTF-8"))
    })?;
    if is_json(source, &text) {
        return json(source, &text);
    }
    let schedules = read_schedules(Path::new(source), &text)?.ok_or_else(|| nothing(source))?;
    Ok(schedules.into_iter().map(|(spec, _)| spec).collect())
}

fn text(source: &str) -> std::io::Result<String> {
    let mut text = String::new();
    if source == "-" {
        std::io::stdin().lock().take(LONGEST).read_to_string(&mut text)?;
    } else {
        std::fs::File::open(source)?.take(LONGEST).read_to_string(&mut text)?;
    }
    Ok(text)
}

/// A file that says nothing is more likely a mistake (an empty pipe) than a wish to have none.
fn nothing(source: &str) -> Failure {
    let help = "write `schedules = []`, or [] in JSON, if there are to be none";
    Failure::usage("file", format!("file: {source} says nothing of schedules; {help}"))
}

fn is_json(source: &str, text: &str) -> bool {
    let ends = |ending: &str| Path::new(source).extension().is_some_and(|found| found.eq_ignore_ascii_case(ending));
    let text = text.trim_start();
    let looks = text.starts_with('{') || (text.starts_with('[') && !text.starts_with("[["));
    ["json", "ndjson", "jsonl"].into_iter().any(ends) || (looks && !ends("toml"))
}

type Object = BTreeMap<String, RawJson>;

fn json(source: &str, text: &str) -> Outcome<Vec<ScheduleSpec>> {
    let wrong = |error: serde_json::Error| {
        let help = "use an array of objects, or an object a line, with the fields of docs/guide/schedules.md";
        Failure::usage("file", format!("{source}: is no JSON of schedules ({error}); {help}"))
    };
    let objects: Vec<Object> = if text.trim_start().starts_with('[') {
        serde_json::from_str(text).map_err(wrong)?
    } else {
        let objects: Vec<Object> =
            serde_json::Deserializer::from_str(text).into_iter().collect::<Result<_, _>>().map_err(wrong)?;
        if objects.is_empty() {
            return Err(nothing(source));
        }
        objects
    };
    let mut known: Vec<ScheduleSpec> = Vec::with_capacity(objects.len());
    let mut names = HashSet::with_capacity(objects.len());
    for (index, object) in objects.iter().enumerate() {
        let fields: Vec<Field> = object.iter().map(|(field, json)| (field.clone(), json.get().to_owned())).collect();
        let place = format!("{source}: schedule number {}", index + 1);
        let spec = schedules::spec(&fields).map_err(|invalid| {
            let message = format!("{place}: {invalid}");
            Failure::usage(invalid.field, message)
        })?;
        if !names.insert(spec.name.clone()) {
            let message = format!("{place}: name: schedule {} is there twice; give each its own name", spec.name);
            return Err(Failure::usage("name", message));
        }
        known.push(spec);
    }
    Ok(known)
}
