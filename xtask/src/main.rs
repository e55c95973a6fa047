//! The one door for development tools: `cargo xtask <command>`. Everything CI checks is a command here, so a
//! developer's machine can run all of it.

#![expect(clippy::print_stdout, reason = "a tool for a terminal speaks on standard output")]

mod alerts;
mod bench;
mod ci;
mod coverage;
mod failures;
mod generate;
mod licences;
mod metadata;
mod setup;
mod source;
mod spdx;
mod step;
mod tidy;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask <command>

  ci              everything that CI checks, in order, each step with its time
  test [ARGS]     prepare what the tests need, then run them all; ARGS go to the test runner
  tidy            the rules of the house that no compiler knows
  gen [--check]   write the generated reference under docs/reference, or check that it is fresh
  alerts          the alert rules of deploy/prometheus against their tests
  licences        licences and banned crates, as deny.toml says
  setup           only prepare what the tests need: redis-server, PostgreSQL, an S3 server
  coverage [ARGS] line coverage of the whole workspace, at least 85 % (needs cargo-tarpaulin)
  bench queue     measure; --peers beside others, --runs N, --only NAME, --jobs N, --json FILE, --markdown FILE
  bench export    the same of exports; --rows N, --slow-runs N of what takes minutes, --lovage FILE instead of a build
  bench audit     the same of the audit trail; --events N, --lovage FILE
  bench history   the same of the history of jobs, without others; --jobs N
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["ci"] => ci::all(),
        ["test", rest @ ..] => setup::run().and_then(|()| ci::tests(rest)),
        ["tidy"] => tidy::run(),
        ["gen"] => generate::write(),
        ["gen", "--check"] => generate::check(),
        ["alerts"] => alerts::check(),
        ["licences"] => licences::run(),
        ["setup"] => setup::run(),
        ["coverage", rest @ ..] => setup::run().and_then(|()| coverage::run_tests(rest)),
        ["bench", "queue", rest @ ..] => bench::queue(rest),
        ["bench", "export", rest @ ..] => bench::export(rest),
        ["bench", "audit", rest @ ..] => bench::audit(rest),
        ["bench", "history", rest @ ..] => bench::history(rest),
        ["bench"] => bench::queue(&[]),
        [] | ["help" | "--help" | "-h"] => {
            print!("{USAGE}");
            Ok(())
        }
        other => {
            print!("unknown command: {}\n\n{USAGE}", other.join(" "));
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
