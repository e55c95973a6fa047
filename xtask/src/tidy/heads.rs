//! Every module begins by saying its one duty.

use super::Violation;
use crate::source::Tree;

/// Rust files that do not begin with `//!`.
pub fn check(tree: &Tree) -> Vec<Violation> {
    let headless = tree.with_extension("rs").filter(|file| {
        let first = file.text.lines().find(|line| !line.trim().is_empty());
        !first.is_some_and(|line| line.starts_with("//! ") && line.len() > 8)
    });
    headless.map(|file| Violation::at(file, 1, "begins without `//!` and the module's one duty")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_a_head_is_named() {
        let tree =
            Tree::of(&[("a.rs", "//! Does one thing.\n"), ("b.rs", "use a;\n"), ("c.rs", "//!\n"), ("d.lua", "")]);
        let paths: Vec<String> = check(&tree).into_iter().map(|violation| violation.path).collect();
        assert_eq!(paths, ["b.rs", "c.rs"]);
    }
}
