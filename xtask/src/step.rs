//! Runs one program after another from the workspace's root and tells how long each step took.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

/// The workspace's root: this crate lies in its folder `xtask`.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().map_or_else(|| here.to_path_buf(), Path::to_path_buf)
}

/// A program with its arguments, to be run in the root.
pub fn program(name: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(name);
    command.args(arguments).current_dir(root());
    command
}

/// What `cargo run` tells this program about itself. Build scripts that look at these variables (ring's does) would run
/// again, and everything above them be compiled again, whenever cargo is called from here and by hand in turn.
const OURS: [&str; 7] = [
    "CARGO_MANIFEST_DIR",
    "CARGO_MANIFEST_LINKS",
    "CARGO_PKG_NAME",
    "CARGO_PKG_VERSION_MAJOR",
    "CARGO_PKG_VERSION_MINOR",
    "CARGO_PKG_VERSION_PATCH",
    "CARGO_PKG_VERSION_PRE",
];

/// `cargo` with arguments.
pub fn cargo(arguments: &[&str]) -> Command {
    let mut command = program("cargo", arguments);
    for name in OURS {
        command.env_remove(name);
    }
    command
}

/// Runs a command, its output going where ours goes, and fails if it does.
pub fn run(command: &mut Command) -> Result<()> {
    let line = shown(command);
    println!("$ {line}");
    let status = command.status().with_context(|| format!("cannot start `{line}`"))?;
    ensure!(status.success(), "`{line}` ended with {status}");
    Ok(())
}

/// Runs a command and answers what it printed.
pub fn output(command: &mut Command) -> Result<String> {
    let line = shown(command);
    let output = command.output().with_context(|| format!("cannot start `{line}`"))?;
    if !output.status.success() {
        bail!("`{line}` ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{line}` printed something that is not UTF-8"))
}

/// Whether a command starts and ends well; what it prints is dropped.
pub fn succeeds(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// A list of named steps. All of them run, so that one failure does not hide the next.
#[derive(Default)]
pub struct Steps {
    done: Vec<(String, Duration, Option<String>)>,
}

impl Steps {
    /// Runs a step and notes its time and how it ended.
    #[expect(clippy::disallowed_methods, reason = "a stopwatch for people; nothing is decided by it")]
    pub fn step(&mut self, name: &str, work: impl FnOnce() -> Result<()>) {
        println!("\n==> {name}");
        let start = Instant::now();
        let failure = work().err().map(|error| format!("{error:#}"));
        if let Some(text) = &failure {
            println!("{name}: {text}");
        }
        self.done.push((name.to_owned(), start.elapsed(), failure));
    }

    /// Prints the table of all steps; fails if one of them did.
    pub fn finish(self) -> Result<()> {
        println!("\n{:<12} {:>8}", "step", "seconds");
        for (name, time, failure) in &self.done {
            let verdict = if failure.is_some() { "FAILED" } else { "ok" };
            println!("{name:<12} {:>8.1}  {verdict}", time.as_secs_f64());
        }
        let failed: Vec<&str> =
            self.done.iter().filter(|(_, _, failure)| failure.is_some()).map(|(name, ..)| name.as_str()).collect();
        ensure!(failed.is_empty(), "failed: {}", failed.join(", "));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_steps_run_and_one_failure_fails_the_whole() {
        let mut steps = Steps::default();
        let mut ran = 0;
        steps.step("first", || {
            ran += 1;
            bail!("broken")
        });
        steps.step("second", || {
            ran += 1;
            Ok(())
        });
        assert_eq!(ran, 2);
        assert_eq!(steps.finish().unwrap_err().to_string(), "failed: first");
    }

    #[test]
    fn a_program_that_fails_is_an_error_that_shows_its_line() {
        let error = run(&mut program("false", &["--now"])).unwrap_err().to_string();
        assert!(error.contains("`false --now`"), "{error}");
    }
}
