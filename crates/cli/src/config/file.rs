//! `lovage.toml`: every key is checked against the table, and every error names the line.

use std::collections::BTreeMap;
use std::path::Path;

use lovage_jobs::Dataset;
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::{ConfigError, Loaded, Origin, schedules, settings, unknown};

/// Settings that may also be written as a table: names with values.
const PAIRS: [&str; 2] = ["queues", "exports.keep_by_tenant"];

/// Applies the text of a file.
pub fn apply(loaded: &mut Loaded, path: &Path, text: &str) -> Result<(), ConfigError> {
    let parsed = DeTable::parse(text).map_err(|error| ConfigError {
        place: Origin::File(path.to_owned(), error.span().map_or(1, |span| line(text, span.start))).to_string(),
        key: None,
        problem: error.message().to_owned(),
    })?;
    let file = File { path, text };
    file.table(loaded, "", parsed.get_ref())
}

/// The datasets in a text of settings.
pub fn read_datasets(text: &str) -> Result<BTreeMap<String, Dataset>, toml::de::Error> {
    #[derive(serde::Deserialize)]
    struct Datasets {
        #[serde(default)]
        datasets: BTreeMap<String, Dataset>,
    }
    toml::from_str(text).map(|Datasets { datasets }| datasets)
}

struct File<'a> {
    path: &'a Path,
    text: &'a str,
}

impl File<'_> {
    fn table(&self, loaded: &mut Loaded, prefix: &str, table: &DeTable<'_>) -> Result<(), ConfigError> {
        for (name, value) in table {
            let key =
                if prefix.is_empty() { name.get_ref().to_string() } else { format!("{prefix}.{}", name.get_ref()) };
            match value.get_ref() {
                _ if key == "schedules" => self.schedules(loaded, value)?,
                DeValue::Table(_) if key == "datasets" => self.datasets(loaded)?,
                DeValue::Table(inner) if !PAIRS.contains(&key.as_str()) => self.table(loaded, &key, inner)?,
                _ => self.value(loaded, &key, name, value)?,
            }
        }
        Ok(())
    }

    /// Datasets have tables and lists of their own; their form is declared where exports read it.
    fn datasets(&self, loaded: &mut Loaded) -> Result<(), ConfigError> {
        let read = read_datasets(self.text).map_err(|error| ConfigError {
            place: Origin::File(self.path.to_owned(), error.span().map_or(1, |span| line(self.text, span.start)))
                .to_string(),
            key: Some("datasets".to_owned()),
            problem: format!("datasets: {}", error.message()),
        })?;
        loaded.config.datasets = read;
        Ok(())
    }

    /// Schedules have a form of their own, too, with errors that name the schedule and the field.
    fn schedules(&self, loaded: &mut Loaded, value: &Spanned<DeValue<'_>>) -> Result<(), ConfigError> {
        let mut specs = Vec::new();
        for (spec, line) in schedules::read(self.path, self.text, value)? {
            loaded.origins.insert(format!("schedules.{}", spec.name), Origin::File(self.path.to_owned(), line));
            specs.push(spec);
        }
        loaded.config.schedules.0 = Some(specs);
        Ok(())
    }

    fn value(
        &self,
        loaded: &mut Loaded,
        key: &str,
        name: &Spanned<DeString<'_>>,
        value: &Spanned<DeValue<'_>>,
    ) -> Result<(), ConfigError> {
        let origin = Origin::File(self.path.to_owned(), line(self.text, name.span().start));
        let text = scalar(value.get_ref()).ok_or_else(|| ConfigError {
            place: origin.to_string(),
            key: Some(key.to_owned()),
            problem: if settings::is_key(key) {
                let form = value.get_ref().type_str();
                format!("{key}: is of type {form}; use a text, a number or true/false")
            } else {
                unknown("setting", key, &settings::keys())
            },
        })?;
        loaded.set(key, &text, origin)
    }
}

/// The value as the text that the environment would carry.
fn scalar(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str().to_owned()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix()).ok().map(|n| n.to_string()),
        DeValue::Float(number) => Some(number.as_str().to_owned()),
        DeValue::Boolean(flag) => Some(flag.to_string()),
        DeValue::Table(weights) => {
            let parts =
                weights.iter().map(|(name, weight)| Some(format!("{}={}", name.get_ref(), scalar(weight.get_ref())?)));
            Some(parts.collect::<Option<Vec<_>>>()?.join(","))
        }
        DeValue::Datetime(_) | DeValue::Array(_) => None,
    }
}

/// The line of a place in a text, from 1.
pub fn line(text: &str, offset: usize) -> usize {
    text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count() + 1
}
