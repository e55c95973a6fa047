//! The environment: each setting's variable, `NAME_FILE` for secrets from files, `LOVAGE_SOURCES__NAME__URL`.

use std::collections::BTreeMap;
use std::ffi::OsString;

use super::settings::SETTINGS;
use super::{ConfigError, Loaded, Origin, unknown};

/// Applies the variables that are ours and refuses those that look like ours and are not.
pub fn apply(
    loaded: &mut Loaded,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<(), ConfigError> {
    // Sorted, so that the first complaint does not depend on the order in which the shell exports.
    let variables: BTreeMap<OsString, OsString> = variables.into_iter().collect();
    let mut seen: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in variables {
        // What is not UTF-8 is not one of our names.
        let Ok(name) = name.into_string() else { continue };
        let Some((key, from_file)) = target(&name) else {
            if name.starts_with("LOVAGE_") && !is_service_link(&name) {
                return Err(failed(&name, None, unknown("variable", &name, &names())));
            }
            continue;
        };
        let Ok(value) = value.into_string() else {
            return Err(failed(&name, Some(key), "is not UTF-8; set it to plain text".to_owned()));
        };
        if value.is_empty() {
            // An empty variable is an unset one: compose files and charts pass variables through like that.
            continue;
        }
        if let Some(other) = seen.insert(key.clone(), name.clone()) {
            return Err(failed(&name, Some(key), format!("is set together with {other}; use one of the two")));
        }
        let text = if from_file { read(&name, &key, &value)? } else { value };
        loaded.set(&key, &text, Origin::Environment(name))?;
    }
    Ok(())
}

fn failed(name: &str, key: Option<String>, problem: String) -> ConfigError {
    ConfigError { place: format!("environment {name}"), key, problem }
}

/// The setting's key and whether the variable names a file.
fn target(name: &str) -> Option<(String, bool)> {
    if let Some(key) = exact(name) {
        return Some((key, false));
    }
    exact(name.strip_suffix("_FILE")?).map(|key| (key, true))
}

fn exact(name: &str) -> Option<String> {
    if let Some(setting) = SETTINGS.iter().find(|setting| setting.variable == name) {
        return Some(setting.key.to_owned());
    }
    let source = name.strip_prefix("LOVAGE_SOURCES__")?.strip_suffix("__URL")?;
    Some(format!("sources.{}.url", source.to_ascii_lowercase()))
}

fn read(name: &str, key: &str, path: &str) -> Result<String, ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| failed(name, Some(key.to_owned()), format!("cannot read the file {path}: {error}")))?;
    // Editors and `echo` end a file with a line break that is not part of the secret.
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

/// Kubernetes tells every pod about a service called `lovage…` by variables of these forms. They are not ours.
fn is_service_link(name: &str) -> bool {
    let port = |tail: &str| {
        let mut parts = tail.split('_');
        parts.next().is_some_and(|number| number.parse::<u16>().is_ok())
            && parts.next().is_some_and(|protocol| matches!(protocol, "TCP" | "UDP" | "SCTP"))
    };
    name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || name.ends_with("_PORT")
        || name.match_indices("_PORT_").any(|(at, mark)| port(&name[at + mark.len()..]))
}

fn names() -> Vec<String> {
    let mut names: Vec<String> = SETTINGS.iter().map(|setting| setting.variable.to_owned()).collect();
    names.push("LOVAGE_SOURCES__NAME__URL".to_owned());
    names
}
