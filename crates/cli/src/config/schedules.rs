//! `[[schedules]]` of a file: each table becomes a schedule, and every error names the line, the schedule and the field.

use std::collections::HashMap;
use std::path::Path;

use lovage_core::ScheduleName;
use lovage_core::schedule::ScheduleSpec;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::file::line;
use super::{ConfigError, Origin};
use crate::schedules::{self, Field};

/// Schedules of a configuration; nothing if it does not say which there are, which is not the same as none.
#[derive(Debug, Clone, Default)]
pub struct Schedules(pub Option<Vec<ScheduleSpec>>);

impl Schedules {
    /// Those that there are.
    pub fn specs(&self) -> &[ScheduleSpec] {
        self.0.as_deref().unwrap_or_default()
    }
}

/// They are the same if they are written the same.
impl PartialEq for Schedules {
    fn eq(&self, other: &Self) -> bool {
        let text = |schedules: &Self| serde_json::to_string(&schedules.0).unwrap_or_default();
        text(self) == text(other)
    }
}

/// The schedules of a file that has nothing else, each with its line; nothing if it does not say which there are.
pub fn read_schedules(path: &Path, text: &str) -> Result<Option<Vec<(ScheduleSpec, usize)>>, ConfigError> {
    let failed = |line: usize, key: Option<&str>, problem: String| ConfigError {
        place: Origin::File(path.to_owned(), line).to_string(),
        key: key.map(str::to_owned),
        problem,
    };
    let parsed = DeTable::parse(text).map_err(|error| {
        failed(error.span().map_or(1, |span| line(text, span.start)), None, error.message().to_owned())
    })?;
    let mut read_them = None;
    for (key, value) in parsed.get_ref() {
        if key.get_ref() != "schedules" {
            let problem = format!("{}: is no schedule; a file of schedules has [[schedules]] only", key.get_ref());
            return Err(failed(line(text, key.span().start), Some(key.get_ref()), problem));
        }
        read_them = Some(read(path, text, value)?);
    }
    Ok(read_them)
}

/// The schedules that a value of the key `schedules` says, each with its line.
pub fn read(path: &Path, text: &str, value: &Spanned<DeValue<'_>>) -> Result<Vec<(ScheduleSpec, usize)>, ConfigError> {
    let failed = |offset: usize, key: String, problem: String| ConfigError {
        place: Origin::File(path.to_owned(), line(text, offset)).to_string(),
        key: Some(key),
        problem,
    };
    let lists = "is no list of tables; begin each schedule with [[schedules]]";
    let whole = |offset: usize| failed(offset, "schedules".to_owned(), format!("schedules: {lists}"));
    let DeValue::Array(list) = value.get_ref() else { return Err(whole(value.span().start)) };
    let mut known: Vec<(ScheduleSpec, usize)> = Vec::with_capacity(list.len());
    let mut lines: HashMap<ScheduleName, usize> = HashMap::with_capacity(list.len());
    // They come in the order of the text, of which each part is counted once.
    let (mut counted, mut at) = (0, 1);
    for item in list {
        let DeValue::Table(table) = item.get_ref() else { return Err(whole(item.span().start)) };
        let fields = fields(table).map_err(|(offset, field, problem)| {
            let problem = format!("{field}: {problem}");
            failed(offset, field, problem)
        })?;
        let spec = schedules::spec(&fields).map_err(|invalid| {
            let key = table.iter().find(|(key, _)| *key.get_ref() == invalid.field);
            let offset = key.map_or(item.span().start, |(key, _)| key.span().start);
            let problem = invalid.to_string();
            failed(offset, invalid.field, problem)
        })?;
        let start = item.span().start.max(counted);
        (at, counted) = (at + line(&text[counted..], start - counted) - 1, start);
        if let Some(before) = lines.insert(spec.name.clone(), at) {
            let problem = format!("name: schedule {} stands in line {before}, too; give each its own name", spec.name);
            return Err(failed(item.span().start, "name".to_owned(), problem));
        }
        known.push((spec, at));
    }
    Ok(known)
}

/// The fields of a table; the error has its place, the field and the problem.
fn fields(table: &DeTable<'_>) -> Result<Vec<Field>, (usize, String, String)> {
    let field = |(key, value): (&Spanned<_>, &Spanned<DeValue<'_>>)| {
        let name: &toml::de::DeString<'_> = key.get_ref();
        let json = json(value.get_ref()).map_err(|problem| (value.span().start, name.to_string(), problem))?;
        Ok((name.to_string(), json))
    };
    table.iter().map(field).collect()
}

/// A value as JSON, numbers digit by digit as they were written.
fn json(value: &DeValue<'_>) -> Result<String, String> {
    let text = |text: &str| serde_json::Value::from(text).to_string();
    Ok(match value {
        DeValue::String(string) => text(string),
        DeValue::Integer(number) if number.radix() == 10 => number.as_str().trim_start_matches('+').to_owned(),
        DeValue::Integer(number) => {
            let read = i128::from_str_radix(number.as_str(), number.radix());
            read.map_err(|_| format!("{number} is too large"))?.to_string()
        }
        DeValue::Float(number) => {
            let digits = number.as_str().trim_start_matches('+');
            if digits.contains("inf") || digits.contains("nan") {
                return Err(format!("JSON has no {digits}; use a number"));
            }
            digits.to_owned()
        }
        DeValue::Boolean(flag) => flag.to_string(),
        DeValue::Datetime(at) => text(&at.to_string()),
        DeValue::Array(list) => {
            let items = list.iter().map(|item| json(item.get_ref())).collect::<Result<Vec<_>, _>>()?;
            format!("[{}]", items.join(","))
        }
        DeValue::Table(table) => {
            let entry = |(key, value): (&Spanned<toml::de::DeString<'_>>, &Spanned<DeValue<'_>>)| {
                Ok(format!("{}:{}", text(key.get_ref()), json(value.get_ref())?))
            };
            format!("{{{}}}", table.iter().map(entry).collect::<Result<Vec<_>, String>>()?.join(","))
        }
    })
}
