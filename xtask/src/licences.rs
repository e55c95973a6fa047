//! Checks licences and banned crates against `deny.toml` with nothing to install. The same file serves
//! `cargo deny check licenses bans sources`, which looks further (duplicate versions, wildcards).

use std::fs;

use anyhow::{Context, Result, bail};
use toml::{Table, Value};

use crate::metadata::{Graph, Package};
use crate::{spdx, step};

/// What `deny.toml` allows and bans.
struct Policy {
    targets: Vec<String>,
    allowed: Vec<String>,
    exceptions: Vec<(String, Vec<String>)>,
    banned: Vec<String>,
}

/// Checks the whole dependency graph and lists everything that is wrong.
pub fn run() -> Result<()> {
    let text = fs::read_to_string(step::root().join("deny.toml")).context("cannot read deny.toml")?;
    let policy = Policy::parse(&text)?;
    let graph = Graph::read(&policy.targets)?;
    let problems = policy.problems(&graph);
    if problems.is_empty() {
        println!("licences: {} packages, all as deny.toml says", graph.packages.len());
        return Ok(());
    }
    bail!("{} packages break deny.toml:\n  {}", problems.len(), problems.join("\n  "))
}

impl Policy {
    fn parse(text: &str) -> Result<Self> {
        let table: Table = text.parse().context("deny.toml is not TOML")?;
        let section = |name: &str| table.get(name).cloned().unwrap_or(Value::Table(Table::new()));
        let (graph, licenses, bans) = (section("graph"), section("licenses"), section("bans"));
        let named = |entry: &Value| -> String {
            entry.get("crate").or_else(|| entry.get("name")).unwrap_or(entry).as_str().unwrap_or_default().to_owned()
        };
        Ok(Self {
            targets: strings(graph.get("targets")),
            allowed: strings(licenses.get("allow")),
            exceptions: list(licenses.get("exceptions"))
                .map(|entry| (named(entry), strings(entry.get("allow"))))
                .collect(),
            banned: list(bans.get("deny")).map(named).collect(),
        })
    }

    fn problems(&self, graph: &Graph) -> Vec<String> {
        graph.packages.iter().filter_map(|package| self.problem(package)).collect()
    }

    fn problem(&self, package: &Package) -> Option<String> {
        let shown = format!("{} {}", package.name, package.version);
        if self.banned.contains(&package.name) {
            return Some(format!(
                "{shown} is banned: see the reason in deny.toml; `cargo tree -i {}` says who asks",
                package.name
            ));
        }
        let Some(licence) = &package.licence else {
            return Some(format!("{shown} names no licence"));
        };
        let excepted = |name: &str| {
            self.exceptions.iter().any(|(who, what)| *who == package.name && what.iter().any(|one| one == name))
        };
        let fine = spdx::permits(licence, &|name| self.allowed.iter().any(|one| one == name) || excepted(name));
        (!fine).then(|| format!("{shown} is under {licence}, which deny.toml does not allow"))
    }
}

fn list(value: Option<&Value>) -> impl Iterator<Item = &Value> {
    value.and_then(Value::as_array).into_iter().flatten()
}

fn strings(value: Option<&Value>) -> Vec<String> {
    list(value).filter_map(Value::as_str).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn problems(packages: &serde_json::Value) -> Vec<String> {
        let policy = Policy::parse(
            "[licenses]\nallow = ['MIT']\nexceptions = [{ crate = 'odd', allow = ['Zlib'] }]\n\
             [bans]\ndeny = [{ crate = 'openssl', reason = 'ring' }]",
        );
        policy.unwrap().problems(&Graph::parse(&json!({ "packages": packages })))
    }

    #[test]
    fn allowed_and_excepted_licences_pass() {
        assert!(
            problems(&json!([{"name": "a", "license": "MIT OR GPL-3.0"}, {"name": "odd", "license": "Zlib"}]))
                .is_empty()
        );
    }

    #[test]
    fn other_licences_missing_ones_and_banned_crates_are_named() {
        let found = problems(&json!([
            {"name": "a", "version": "1.0.0", "license": "Zlib"},
            {"name": "b", "version": "1.0.0"},
            {"name": "openssl", "version": "1.0.0", "license": "MIT"},
        ]));
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found[0].starts_with("a 1.0.0 is under Zlib"));
        assert!(found[1].contains("names no licence"));
        assert!(found[2].contains("is banned"));
    }
}
