//! Everything that CI checks, in order. `.ci/run` calls this and nothing else, so a developer sees what CI sees.

use anyhow::Result;

use crate::step::{Steps, cargo, run, succeeds};
use crate::{alerts, generate, licences, setup, tidy};

/// Runs every step, then prints which failed and what each took.
pub fn all() -> Result<()> {
    let mut steps = Steps::default();
    steps.step("format", || run(&mut cargo(&["fmt", "--all", "--check"])));
    steps.step("tidy", tidy::run);
    steps.step("licences", licences::run);
    steps.step("setup", setup::run);
    steps.step("alerts", alerts::check);
    steps.step("clippy", || {
        run(&mut cargo(&["clippy", "--workspace", "--all-targets", "--locked", "--", "--deny", "warnings"]))
    });
    steps.step("features", features);
    steps.step("gen", generate::check);
    steps.step("doctests", || run(&mut cargo(&["test", "--workspace", "--doc", "--locked", "--quiet"])));
    steps.step("docs", docs);
    // Last, so that the log ends with what most people look for.
    steps.step("tests", || tests(&[]));
    steps.finish()
}

/// Runs all tests, or those that `arguments` choose, with nextest if it is there.
pub fn tests(arguments: &[&str]) -> Result<()> {
    let nextest = succeeds(&mut cargo(&["nextest", "--version"]));
    let runner: &[&str] = if nextest {
        &["nextest", "run", "--workspace", "--locked"]
    } else {
        &["test", "--workspace", "--lib", "--bins", "--tests", "--examples", "--locked"]
    };
    run(&mut cargo(&[runner, arguments].concat()))
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
    run(cargo(&["doc", "--workspace", "--no-deps", "--document-private-items", "--locked", "--quiet"])
        .env("RUSTDOCFLAGS", "--deny warnings"))
}
