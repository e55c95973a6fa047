//! `lovage completion SHELL`.

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use crate::arguments::Cli;
use crate::error::Outcome;
use crate::output;

/// Options of `lovage completion`.
#[derive(Debug, Args)]
pub struct CompletionArgs {
    /// The shell that will read the script
    shell: Shell,
}

/// Writes the script.
pub fn run(args: &CompletionArgs) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "lovage", &mut script);
    output::text(&String::from_utf8_lossy(&script))
}
