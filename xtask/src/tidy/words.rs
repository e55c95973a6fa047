//! Words that promise work later, and what a test must not do: be left out, or wait by the clock.

use super::Violation;
use crate::source::{Line, SourceFile, Tree};

/// Written in two halves, so that this file keeps its own rule.
const PROMISES: [&str; 3] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];
const TEXTS: [&str; 9] = ["rs", "lua", "md", "toml", "sql", "sh", "yml", "yaml", "html"];
/// How a line says that it waits for something outside the process, which no paused clock can move.
const BOUNDED: &str = "bounded wait:";

/// Promises in any text; in Rust also left-out tests, debugging left in place, and tests that sleep.
pub fn check(tree: &Tree) -> Vec<Violation> {
    let texts = tree.files.iter().filter(|file| file.extension().is_some_and(|extension| TEXTS.contains(&extension)));
    let promises = texts.flat_map(promises);
    promises.chain(tree.with_extension("rs").flat_map(rust)).collect()
}

fn promises(file: &SourceFile) -> Vec<Violation> {
    let mut found = Vec::new();
    for line in file.lines() {
        for word in PROMISES.iter().filter(|word| has_word(line.text, word)) {
            found.push(Violation::at(
                file,
                line.number,
                format!("{word}: do it, or open an issue and say what is true today"),
            ));
        }
    }
    found
}

fn rust(file: &SourceFile) -> Vec<Violation> {
    let lines = file.lines();
    let mut found = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        if line.code().contains(concat!("#[", "ignore")) {
            found.push(Violation::at(
                file,
                line.number,
                "a test that is left out protects nothing: repair it or remove it",
            ));
        }
        if line.code().contains(concat!("dbg", "!(")) {
            found.push(Violation::at(file, line.number, concat!("dbg", "! is left in place")));
        }
        if line.test
            && has_word(line.code(), "sleep")
            && line.code().contains(concat!("sleep", "("))
            && !excused(&lines, index)
        {
            let message = "a test must not sleep: await an event, pause tokio's clock, or say `// bounded wait: <for what>` above";
            found.push(Violation::at(file, line.number, message));
        }
    }
    found
}

/// A sleep is fine on tokio's paused clock, and as a bounded wait that says what it waits for.
fn excused(lines: &[Line<'_>], index: usize) -> bool {
    let said = lines[index.saturating_sub(2)..=index].iter().any(|line| line.text.contains(BOUNDED));
    let above = lines[..index].iter().rev();
    let test = above
        .map(|line| line.text.trim_start())
        .find(|text| text.starts_with("#[tokio::test") || text.starts_with("#[test"));
    said || test.is_some_and(|attribute| attribute.contains("start_paused = true"))
}

/// Whether `word` stands in `text` on its own.
fn has_word(text: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).any(|(at, _)| !text[..at].ends_with(part) && !text[at + word.len()..].starts_with(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(path: &str, text: &str) -> Vec<String> {
        check(&Tree::of(&[(path, text)])).into_iter().map(|violation| violation.message).collect()
    }

    #[test]
    fn promises_are_named_in_any_text_as_whole_words() {
        let promise = PROMISES[0];
        assert_eq!(messages("README.md", &format!("{promise}: more")).len(), 1);
        assert_eq!(messages("a.lua", &format!("-- {}S\n", PROMISES[2])).len(), 0, "only whole words");
        assert_eq!(messages("picture.bin", promise).len(), 0);
    }

    #[test]
    fn tests_left_out_and_debugging_left_in_are_named() {
        let text = format!("#[{}]\nfn a() {{ {}!(1) }}\n", "ignore", "dbg");
        assert_eq!(messages("a/tests/a.rs", &text).len(), 2);
    }

    #[test]
    fn a_test_must_not_sleep() {
        let nap = format!("tokio::time::{}(SECOND).await;\n", "sleep");
        assert_eq!(messages("a/tests/a.rs", &format!("#[tokio::test]\nasync fn a() {{\n{nap}}}\n")).len(), 1);
        assert_eq!(messages("a/src/a.rs", &format!("async fn a() {{\n{nap}}}\n")).len(), 0, "the product may");
        let paused = format!("#[tokio::test(start_paused = true)]\nasync fn a() {{\n{nap}}}\n");
        assert_eq!(messages("a/tests/a.rs", &paused).len(), 0);
        let said = format!("#[test]\nfn a() {{\n// bounded wait: the other process prints its port\n{nap}}}\n");
        assert_eq!(messages("a/tests/a.rs", &said).len(), 0);
    }
}
