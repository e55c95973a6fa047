//! Sizes that a reader can hold: a file is an idea, a trait a role. Functions are measured by clippy.

use super::Violation;
use crate::source::{SourceFile, Tree};

/// Lines of a file that are no test code.
const FILE_LIMIT: usize = 500;
/// From here on a file is worth a second look; `cargo xtask tidy` lists it.
const FILE_NOTE: usize = 300;
/// Methods of a trait.
const TRAIT_LIMIT: usize = 20;

/// Files and traits that are too long.
pub fn check(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for file in tree.with_extension("rs") {
        let size = size(file);
        if size > FILE_LIMIT {
            let message = format!("{size} lines without tests, {FILE_LIMIT} at most: split it by idea");
            found.push(Violation::of(&file.path, message));
        }
        for (line, name, methods) in traits(file) {
            if methods > TRAIT_LIMIT {
                let message = format!("trait {name} has {methods} methods, {TRAIT_LIMIT} at most: split it by caller");
                found.push(Violation::at(file, line, message));
            }
        }
    }
    found
}

/// Files that are not too long yet.
pub fn long_files(tree: &Tree) -> Vec<String> {
    let sized = tree.with_extension("rs").map(|file| (file, size(file)));
    let long = sized.filter(|(_, size)| (FILE_NOTE + 1..=FILE_LIMIT).contains(size));
    long.map(|(file, size)| format!("{} has {size} lines without tests; is it still one idea?", file.path)).collect()
}

fn size(file: &SourceFile) -> usize {
    file.lines().iter().filter(|line| !line.test).count()
}

/// Each public trait with its line and its number of methods.
fn traits(file: &SourceFile) -> Vec<(usize, String, usize)> {
    let mut found: Vec<(usize, String, usize)> = Vec::new();
    let mut inside = false;
    for line in file.lines() {
        if let Some(rest) = line.text.strip_prefix("pub trait ") {
            let name: String = rest.chars().take_while(|c| c.is_alphanumeric()).collect();
            found.push((line.number, name, 0));
            inside = line.text.ends_with('{') || !line.text.ends_with('}');
        } else if line.text == "}" {
            inside = false;
        } else if inside
            && (line.text.starts_with("    fn ") || line.text.starts_with("    async fn "))
            && let Some((_, _, methods)) = found.last_mut()
        {
            *methods += 1;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_file_is_named_and_its_tests_do_not_count() {
        let long = "fn a() {}\n".repeat(501);
        let tested =
            format!("{}#[cfg(test)]\nmod tests {{\n{}}}\n", "fn a() {}\n".repeat(499), "    fn b() {}\n".repeat(99));
        let tree = Tree::of(&[("a/src/long.rs", &long), ("a/src/tested.rs", &tested), ("a/tests/t.rs", &long)]);
        let found = check(&tree);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].path, "a/src/long.rs");
        assert_eq!(long_files(&tree).len(), 1);
    }

    #[test]
    fn a_trait_with_too_many_methods_is_named() {
        let of = |count: usize| format!("pub trait Big: Send {{\n{}}}\n", "    async fn a(&self);\n".repeat(count));
        assert!(check(&Tree::of(&[("a.rs", &of(20))])).is_empty());
        assert!(check(&Tree::of(&[("a.rs", &of(21))]))[0].message.contains("trait Big has 21"));
    }
}
