//! The generated part of the reference: written by `gen`, compared by `gen --check`.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use crate::source::Tree;
use crate::{failures, step};

/// A generated file: its path from the root and what belongs in it.
struct Page {
    path: &'static str,
    text: String,
}

impl Page {
    fn file(&self) -> PathBuf {
        step::root().join(self.path)
    }
}

/// Writes every page.
pub fn write() -> Result<()> {
    for page in pages()? {
        let file = page.file();
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(&file, &page.text).with_context(|| format!("cannot write {}", page.path))?;
        println!("wrote {}", page.path);
    }
    Ok(())
}

/// Fails if a page is not what `write` would write.
pub fn check() -> Result<()> {
    let fresh = |page: &Page| fs::read_to_string(page.file()).is_ok_and(|text| text == page.text);
    let pages = pages()?;
    let stale: Vec<&str> = pages.iter().filter(|page| !fresh(page)).map(|page| page.path).collect();
    ensure!(stale.is_empty(), "not fresh: {}; run `cargo xtask gen` and commit", stale.join(", "));
    println!("gen: {} pages are fresh", pages.len());
    Ok(())
}

fn pages() -> Result<Vec<Page>> {
    let tree = Tree::read(&step::root())?;
    // The binary describes itself, so that the page cannot say anything else than `--help` does.
    let reference = step::output(&mut step::cargo(&["run", "--quiet", "--package", "lovage-cli", "--", "reference"]))
        .context("`lovage reference` prints the page of commands and settings")?;
    Ok(vec![
        Page { path: "docs/reference/failures.md", text: failures::page(&tree) },
        Page { path: "docs/reference/cli.md", text: reference },
    ])
}
