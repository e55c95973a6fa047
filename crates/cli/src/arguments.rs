//! What may be written on the command line: the global options and the first word. Each command's own options stand
//! with the command.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::commands::{
    artifact, audit, completion, config, dashboard, demo, export, failures, job, migrate, outbox, queue, schedule,
    scheduler, up, worker,
};
use crate::config::Flags;
use crate::error::{Failure, Outcome};
use crate::output::{Format, Output};

/// Background jobs: queues, workers, and their results as files.
#[derive(Debug, Parser)]
#[command(name = "lovage", version, max_term_width = 100)]
#[command(after_help = "Exit codes: 0 ok, 1 failure, 2 usage, 3 not found, 5 conflict, 6 unavailable, 124 timeout.")]
pub struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Write results as JSON (the same as --output json)
    #[arg(long, global = true)]
    pub json: bool,
    /// How to write results [default: table]
    #[arg(long, global = true, value_name = "FORMAT", conflicts_with = "json")]
    pub output: Option<Format>,
    /// Read this file of settings instead of ./lovage.toml
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Set a setting for this run, e.g. --set concurrency=4 (see `lovage config print`)
    #[arg(long, global = true, value_name = "NAME=VALUE")]
    pub set: Vec<String>,
    /// Do not ask before something that cannot be taken back
    #[arg(long, short = 'y', global = true)]
    pub yes: bool,
    /// Write results only, no remarks and no progress
    #[arg(long, short = 'q', global = true)]
    pub quiet: bool,
}

impl Global {
    /// How results are written.
    pub fn output(&self) -> Output {
        let format = if self.json { Format::Json } else { self.output.unwrap_or(Format::Table) };
        Output { format, quiet: self.quiet }
    }

    /// What the global options say about settings.
    pub fn flags(&self) -> Outcome<Flags> {
        let mut set = Vec::with_capacity(self.set.len());
        for pair in &self.set {
            let Some((key, value)) = pair.split_once('=') else {
                return Err(Failure::usage("set", format!("--set {pair}: has no `=`; use --set NAME=VALUE")));
            };
            set.push((key.trim().to_owned(), value.to_owned(), "--set".to_owned()));
        }
        Ok(Flags { file: self.config.clone(), set })
    }
}

/// The first word.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run everything in one process, with what it needs embedded
    Up(up::UpArgs),
    /// Run a worker, or look at workers and steer them
    Worker(worker::WorkerArgs),
    /// Enqueue jobs by schedules, record history, remove what is old, anchor the audit trail: whichever of several schedulers leads
    Scheduler(scheduler::SchedulerArgs),
    /// Show metrics of all queues and the numbers by which workers are scaled, over HTTP
    Dashboard(dashboard::DashboardArgs),
    /// Enqueue jobs, look at them and steer them
    #[command(subcommand)]
    Job(job::JobCommand),
    /// Make schedules that enqueue jobs by the clock, look at them and steer them
    #[command(subcommand)]
    Schedule(schedule::ScheduleCommand),
    /// Look at queues, pause and purge them
    #[command(subcommand)]
    Queue(queue::QueueCommand),
    /// Show which failures are alike, how many there are and since when
    Failures(failures::FailuresArgs),
    /// Take jobs from a table of another service's database, or from a spool
    #[command(subcommand)]
    Outbox(outbox::OutboxCommand),
    /// Look at exports, hand out links to their files, delete them
    #[command(subcommand)]
    Export(export::ExportCommand),
    /// Check the files that jobs wrote, remove orphans and what is kept no longer
    #[command(subcommand)]
    Artifact(artifact::ArtifactCommand),
    /// Write to the audit trail, look at it, and find out whether anybody changed it
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Bring the ledger to this release's schema
    #[command(subcommand)]
    Migrate(migrate::MigrateCommand),
    /// Check settings, broker, storage and workers, and say what to mend
    Doctor,
    /// Show the settings and where each was said
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Export a sample database through queue, worker and storage, from nothing
    Demo(demo::DemoArgs),
    /// Write a completion script for a shell
    Completion(completion::CompletionArgs),
    /// Write the reference of all commands and settings as Markdown
    #[command(hide = true)]
    Reference,
}

impl Command {
    /// Whether the command runs until it is told to stop: its log is what a person watches.
    pub fn is_role(&self) -> bool {
        match self {
            Self::Up(_) | Self::Scheduler(_) | Self::Dashboard(_) => true,
            Self::Worker(args) => args.command.is_none(),
            Self::Outbox(outbox::OutboxCommand::Relay(args)) => !args.once,
            _ => false,
        }
    }
}
