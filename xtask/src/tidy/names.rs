//! Rooms are named by what is in them. A drawer for everything fills up with everything.

use super::Violation;
use crate::source::Tree;

const DRAWERS: [&str; 6] = ["common", "helpers", "misc", "shared", "util", "utils"];

/// Files, folders and modules with a name that says nothing.
pub fn check(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for file in &tree.files {
        let drawer =
            file.path.split('/').find(|part| part.split('.').next().is_some_and(|stem| DRAWERS.contains(&stem)));
        if let Some(part) = drawer {
            found.push(Violation::of(&file.path, format!("{part} says nothing: name it by what is in it")));
        }
    }
    for file in tree.with_extension("rs") {
        for line in file.lines() {
            let mut words = line.code().split(|c: char| !c.is_alphanumeric() && c != '_');
            let module = words.by_ref().any(|word| word == "mod").then(|| words.next()).flatten();
            if let Some(name) = module.filter(|name| DRAWERS.contains(name)) {
                found.push(Violation::at(
                    file,
                    line.number,
                    format!("mod {name} says nothing: name it by what is in it"),
                ));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drawers_are_named_as_folder_file_and_module() {
        let tree = Tree::of(&[
            ("a/src/util.rs", "//! U.\n"),
            ("a/tests/common/mod.rs", "//! C.\n"),
            ("a/src/lib.rs", "//! L.\npub mod helpers {}\nmod commons;\n// a mod shared by all\n"),
        ]);
        let found: Vec<(String, usize)> = check(&tree).into_iter().map(|found| (found.path, found.line)).collect();
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found.contains(&("a/src/lib.rs".to_owned(), 2)));
    }
}
