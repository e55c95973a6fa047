//! The rules of the house that no compiler knows. Each rule is a function of the files (or of the dependency graph)
//! that lists everything it finds wrong, with a test that shows it can fail. They run as `cargo xtask tidy` and, as a
//! test of this crate, with every run of the tests.

mod adrs;
mod arrows;
mod attributes;
mod heads;
mod links;
mod lua;
mod names;
mod paths;
mod signatures;
mod sizes;
mod words;

use std::fmt;

use anyhow::{Result, bail};

use crate::metadata::Graph;
use crate::source::{SourceFile, Tree};
use crate::{failures, step};

/// Something that breaks a rule.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    /// Where; a crate's folder when the rule is about a crate.
    pub path: String,
    /// From 1; 0 when it is about the whole.
    pub line: usize,
    /// What is wrong and what to do.
    pub message: String,
}

impl Violation {
    /// About a line of a file.
    pub fn at(file: &SourceFile, line: usize, message: impl Into<String>) -> Self {
        Self { path: file.path.clone(), line, message: message.into() }
    }

    /// About a whole file or folder.
    pub fn of(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), line: 0, message: message.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(out, "{}: {}", self.path, self.message),
            line => write!(out, "{}:{line}: {}", self.path, self.message),
        }
    }
}

/// Checks the checkout and fails with the list of all violations.
pub fn run() -> Result<()> {
    let tree = Tree::read(&step::root())?;
    for note in sizes::long_files(&tree) {
        println!("note: {note}");
    }
    let violations = violations(&tree, &Graph::read(&[])?);
    if violations.is_empty() {
        println!("tidy: {} files, nothing to say", tree.files.len());
        return Ok(());
    }
    for violation in &violations {
        println!("{violation}");
    }
    bail!("{} violations of the rules of the house", violations.len())
}

fn violations(tree: &Tree, graph: &Graph) -> Vec<Violation> {
    let rules = [
        adrs::check,
        attributes::check,
        failures::check,
        heads::check,
        links::check,
        lua::check,
        names::check,
        paths::check,
        signatures::check,
        sizes::check,
        words::check,
    ];
    let mut found: Vec<Violation> = rules.iter().flat_map(|rule| rule(tree)).chain(arrows::check(graph)).collect();
    found.sort();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checkout_keeps_the_rules_of_the_house() {
        let tree = Tree::read(&step::root()).unwrap();
        let found = violations(&tree, &Graph::read(&[]).unwrap());
        let lines: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert!(lines.is_empty(), "\n{}", lines.join("\n"));
    }
}
