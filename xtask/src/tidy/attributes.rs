//! A lint is switched off only by an `expect` that gives its reason: it complains when it is no longer needed.

use super::Violation;
use crate::source::{SourceFile, Tree};

/// `allow` attributes, and `expect` attributes without a reason.
pub fn check(tree: &Tree) -> Vec<Violation> {
    tree.with_extension("rs").flat_map(of_file).collect()
}

fn of_file(file: &SourceFile) -> Vec<Violation> {
    let lines = file.lines();
    let mut found = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let text = line.text.trim_start();
        if text.starts_with("#[allow(") || text.starts_with("#![allow(") {
            found.push(Violation::at(file, line.number, "use `#[expect(lint, reason = \"...\")]`"));
        }
        if text.starts_with("#[expect(") || text.starts_with("#![expect(") {
            let end = lines[index..].iter().position(|line| line.code().trim_end().ends_with(")]")).unwrap_or(0);
            if !lines[index..=index + end].iter().any(|line| line.code().contains("reason")) {
                found.push(Violation::at(file, line.number, "an `expect` needs its `reason = \"...\"`"));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_without_a_reason_are_named() {
        let text = "#![allow(dead_code)]\n#[expect(unused)]\nfn a() {}\n#[expect(\n    unused,\n    reason = \"shown\"\n)]\nfn b() {}\n";
        let lines: Vec<usize> =
            check(&Tree::of(&[("a.rs", text)])).into_iter().map(|violation| violation.line).collect();
        assert_eq!(lines, [1, 2]);
    }
}
