//! Links of the documentation lead somewhere.

use super::Violation;
use crate::source::{SourceFile, Tree};

/// Relative Markdown links whose file or folder is not there.
pub fn check(tree: &Tree) -> Vec<Violation> {
    let pages = tree.with_extension("md");
    pages
        .flat_map(|page| targets(page).into_iter().filter_map(|(line, target)| broken(tree, page, line, &target)))
        .collect()
}

fn broken(tree: &Tree, page: &SourceFile, line: usize, target: &str) -> Option<Violation> {
    let file = target.split(['#', '?']).next().unwrap_or_default();
    if file.is_empty() || target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let path = resolve(&page.path, file);
    let folder = format!("{path}/");
    let there = path.is_empty() || tree.files.iter().any(|file| file.path == path || file.path.starts_with(&folder));
    (!there).then(|| Violation::at(page, line, format!("links to {target}, which is not there")))
}

/// The path of `link` as seen from the root.
fn resolve(page: &str, link: &str) -> String {
    let mut parts: Vec<&str> = page.split('/').collect();
    parts.pop();
    for part in link.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// Every `](target)` outside code blocks and code spans, with its line.
fn targets(page: &SourceFile) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut code = false;
    for line in page.lines() {
        code ^= line.text.trim_start().starts_with("```");
        if code {
            continue;
        }
        let prose: String = line.text.split('`').step_by(2).collect::<Vec<_>>().join("_");
        for (at, _) in prose.match_indices("](") {
            let target = prose[at + 2..].split([')', ' ']).next().unwrap_or_default();
            found.push((line.number, target.to_owned()));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_to_nowhere_is_named() {
        let page = "[a](../README.md#top) [b](adr/) [c](gone.md)\n[d](https://example.org) `[e](code.md)`\n```\n[f](block.md)\n```\n";
        let tree = Tree::of(&[("docs/index.md", page), ("README.md", ""), ("docs/adr/001.md", "")]);
        let found = check(&tree);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].message.contains("gone.md"));
    }
}
