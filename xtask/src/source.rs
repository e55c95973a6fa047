//! The files of the checkout as the rules see them: path, text, and which lines are test code.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::step;

/// One text file, its path relative to the root with `/` between the parts.
pub struct SourceFile {
    pub path: String,
    pub text: String,
    /// Whether its parent declares it below `#[cfg(test)]`.
    only_for_tests: bool,
}

/// All text files that belong to the project.
#[derive(Default)]
pub struct Tree {
    pub files: Vec<SourceFile>,
}

impl Tree {
    /// Reads every file that git tracks or would track; those that are not text are left out.
    pub fn read(root: &Path) -> Result<Self> {
        let listed =
            step::output(&mut step::program("git", &["ls-files", "--cached", "--others", "--exclude-standard", "-z"]))
                .context("tidy needs git and a checkout")?;
        let mut files = Vec::new();
        for path in listed.split('\0').filter(|path| !path.is_empty()) {
            // A file that was removed but not yet committed is still listed.
            if let Ok(text) = fs::read_to_string(root.join(path)) {
                files.push((path.to_owned(), text));
            }
        }
        Ok(Self::new(files))
    }

    fn new(files: Vec<(String, String)>) -> Self {
        let declared: BTreeSet<String> = files.iter().flat_map(|(path, text)| test_modules(path, text)).collect();
        let known = |(path, text)| SourceFile { only_for_tests: declared.contains(&path), path, text };
        let mut files: Vec<SourceFile> = files.into_iter().map(known).collect();
        files.sort_by(|a, b| a.path.cmp(&b.path));
        files.dedup_by(|a, b| a.path == b.path);
        Self { files }
    }

    /// The files whose name ends with `.extension`.
    pub fn with_extension<'a>(&'a self, extension: &'a str) -> impl Iterator<Item = &'a SourceFile> {
        self.files.iter().filter(move |file| file.extension() == Some(extension))
    }

    /// The file at this path.
    pub fn get(&self, path: &str) -> Option<&SourceFile> {
        self.files.iter().find(|file| file.path == path)
    }

    /// A tree for the rules' own tests.
    #[cfg(test)]
    pub fn of(files: &[(&str, &str)]) -> Self {
        Self::new(files.iter().map(|&(path, text)| (path.to_owned(), text.to_owned())).collect())
    }
}

/// Where the modules may lie that a file declares with `#[cfg(test)]` above `mod name;`.
fn test_modules(path: &str, text: &str) -> Vec<String> {
    let Some(stem) = path.strip_suffix(".rs") else { return Vec::new() };
    let (folder, name) = stem.rsplit_once('/').unwrap_or(("", stem));
    let base = if matches!(name, "lib" | "main" | "mod") { folder.to_owned() } else { stem.to_owned() };
    let mut found = Vec::new();
    let mut gated = false;
    for line in text.lines().map(str::trim) {
        let module = line.trim_start_matches("pub ").strip_prefix("mod ").and_then(|rest| rest.strip_suffix(';'));
        if let (true, Some(module)) = (gated, module) {
            found.extend([format!("{base}/{module}.rs"), format!("{base}/{module}/mod.rs")]);
        }
        gated = line == "#[cfg(test)]" || gated && line.starts_with("#[");
    }
    found
}

impl SourceFile {
    /// What follows the last dot of the name.
    pub fn extension(&self) -> Option<&str> {
        Path::new(&self.path).extension().and_then(|extension| extension.to_str())
    }

    /// Whether the whole file is test code: integration tests, benchmarks, examples and their fixtures.
    pub fn is_test(&self) -> bool {
        self.path.split('/').any(|part| matches!(part, "tests" | "benches" | "examples" | "snapshots"))
            || self.only_for_tests
    }

    /// Every line with its number (from 1) and whether it is test code: all of a test file, and of any other the
    /// blocks below `#[cfg(test)]`. Relies on rustfmt: a block ends at the first line that closes it at its indent.
    pub fn lines(&self) -> Vec<Line<'_>> {
        let whole = self.is_test();
        let mut lines: Vec<Line<'_>> = Vec::new();
        let mut block: Option<String> = None;
        for (index, text) in self.text.lines().enumerate() {
            let opens = block.is_none() && text.trim_start().starts_with("#[cfg(test)]");
            if opens {
                let indent = &text[..text.len() - text.trim_start().len()];
                block = Some(format!("{indent}}}"));
            }
            lines.push(Line { number: index + 1, text, test: whole || block.is_some() });
            let after = lines.len() >= 2 && lines[lines.len() - 2].text.trim_start().starts_with("#[cfg(test)]");
            let single = after && text.ends_with(';');
            if single || block.as_deref().is_some_and(|end| text == end) {
                block = None;
            }
        }
        lines
    }
}

/// A line of a file.
pub struct Line<'a> {
    pub number: usize,
    pub text: &'a str,
    pub test: bool,
}

impl Line<'_> {
    /// The line without a comment at its end. A `//` inside a string cuts too much, which only makes rules milder.
    pub fn code(&self) -> &str {
        self.text.split("//").next().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_blocks_are_told_from_the_rest() {
        let text = "fn a() {}\n#[cfg(test)]\nmod tests;\nfn b() {}\n#[cfg(test)]\nmod more {\n    fn c() {\n    }\n}\nfn d() {}\n";
        let tree = Tree::of(&[("crates/core/src/a.rs", text)]);
        let tests: Vec<usize> = tree.files[0].lines().iter().filter(|line| line.test).map(|line| line.number).collect();
        assert_eq!(tests, [2, 3, 5, 6, 7, 8, 9]);
    }

    #[test]
    fn a_module_that_only_tests_declare_is_test_code() {
        let tree = Tree::of(&[
            ("a/src/lib.rs", "//! A.\n#[cfg(test)]\nmod awkward;\nmod plain;\n"),
            ("a/src/awkward.rs", "//! B.\n"),
            ("a/src/plain.rs", "//! C.\n#[cfg(test)]\n#[expect(unused)]\nmod inner;\n"),
            ("a/src/plain/inner.rs", "//! D.\n"),
        ]);
        let tests: Vec<&str> = tree.files.iter().filter(|file| file.is_test()).map(|file| file.path.as_str()).collect();
        assert_eq!(tests, ["a/src/awkward.rs", "a/src/plain/inner.rs"]);
    }

    #[test]
    fn integration_tests_are_test_code_from_first_to_last_line() {
        let tree = Tree::of(&[("worker/tests/stop.rs", "//! Stop.\nfn a() {}\n")]);
        assert!(tree.files[0].lines().iter().all(|line| line.test));
    }
}
