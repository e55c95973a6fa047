//! Scripts that run inside Redis: short, and each says what goes in and what comes out.

use super::Violation;
use crate::source::{SourceFile, Tree};

/// Lines that are neither blank nor comment.
const LIMIT: usize = 60;

/// Scripts that are too long or whose header leaves something out.
pub fn check(tree: &Tree) -> Vec<Violation> {
    tree.with_extension("lua").flat_map(of_file).collect()
}

fn of_file(file: &SourceFile) -> Vec<Violation> {
    let header: Vec<&str> = file.text.lines().take_while(|line| line.starts_with("--")).collect();
    let header = header.join("\n");
    let code = file.text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("--")).count();
    let mut found = Vec::new();
    if code > LIMIT {
        found.push(Violation::of(
            &file.path,
            format!("{code} lines of code, {LIMIT} at most: Redis does nothing else while it runs"),
        ));
    }
    // A prelude is a set of functions that other scripts begin with: it takes nothing and answers nothing itself.
    if header.to_lowercase().contains("prelude") {
        return found;
    }
    for word in ["KEYS", "ARGV", "Returns"] {
        if !header.to_lowercase().contains(&word.to_lowercase()) {
            found.push(Violation::at(file, 1, format!("the header does not say {word}")));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_that_leaves_something_out_and_a_long_script_are_named() {
        let whole =
            "-- Claims.\n-- KEYS as the prelude of a queue.\n-- ARGV: 1 the time.\n-- Returns the ids.\nreturn 1\n";
        assert!(check(&Tree::of(&[("a.lua", &whole.replace("prelude", "table"))])).is_empty());
        assert!(check(&Tree::of(&[("a.lua", "-- Prelude: functions.\nlocal a\n")])).is_empty());
        let long = format!("-- KEYS none.\n-- ARGV none.\n{}", "local a = 1\n".repeat(61));
        let found = check(&Tree::of(&[("a.lua", &long)]));
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].message.starts_with("61 lines"));
        assert!(found[1].message.contains("Returns"));
    }
}
