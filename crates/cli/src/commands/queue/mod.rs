//! `lovage queue …`: what waits, what holds it back, and its backup.

mod archive;
mod export;
mod import;
mod limit;
mod moving;
mod pause;
mod purge;
mod subject;

use std::time::Duration;

use clap::{Subcommand, ValueEnum};
use lovage_broker::Broker;
use lovage_core::{QUEUE_VIEW_FLOWS, QueueName, QueueView, State};

pub use purge::bulk;

use super::Context;
use crate::error::Outcome;
use crate::output::{self, FlowLine, QueueLine};

/// Commands about queues.
#[derive(Debug, Subcommand)]
pub enum QueueCommand {
    /// Show queues: waiting and running jobs, age of the oldest waiting one, what holds them back
    List {
        /// Only these queues [default: all]
        queues: Vec<QueueName>,
        /// Show again every two seconds until interrupted
        #[arg(long)]
        watch: bool,
    },
    /// Show one queue: jobs per state, all limits with their use, pauses and breakers
    Stats {
        /// The queue
        queue: QueueName,
    },
    /// Set or show the limits of a queue, or of a tenant, a kind or a key in it
    ///
    /// What is given changes, everything else stays. Limits hold for jobs that wait already, and jobs that run count.
    Limit(Box<limit::LimitArgs>),
    /// List everything in a queue that has limits, pauses or breakers
    Limits {
        /// The queue
        queue: QueueName,
    },
    /// Stop workers from taking jobs of a queue; running jobs go on
    Pause(pause::PauseArgs),
    /// Let workers take jobs of a queue again; also closes its circuit breaker
    Resume(pause::ResumeArgs),
    /// Delete jobs of a queue; running ones stay
    Purge(purge::PurgeArgs),
    /// Move jobs of a queue to another one; discarded ones run again there
    ///
    /// A job is never lost, and never free to run in both queues. What an interrupted move has left is finished by repeating
    /// the command.
    Move(moving::MoveArgs),
    /// Write the jobs of a queue that wait, are due later or were discarded, a job a line, with a checksum
    ///
    /// Jobs that are enqueued meanwhile may be missing. Pause the queue for an exact copy of one instant.
    Export(export::ExportArgs),
    /// Put the jobs of an exported file into a queue; jobs that are there already stay as they are
    Import(import::ImportArgs),
}

/// A state by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum JobState {
    /// Waiting.
    Available,
    /// Due later.
    Scheduled,
    /// Leased to a worker.
    Running,
    /// Failed and due later.
    Retryable,
    /// Done.
    Completed,
    /// Stopped on request.
    Cancelled,
    /// Will not run again.
    Discarded,
}

impl From<JobState> for State {
    fn from(state: JobState) -> Self {
        match state {
            JobState::Available => Self::Available,
            JobState::Scheduled => Self::Scheduled,
            JobState::Running => Self::Running,
            JobState::Retryable => Self::Retryable,
            JobState::Completed => Self::Completed,
            JobState::Cancelled => Self::Cancelled,
            JobState::Discarded => Self::Discarded,
        }
    }
}

/// Runs a command about queues.
pub async fn run(context: &Context, command: QueueCommand) -> Outcome {
    // A file is checked before any broker is asked.
    let command = match command {
        QueueCommand::Import(args) => return import::run(context, &args).await,
        other => other,
    };
    let broker = context.broker().await?;
    match command {
        QueueCommand::List { queues, watch } => list(context, &*broker, &queues, watch).await,
        QueueCommand::Stats { queue } => stats(context, &*broker, &queue).await,
        QueueCommand::Limit(args) => limit::run(context, &*broker, &args).await,
        QueueCommand::Limits { queue } => {
            let now = Context::now();
            let flows = subject::flows(&*broker, &queue).await?;
            let lines: Vec<FlowLine> = flows.into_iter().map(FlowLine::from).collect();
            context.output.many(&lines, |lines| FlowLine::table(lines, now))
        }
        QueueCommand::Pause(args) => pause::pause(context, &*broker, args).await,
        QueueCommand::Resume(args) => pause::resume(context, &*broker, &args).await,
        QueueCommand::Purge(args) => purge::run(context, &*broker, &args).await,
        QueueCommand::Move(args) => moving::run(context, &*broker, &args).await,
        QueueCommand::Export(args) => export::run(context, &*broker, &args).await,
        QueueCommand::Import(_) => Ok(()),
    }
}

async fn list(context: &Context, broker: &dyn Broker, queues: &[QueueName], watch: bool) -> Outcome {
    let mut pace = tokio::time::interval(Duration::from_secs(2));
    loop {
        pace.tick().await;
        let mut views = Vec::with_capacity(queues.len());
        for queue in queues {
            views.push(broker.queue(queue).await?);
        }
        if queues.is_empty() {
            views = broker.queues().await?;
        }
        let mut lines = Vec::with_capacity(views.len());
        for view in views {
            lines.push(QueueLine::from(whole(broker, view).await?));
        }
        context.output.many(&lines, |lines| QueueLine::table(lines, Context::now()))?;
        if !watch {
            return Ok(());
        }
        if !context.output.is_json() {
            output::line("")?;
        }
    }
}

async fn stats(context: &Context, broker: &dyn Broker, queue: &QueueName) -> Outcome {
    let line = QueueLine::from(whole(broker, broker.queue(queue).await?).await?);
    context.output.one(&line, || line.page(Context::now()))
}

/// The view with all of its subjects: what is urgent may stand behind the first ones.
async fn whole(broker: &dyn Broker, mut view: QueueView) -> Outcome<QueueView> {
    if view.flow.len() >= QUEUE_VIEW_FLOWS {
        view.flow = subject::flows(broker, &view.name).await?;
    }
    Ok(view)
}
