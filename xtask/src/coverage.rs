//! Line coverage of the whole workspace. Not part of `ci`: it builds everything a second time and traces every test.

use anyhow::{Result, ensure};

use crate::step::{cargo, run, succeeds};

/// Percent of lines; the house does not go below.
const FLOOR: &str = "85";

/// Runs all tests under cargo-tarpaulin, and measures the processes that they start too. Tests themselves and these tools
/// are not counted. `arguments` go to cargo-tarpaulin.
pub fn run_tests(arguments: &[&str]) -> Result<()> {
    let there = succeeds(&mut cargo(&["tarpaulin", "--version"]));
    ensure!(there, "coverage needs cargo-tarpaulin: cargo install cargo-tarpaulin --locked");
    let fixed = [
        "tarpaulin",
        "--workspace",
        "--exclude",
        "xtask",
        "--locked",
        "--skip-clean",
        "--engine",
        "llvm",
        "--follow-exec",
        "--timeout",
        "600",
        "--out",
        "Stdout",
        "--exclude-files",
        "xtask/*",
        "--exclude-files",
        "*/tests/*",
        "--exclude-files",
        "*/benches/*",
        "--fail-under",
        FLOOR,
    ];
    run(&mut cargo(&[&fixed, arguments].concat()))
}
