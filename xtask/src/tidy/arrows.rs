//! Who may use whom. The table is the one of ARCHITECTURE.md; the compiler would accept any arrow that is no circle.

use super::Violation;
use crate::metadata::{Graph, Package};

/// Each crate with those it may build with. A crate that is not here is a room that nobody decided on.
const MAY_USE: &[(&str, &[&str])] = &[
    ("lovage-core", &[]),
    ("lovage-payloads", &["lovage-core"]),
    ("lovage-broker", &["lovage-core"]),
    ("lovage-artifacts", &["lovage-core"]),
    ("lovage-formats", &["lovage-core"]),
    ("lovage-ledger", &["lovage-core"]),
    ("lovage-adopt", &["lovage-core", "lovage-broker"]),
    ("lovage-outbox", &["lovage-core", "lovage-broker"]),
    ("lovage-probes", &["lovage-core"]),
    ("lovage-dashboard", &["lovage-core", "lovage-broker", "lovage-probes"]),
    ("lovage-worker", &["lovage-core", "lovage-broker", "lovage-artifacts"]),
    ("lovage-scheduler", &["lovage-core", "lovage-broker", "lovage-artifacts", "lovage-ledger"]),
    (
        "lovage-jobs",
        &["lovage-core", "lovage-payloads", "lovage-worker", "lovage-artifacts", "lovage-formats", "lovage-ledger"],
    ),
    ("lovage-reports", &["lovage-core", "lovage-payloads", "lovage-worker", "lovage-artifacts"]),
    ("lovage-testkit", &["lovage-core", "lovage-broker", "lovage-worker"]),
    (
        "lovage-cli",
        &[
            "lovage-core",
            "lovage-payloads",
            "lovage-broker",
            "lovage-artifacts",
            "lovage-formats",
            "lovage-ledger",
            "lovage-adopt",
            "lovage-outbox",
            "lovage-worker",
            "lovage-jobs",
            "lovage-reports",
            "lovage-probes",
            "lovage-dashboard",
            "lovage-scheduler",
        ],
    ),
    ("xtask", &[]),
];

/// Nobody builds on these: the first is the top, the second stands outside.
const NOBODY_USES: &[&str] = &["lovage-cli", "xtask"];

/// What must not be found below the crate of words and pure decisions: it does no I/O and is not async.
const NOT_IN_CORE: &[&str] = &["axum", "hyper", "object_store", "redis", "reqwest", "sqlx", "sqlx-core", "tokio"];

/// Checks every member's manifest against the table, and what core builds with.
pub fn check(graph: &Graph) -> Vec<Violation> {
    let mut found: Vec<Violation> = graph.members().flat_map(|package| of_package(package, graph)).collect();
    let below_core = graph.closure("lovage-core");
    let strangers = NOT_IN_CORE.iter().filter(|name| below_core.contains(**name));
    found.extend(strangers.map(|name| {
        Violation::of(
            "crates/core",
            format!("builds with {name}: core does no I/O; `cargo tree -p lovage-core -i {name}`"),
        )
    }));
    found
}

fn of_package(package: &Package, graph: &Graph) -> Vec<Violation> {
    let wrong = |message| Violation::of(&package.folder, message);
    let Some((_, allowed)) = MAY_USE.iter().find(|(name, _)| *name == package.name) else {
        return vec![wrong(
            "has no row in the table of arrows (xtask/src/tidy/arrows.rs): a new room needs an ADR".into(),
        )];
    };
    let ours = |name: &str| graph.members().any(|member| member.name == name);
    let judge = |(name, kind): &(String, String)| {
        let legal =
            if kind == "dev" { !NOBODY_USES.contains(&name.as_str()) } else { allowed.contains(&name.as_str()) };
        (ours(name) && !legal)
            .then(|| wrong(format!("must not use {name} (in {kind} dependencies): see the arrows in ARCHITECTURE.md")))
    };
    package.declared.iter().filter_map(judge).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// A workspace of two members, the first with one dependency.
    fn workspace(from: &str, to: &str, kind: &Value) -> Vec<Violation> {
        check(&Graph::parse(&json!({
            "workspace_root": "/r",
            "workspace_members": [from, to],
            "packages": [
                {"id": from, "name": from, "manifest_path": "/r/a/Cargo.toml", "dependencies": [{"name": to, "kind": kind}]},
                {"id": to, "name": to, "manifest_path": "/r/b/Cargo.toml"},
            ],
        })))
    }

    #[test]
    fn arrows_of_the_table_pass() {
        assert_eq!(workspace("lovage-jobs", "lovage-worker", &Value::Null), []);
        assert_eq!(workspace("lovage-worker", "lovage-testkit", &json!("dev")), []);
    }

    #[test]
    fn other_arrows_are_named() {
        let found = workspace("lovage-worker", "lovage-jobs", &Value::Null);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].path, "a");
        assert!(found[0].message.contains("must not use lovage-jobs"));
    }

    #[test]
    fn the_test_kit_stays_in_dev_dependencies_and_nobody_uses_the_binary() {
        assert_eq!(workspace("lovage-worker", "lovage-testkit", &Value::Null).len(), 1);
        assert_eq!(workspace("lovage-jobs", "lovage-cli", &json!("dev")).len(), 1);
    }

    #[test]
    fn a_room_without_a_row_is_named() {
        assert!(workspace("lovage-attic", "lovage-core", &Value::Null)[0].message.contains("no row"));
    }

    #[test]
    fn core_with_a_runtime_below_it_is_named() {
        let found = check(&Graph::parse(&json!({
            "packages": [{"id": "c", "name": "lovage-core"}, {"id": "x", "name": "helper"}, {"id": "t", "name": "tokio"}],
            "resolve": {"nodes": [
                {"id": "c", "deps": [{"pkg": "x", "dep_kinds": [{"kind": null}]}]},
                {"id": "x", "deps": [{"pkg": "t", "dep_kinds": [{"kind": null}]}]},
            ]},
        })));
        assert!(found[0].message.contains("builds with tokio"), "{found:?}");
    }
}
