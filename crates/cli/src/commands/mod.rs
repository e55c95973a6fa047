//! The commands, one file a group.

pub mod artifact;
pub mod audit;
pub mod completion;
pub mod config;
pub mod dashboard;
pub mod demo;
pub mod doctor;
pub mod export;
pub mod failures;
pub mod job;
mod lines;
pub mod migrate;
pub mod outbox;
pub mod queue;
pub mod schedule;
pub mod scheduler;
pub mod up;
mod whole;
pub mod worker;
mod worker_admin;

use std::sync::Arc;

use lovage_broker::{Broker, SystemClock};
use lovage_core::{Clock as _, Timestamp};

use crate::arguments::{Cli, Command, Global};
use crate::config::{Config, ConfigError, Loaded};
use crate::error::{Failure, Outcome};
use crate::output::{self, Output};
use crate::{reference, rooms, telemetry};

/// What every command is given.
pub struct Context {
    /// The settings with their origins.
    pub loaded: Loaded,
    /// Where results go.
    pub output: Output,
    /// The global options.
    pub global: Global,
}

impl Context {
    /// The settings.
    pub fn config(&self) -> &Config {
        &self.loaded.config
    }

    /// The broker that the settings name.
    pub async fn broker(&self) -> Outcome<Arc<dyn Broker>> {
        Ok(rooms::broker(self.config()).await?)
    }

    /// Asks before something that cannot be taken back.
    pub fn confirm(&self, question: &str) -> Outcome {
        self.output.confirm(self.global.yes, question)
    }

    /// The current time, for ages in tables.
    pub fn now() -> Timestamp {
        SystemClock.now()
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::Usage { message: error.to_string(), field: error.key }
    }
}

/// Runs one command.
pub async fn run(cli: Cli, output: Output) -> Outcome {
    match &cli.command {
        // These need no settings, so a broken file does not stop them.
        Command::Completion(args) => return completion::run(args),
        Command::Reference => return output::text(&reference::markdown()),
        _ => {}
    }
    let mut flags = cli.global.flags()?;
    if let Command::Worker(args) = &cli.command {
        args.run.settings(&mut flags);
    }
    let loaded = crate::config::load(&flags, crate::config::variables())?;
    telemetry::start(&loaded.config, cli.command.is_role())?;
    let context = Context { loaded, output, global: cli.global };
    match cli.command {
        Command::Up(args) => up::run(context, &args).await,
        Command::Worker(args) => worker::run(context, args).await,
        Command::Scheduler(args) => scheduler::run(context, &args).await,
        Command::Dashboard(args) => dashboard::run(context, &args).await,
        Command::Job(command) => job::run(&context, command).await,
        Command::Schedule(command) => schedule::run(&context, command).await,
        Command::Queue(command) => queue::run(&context, command).await,
        Command::Outbox(command) => outbox::run(&context, command).await,
        Command::Export(command) => export::run(&context, command).await,
        Command::Artifact(command) => artifact::run(&context, command).await,
        Command::Failures(args) => failures::run(&context, &args).await,
        Command::Audit(command) => audit::run(&context, command).await,
        Command::Migrate(command) => migrate::run(&context, command).await,
        Command::Doctor => doctor::run(&context).await,
        Command::Config(command) => config::run(&context, &command),
        Command::Demo(args) => demo::run(&context, &args).await,
        Command::Completion(_) | Command::Reference => Ok(()),
    }
}
