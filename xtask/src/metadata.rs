//! What `cargo metadata` says about packages and who depends on whom.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::step;

/// One package of the dependency graph.
pub struct Package {
    pub id: String,
    pub name: String,
    pub version: String,
    pub licence: Option<String>,
    /// Whether it is a member of this workspace.
    pub member: bool,
    /// The folder of a member, relative to the root.
    pub folder: String,
    /// What a member's manifest asks for: name and kind (`normal`, `build`, `dev`).
    pub declared: Vec<(String, String)>,
    /// Ids of what it builds with: normal and build dependencies, features resolved.
    pub needs: Vec<String>,
}

/// The whole graph.
pub struct Graph {
    pub packages: Vec<Package>,
}

impl Graph {
    /// Asks cargo. With `targets`, only what those targets build with.
    pub fn read(targets: &[String]) -> Result<Self> {
        let mut arguments = vec!["metadata", "--format-version=1", "--locked", "--all-features"];
        for target in targets {
            arguments.extend(["--filter-platform", target]);
        }
        let text = step::output(&mut step::cargo(&arguments))?;
        let value: Value = serde_json::from_str(&text).context("cargo metadata printed something that is not JSON")?;
        Ok(Self::parse(&value))
    }

    /// Reads the JSON of `cargo metadata`; absent members are empty.
    pub fn parse(value: &Value) -> Self {
        let root = text(&value["workspace_root"]);
        let members: BTreeSet<String> = items(&value["workspace_members"]).map(text).collect();
        let needs: BTreeMap<String, Vec<String>> =
            items(&value["resolve"]["nodes"]).map(|node| (text(&node["id"]), built_with(node))).collect();
        let packages = items(&value["packages"]).map(|package| {
            let id = text(&package["id"]);
            let manifest = text(&package["manifest_path"]);
            let folder = manifest.strip_prefix(&root).unwrap_or(&manifest).trim_end_matches("Cargo.toml");
            Package {
                name: text(&package["name"]),
                version: text(&package["version"]),
                licence: package["license"].as_str().map(str::to_owned),
                member: members.contains(&id),
                folder: folder.trim_matches('/').to_owned(),
                declared: items(&package["dependencies"]).map(declared).collect(),
                needs: needs.get(&id).cloned().unwrap_or_default(),
                id,
            }
        });
        Self { packages: packages.collect() }
    }

    /// The members of the workspace.
    pub fn members(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| package.member)
    }

    /// The names of everything that the package called `name` builds with, directly or not.
    pub fn closure(&self, name: &str) -> BTreeSet<&str> {
        let by_id: BTreeMap<&str, &Package> =
            self.packages.iter().map(|package| (package.id.as_str(), package)).collect();
        let mut open: Vec<&Package> = self.packages.iter().filter(|package| package.name == name).collect();
        let mut seen = BTreeSet::new();
        while let Some(package) = open.pop() {
            for need in package.needs.iter().filter_map(|id| by_id.get(id.as_str())) {
                if seen.insert(need.name.as_str()) {
                    open.push(need);
                }
            }
        }
        seen
    }
}

fn built_with(node: &Value) -> Vec<String> {
    let builds = |dependency: &&Value| items(&dependency["dep_kinds"]).any(|kind| kind["kind"] != "dev");
    items(&node["deps"]).filter(builds).map(|dependency| text(&dependency["pkg"])).collect()
}

fn declared(dependency: &Value) -> (String, String) {
    (text(&dependency["name"]), dependency["kind"].as_str().unwrap_or("normal").to_owned())
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_closure_follows_normal_and_build_dependencies_only() {
        let dependency = |name: &str, kind: Value| json!({"pkg": name, "dep_kinds": [{"kind": kind}]});
        let graph = Graph::parse(&json!({
            "packages": [{"id": "a", "name": "a"}, {"id": "b", "name": "b"}, {"id": "c", "name": "c"}, {"id": "d", "name": "d"}],
            "resolve": {"nodes": [
                {"id": "a", "deps": [dependency("b", Value::Null), dependency("d", json!("dev"))]},
                {"id": "b", "deps": [dependency("c", json!("build"))]},
            ]},
        }));
        assert_eq!(graph.closure("a").into_iter().collect::<Vec<_>>(), ["b", "c"]);
    }
}
