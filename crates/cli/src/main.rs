//! `lovage`, the one binary: the role or the command is its first word.
//!
//! This is the only place that knows every room. The walk of a job begins here when it is enqueued by hand
//! (`commands/job/`), and the worker that ends it is put together here (`commands/worker.rs`, `rooms.rs`).

mod adoption;
mod arguments;
mod beside;
mod commands;
mod config;
mod doors;
mod error;
mod instant;
mod lifecycle;
mod output;
mod rate;
mod reference;
mod relaying;
#[cfg(feature = "reports")]
mod reports;
mod rooms;
mod schedules;
mod scheduling;
mod telemetry;
mod trail;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser as _;
use clap::error::ErrorKind;

use crate::arguments::Cli;
use crate::error::{Failure, Outcome};
use crate::output::Output;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => return refused(&error, &arguments),
    };
    let output = cli.global.output();
    match run(cli, output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output.failure(&failure);
            ExitCode::from(failure.code())
        }
    }
}

fn run(cli: Cli, output: Output) -> Outcome {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Failed(format!("the runtime does not start: {error}")))?;
    let result = runtime.block_on(commands::run(cli, output));
    // A handler that never yields must not keep the process: its job has been handed back by now.
    runtime.shutdown_background();
    result
}

/// Help and version go to standard output; anything else that the parser does not like is a usage failure.
fn refused(error: &clap::Error, arguments: &[OsString]) -> ExitCode {
    // A reader that went away early is no failure of ours.
    let _ = error.print();
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        return ExitCode::SUCCESS;
    }
    let asked = |name: &str| arguments.iter().any(|argument| argument == name);
    if asked("--json") || asked("json") || asked("ndjson") || asked("--output=json") {
        let text = error.to_string();
        let first = text.lines().next().unwrap_or_default().trim_start_matches("error: ");
        let failure = Failure::Usage { field: None, message: first.to_owned() };
        output::object(&failure);
    }
    ExitCode::from(2)
}
