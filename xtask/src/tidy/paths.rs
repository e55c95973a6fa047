//! Nothing in the project knows the machine it was written on.

use super::Violation;
use crate::source::Tree;

/// Folders of somebody's machine. Written without their slash, so that this file keeps its own rule.
const FOLDERS: [&str; 4] = ["root", "work", "home", "Users"];

/// Absolute paths into somebody's folders, in any text but the lock file.
pub fn check(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for file in tree.files.iter().filter(|file| file.extension() != Some("lock")) {
        for line in file.lines() {
            if let Some(folder) = FOLDERS.iter().find(|folder| names(line.text, folder)) {
                found.push(Violation::at(file, line.number, format!("/{folder} is a path of one machine")));
            }
        }
    }
    found
}

/// Whether `/folder` begins a path in `text`: nothing that belongs to a longer path stands before it.
fn names(text: &str, folder: &str) -> bool {
    let path = format!("/{folder}");
    text.match_indices(&path).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + path.len()..].chars().next();
        before.is_none_or(|c| !c.is_alphanumeric() && !"._-~}/*<>".contains(c)) && after == Some('/')
            || text[..at].ends_with("file://") && after == Some('/')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_one_machine_is_named() {
        let path = format!("/{}/", FOLDERS[0]);
        let bad = [format!("cp {path}a b"), format!("\"{path}x\""), format!("file://{path}x")];
        for text in &bad {
            assert_eq!(check(&Tree::of(&[("a.sh", text)])).len(), 1, "{text}");
        }
        let good = [format!("src{path}x"), format!("~{path}x"), format!("{}er/", path.trim_end_matches('/'))];
        for text in &good {
            assert!(check(&Tree::of(&[("a.sh", text)])).is_empty(), "{text}");
        }
    }
}
