//! No type of redis, sqlx or apalis stands in a public signature outside its adapter: the seams are ours. A heuristic
//! over text: it sees paths that are written out, not names that were imported.

use super::Violation;
use crate::source::{SourceFile, Tree};

/// The crates, and the parts of a path that mark the adapters which may name them.
const FOREIGN: [(&str, &[&str]); 3] =
    [("redis::", &["redis"]), ("sqlx::", &["sqlite", "postgres"]), ("apalis", &["apalis", "apalis_adapter"])];
const ITEMS: [&str; 9] = [
    "pub fn ",
    "pub async fn ",
    "pub const fn ",
    "pub struct ",
    "pub enum ",
    "pub trait ",
    "pub type ",
    "pub static ",
    "pub use ",
];

/// Public items of library code that name a foreign type.
pub fn check(tree: &Tree) -> Vec<Violation> {
    let product = tree.with_extension("rs").filter(|file| !file.is_test() && !file.path.starts_with("xtask/"));
    product.flat_map(of_file).collect()
}

fn of_file(file: &SourceFile) -> Vec<Violation> {
    let lines = file.lines();
    let mut found = Vec::new();
    for (index, line) in lines.iter().enumerate().filter(|(_, line)| !line.test) {
        let text = line.text.trim_start();
        let field = text
            .strip_prefix("pub ")
            .is_some_and(|rest| rest.split(' ').next().is_some_and(|name| name.ends_with(':')));
        if !field && !ITEMS.iter().any(|item| text.starts_with(item)) {
            continue;
        }
        // A signature goes on until its body or its end; a field is one line.
        let rest = lines[index..].iter().map(|line| line.code().trim());
        let length = rest.clone().position(|code| field || code.ends_with(['{', ';', '}', ','])).unwrap_or(0);
        let signature: Vec<&str> = rest.take(length + 1).collect();
        for name in foreign(file, &signature.join(" ")) {
            let message = format!(
                "{name} in a public signature: only its adapter knows it; wrap what is needed in a type of ours"
            );
            found.push(Violation::at(file, line.number, message));
        }
    }
    found
}

fn foreign(file: &SourceFile, signature: &str) -> Vec<&'static str> {
    let named = |name: &str| {
        let own = format!("mod {};", name.trim_end_matches(':'));
        let starts =
            |(at, _): (usize, &str)| !signature[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':');
        signature.match_indices(name).any(starts) && !file.text.lines().any(|line| line.trim_start().ends_with(&own))
    };
    let adapter = |parts: &[&str]| file.path.split(['/', '.']).any(|part| parts.contains(&part));
    FOREIGN
        .iter()
        .filter(|(name, parts)| named(name) && !adapter(parts))
        .map(|(name, _)| name.trim_end_matches(':'))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(path: &str, text: &str) -> Vec<usize> {
        check(&Tree::of(&[(path, text)])).into_iter().map(|violation| violation.line).collect()
    }

    #[test]
    fn foreign_types_in_public_items_are_named() {
        let text = "pub fn a(\n    pool: sqlx::SqlitePool,\n) -> u8 {\npub struct B {\n    pub inner: redis::Client,\n    hidden: redis::Client,\n}\n\
                    pub use apalis_core::Worker;\n";
        assert_eq!(lines("worker/src/a.rs", text), [1, 5, 8]);
    }

    #[test]
    fn adapters_private_items_and_modules_of_ours_pass() {
        assert!(lines("crates/broker/src/redis/mod.rs", "pub fn a(c: redis::Client) {\n").is_empty());
        assert!(
            lines("crates/broker/src/a.rs", "fn a(c: redis::Client) {\npub(crate) fn b(c: redis::Client) {\n")
                .is_empty()
        );
        assert!(lines("crates/broker/src/lib.rs", "mod redis;\npub use redis::RedisBroker;\n").is_empty());
        assert!(lines("crates/broker/src/b.rs", "pub fn a() {\n    let c: redis::Client;\n").is_empty());
    }
}
