//! `lovage config print`: what holds, and who said so.

use clap::Subcommand;
use serde_json::{Map, Value, json};
use std::fmt::Write as _;

use super::Context;
use crate::config::Origin;
use crate::error::Outcome;
use crate::output::{self, Format};

/// Commands about settings.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Write all settings in the form of lovage.toml, with where each was said; secrets are always redacted
    Print {
        /// Redact secrets; this is always so, the option is there to say it aloud in scripts
        #[arg(long)]
        redacted: bool,
    },
}

/// Runs a command about settings.
pub fn run(context: &Context, command: &ConfigCommand) -> Outcome {
    let ConfigCommand::Print { redacted: _ } = command;
    let entries = context.config().entries();
    if context.output.format != Format::Table {
        let object: Map<String, Value> = entries
            .into_iter()
            .map(|(key, value)| {
                let origin = context.loaded.origin(&key).to_string();
                (key, json!({ "value": value, "origin": origin }))
            })
            .collect();
        return context.output.one(&object, String::new);
    }
    output::text(&toml(&entries, |key| context.loaded.origin(key)))
}

/// The settings as a file that could be read again (but for redacted secrets).
fn toml(entries: &[(String, String)], origin: impl Fn(&str) -> Origin) -> String {
    let mut text = String::new();
    let mut table = "";
    for (key, value) in entries {
        let (prefix, name) = key.rsplit_once('.').unwrap_or(("", key));
        if prefix != table {
            let _ = write!(text, "\n[{prefix}]\n");
            table = prefix;
        }
        let number = value.parse::<u64>().is_ok() || value == "true" || value == "false";
        let value = if number { value.clone() } else { toml::Value::String(value.clone()).to_string() };
        match origin(key) {
            Origin::Default => _ = writeln!(text, "{name} = {value}"),
            said => _ = writeln!(text, "{name} = {value}  # {said}"),
        }
    }
    text
}
