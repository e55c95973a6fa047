//! Decisions are numbered without gaps, titled by their number, and all in the index.

use super::Violation;
use crate::source::Tree;

const FOLDER: &str = "docs/adr/";
const INDEX: &str = "docs/adr/README.md";

/// Decision records that are misnumbered, mistitled or missing from the index.
pub fn check(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    let index = tree.get(INDEX).map(|file| file.text.as_str()).unwrap_or_default();
    let records = tree.with_extension("md").filter(|file| file.path.starts_with(FOLDER) && file.path != INDEX);
    for (position, file) in records.enumerate() {
        let name = file.path.trim_start_matches(FOLDER);
        let number = format!("{:03}", position + 1);
        if !name.starts_with(&format!("{number}-")) {
            found.push(Violation::of(
                &file.path,
                format!("is number {number} in the row: numbers have no gaps and no doubles"),
            ));
        }
        let title = file.text.lines().next().unwrap_or_default();
        let own = name.split('-').next().unwrap_or_default();
        if !title.starts_with(&format!("# {own}")) {
            found.push(Violation::at(file, 1, format!("the title must begin with `# {own}`")));
        }
        if !index.contains(&format!("({name})")) {
            found.push(Violation::of(&file.path, format!("is not in {INDEX}")));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_titles_and_the_index_are_checked() {
        let tree = Tree::of(&[
            ("docs/adr/001-one.md", "# 001: One\n"),
            ("docs/adr/003-three.md", "# Three\n"),
            ("docs/adr/README.md", "# Decisions\n[One](001-one.md)\n"),
        ]);
        let messages: Vec<String> = check(&tree).into_iter().map(|violation| violation.message).collect();
        assert_eq!(messages.len(), 3, "{messages:?}");
        assert!(messages[0].contains("number 002"));
        assert!(messages[1].contains("# 003"));
        assert!(messages[2].contains("README.md"));
    }
}
