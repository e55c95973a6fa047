//! `lovage worker`: the role that claims and runs jobs until it is told to stop.

use clap::Args;
use tracing::info;

use super::Context;
use super::worker_admin::{self, WorkerCommand};
use crate::config::Flags;
use crate::error::{Failure, Outcome};
use crate::{adoption, doors, lifecycle, relaying, rooms};

/// Options of `lovage worker`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct WorkerArgs {
    /// How to run.
    #[command(flatten)]
    pub run: RunArgs,
    /// What to do to running workers instead.
    #[command(subcommand)]
    pub command: Option<WorkerCommand>,
}

/// How a worker runs.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Queues to serve, with weights, e.g. exports=4,audit=8
    #[arg(long, value_name = "QUEUES")]
    queues: Option<String>,
    /// Jobs to run at once
    #[arg(long, value_name = "COUNT")]
    concurrency: Option<String>,
    /// Exit after so many jobs
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    max_jobs: Option<u64>,
    /// Exit once no job is available in any of the queues
    #[arg(long)]
    exit_when_empty: bool,
    /// Take over what apalis-redis producers push, e.g. emails=email.send; may be given again
    #[arg(long, value_name = "[SOURCE@]QUEUE=KIND")]
    adopt_apalis: Vec<String>,
    /// Move the rows of the outbox that outbox.url names into the broker, too
    #[arg(long)]
    relay_outbox: bool,
}

impl RunArgs {
    /// Adds what the options say about settings.
    pub fn settings(&self, flags: &mut Flags) {
        let options = [("queues", &self.queues), ("concurrency", &self.concurrency)];
        for (key, value) in options {
            if let Some(value) = value {
                flags.set.push((key.to_owned(), value.clone(), format!("--{key}")));
            }
        }
        if !self.adopt_apalis.is_empty() {
            let all = self.adopt_apalis.join(",");
            flags.set.push(("adopt.apalis".to_owned(), all, "--adopt-apalis".to_owned()));
        }
        if self.relay_outbox {
            flags.set.push(("outbox.relay".to_owned(), "true".to_owned(), "--relay-outbox".to_owned()));
        }
    }
}

/// Runs the role, or a command about running workers.
pub async fn run(context: Context, args: WorkerArgs) -> Outcome {
    if let Some(command) = args.command {
        return worker_admin::run(&context, command).await;
    }
    let config = context.config();
    let handlers = rooms::handlers(config, rooms::sources(config)?, rooms::ledger(config).await?, config.debug_kinds)?;
    let mut settings = rooms::worker_config(config)?;
    settings.max_jobs = args.run.max_jobs;
    settings.exit_when_empty = args.run.exit_when_empty;
    info!(
        worker_id = %settings.id, queues = %config.queues, slots = settings.slots,
        broker = rooms::broker_name(config), storage = config.storage(), "worker starts"
    );
    let shutdown = lifecycle::listen()?;
    let (id, exits) = (settings.id.clone(), settings.exit_when_empty);
    let (worker, shown) = rooms::worker_shown(config, settings, handlers);
    // Open before anything takes long, and closed only when the worker has ended: while it drains, that is what the probes
    // say.
    let _door = doors::role(config, &shown, "worker")?;
    let adopting = adoption::start(config, &id, &shutdown, exits).await?;
    let relaying = relaying::start(config, &shutdown, exits).await?;
    let ended = worker.run(shutdown).await;
    adopting.end().await;
    relaying.end().await;
    ended?;
    Ok(())
}

/// A worker's task that did not come back.
pub fn broken(error: &tokio::task::JoinError) -> Failure {
    Failure::Failed(format!("the worker broke: {error}"))
}
