//! Everything that CI checks, in order. `.ci/run` calls this and nothing else, so a developer sees what CI sees.

use anyhow::Result;

use crate::step::{Steps, cargo, run, succeeds};
use crate::{alerts, generate, licences, setup, tidy};

/// All crates but the one that takes minutes to build and that only one kind of job needs (ADR 011).
const MOST: [&str; 3] = ["--workspace", "--exclude", "lovage-reports"];

/// Runs every step, then prints which failed and what each took.
pub fn all() -> Result<()> {
    let mut steps = Steps::default();
    steps.step("format", || run(&mut cargo(&["fmt", "--all", "--check"])));
    steps.step("tidy", tidy::run);
    steps.step("licences", licences::run);
    steps.step("setup", setup::run);
    steps.step("alerts", alerts::check);
    steps.step("clippy", || {
        run(cargo(&["clippy"]).args(MOST).args(["--all-targets", "--locked", "--", "--deny", "warnings"]))
    });
    steps.step("features", features);
    steps.step("gen", generate::check);
    steps.step("doctests", || run(cargo(&["test"]).args(MOST).args(["--doc", "--locked", "--quiet"])));
    steps.step("docs", docs);
    steps.step("reports", reports);
    // Last, so that the log ends with what most people look for.
    steps.step("tests", || tests(&[]));
    steps.finish()
}

/// Runs all tests but those of reports, or those that `arguments` choose, with nextest if it is there.
pub fn tests(arguments: &[&str]) -> Result<()> {
    run(cargo(runner()).args(MOST).arg("--locked").args(arguments))
}

fn runner() -> &'static [&'static str] {
    let nextest = succeeds(&mut cargo(&["nextest", "--version"]));
    if nextest { &["nextest", "run"] } else { &["test", "--lib", "--bins", "--tests", "--examples"] }
}

/// Reports stand apart from everything else, because polars takes minutes to build (ADR 011).
fn reports() -> Result<()> {
    let strict = ["--locked", "--", "--deny", "warnings"];
    run(cargo(&["clippy", "--package", "lovage-reports", "--all-targets"]).args(strict))?;
    run(cargo(&["clippy", "--package", "lovage-cli", "--features", "reports"]).args(strict))?;
    run(cargo(runner()).args(["--package", "lovage-reports", "--locked"]))?;
    run(cargo(runner()).args(["--package", "lovage-cli", "--features", "reports", "--locked", "reports::"]))
}

/// What is off by default must build too.
fn features() -> Result<()> {
    run(&mut cargo(&[
        "clippy",
        "--package",
        "lovage-artifacts",
        "--locked",
        "--all-features",
        "--",
        "--deny",
        "warnings",
    ]))?;
    run(&mut cargo(&[
        "clippy",
        "--package",
        "lovage-artifacts",
        "--locked",
        "--no-default-features",
        "--",
        "--deny",
        "warnings",
    ]))
}

/// The documentation of the code, private items too: a broken link is an error.
fn docs() -> Result<()> {
    run(cargo(&["doc"])
        .args(MOST)
        .args(["--no-deps", "--document-private-items", "--locked", "--quiet"])
        .env("RUSTDOCFLAGS", "--deny warnings"))
}
