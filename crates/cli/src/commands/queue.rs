//! `lovage queue list|pause|resume|purge`.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use lovage_broker::{Broker, BulkAction, NewPause};
use lovage_core::{QueueName, State, Subject};
use serde_json::json;

use super::Context;
use crate::error::{Failure, Outcome};
use crate::instant::Instant;
use crate::output::{self, QueueLine};
use crate::{duration, instant};

/// Commands about queues.
#[derive(Debug, Subcommand)]
pub enum QueueCommand {
    /// Show queues: jobs per state, age of the oldest waiting job, pauses
    List {
        /// Only these queues [default: all]
        queues: Vec<QueueName>,
        /// Show again every two seconds until interrupted
        #[arg(long)]
        watch: bool,
    },
    /// Stop workers from taking jobs of a queue; running jobs go on
    Pause(PauseArgs),
    /// Let workers take jobs of a queue again
    Resume {
        /// The queue
        queue: QueueName,
    },
    /// Delete jobs of a queue; running ones stay
    Purge(PurgeArgs),
}

/// Options of `queue pause`.
#[derive(Debug, Args)]
pub struct PauseArgs {
    /// The queue
    queue: QueueName,
    /// Why, for whoever finds the queue paused
    #[arg(long, default_value = "")]
    why: String,
    /// Who, if not the user of this shell
    #[arg(long)]
    by: Option<String>,
    /// Resume by itself after this time, e.g. 30m
    #[arg(long = "for", value_name = "DURATION", allow_hyphen_values = true, conflicts_with = "until")]
    duration: Option<String>,
    /// Resume by itself at this instant (RFC 3339)
    #[arg(long, value_name = "INSTANT")]
    until: Option<String>,
}

/// Options of `queue purge`.
#[derive(Debug, Args)]
pub struct PurgeArgs {
    /// The queue
    queue: QueueName,
    /// Only jobs in these states [default: available, scheduled, retryable]
    #[arg(long, value_name = "STATE", value_delimiter = ',')]
    state: Vec<JobState>,
    /// Show how many jobs would be deleted and delete none
    #[arg(long)]
    dry_run: bool,
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
    let broker = context.broker().await?;
    match command {
        QueueCommand::List { queues, watch } => list(context, &*broker, &queues, watch).await,
        QueueCommand::Pause(args) => pause(context, &*broker, args).await,
        QueueCommand::Resume { queue } => resume(context, &*broker, &queue).await,
        QueueCommand::Purge(args) => purge(context, &*broker, &args).await,
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
        let lines: Vec<QueueLine> = views.into_iter().map(QueueLine::from).collect();
        context.output.many(&lines, QueueLine::table)?;
        if !watch {
            return Ok(());
        }
        if !context.output.is_json() {
            output::line("")?;
        }
    }
}

async fn pause(context: &Context, broker: &dyn Broker, args: PauseArgs) -> Outcome {
    let until = match (&args.duration, &args.until) {
        (Some(text), _) => {
            let wait = duration::parse(text).map_err(|problem| Failure::usage("for", format!("--for: {problem}")))?;
            Some(Context::now().plus(wait))
        }
        (None, Some(text)) => {
            Some(instant::parse(text).map_err(|problem| Failure::usage("until", format!("--until: {problem}")))?)
        }
        (None, None) => None,
    };
    let by = args.by.unwrap_or_else(crate::config::user);
    let pause = broker.pause(&args.queue, &Subject::Queue, &NewPause { by, why: args.why.clone(), until }).await?;
    let answer = json!({
        "queue": args.queue,
        "paused": { "by": pause.by, "why": pause.why, "since": Instant(pause.since), "until": pause.until.map(Instant) },
    });
    context.output.one(&answer, || match pause.until {
        Some(until) => format!("Queue {} is paused until {}.", args.queue, Instant(until)),
        None => format!("Queue {} is paused until `lovage queue resume {}`.", args.queue, args.queue),
    })
}

async fn resume(context: &Context, broker: &dyn Broker, queue: &QueueName) -> Outcome {
    let was_paused = broker.resume(queue, &Subject::Queue).await?;
    context.output.one(&json!({ "queue": queue, "was_paused": was_paused }), || {
        if was_paused { format!("Queue {queue} is resumed.") } else { format!("Queue {queue} was not paused.") }
    })
}

async fn purge(context: &Context, broker: &dyn Broker, args: &PurgeArgs) -> Outcome {
    let states: Vec<State> = if args.state.is_empty() {
        vec![State::Available, State::Scheduled, State::Retryable]
    } else {
        args.state.iter().copied().map(State::from).collect()
    };
    if states.contains(&State::Running) {
        return Err(Failure::usage(
            "state",
            "state: running jobs cannot be purged; cancel them with `lovage job cancel`",
        ));
    }
    let counts = broker.queue(&args.queue).await?.counts;
    let found: u64 = states.iter().map(|state| counts.of(*state)).sum();
    let names: Vec<&str> = states.iter().map(|state| state.name()).collect();
    let queue = &args.queue;
    if args.dry_run {
        let answer = json!({ "queue": queue, "states": names, "would_delete": found });
        return context.output.one(&answer, || format!("{found} jobs of queue {queue} would be deleted."));
    }
    if found > 0 {
        context.confirm(&format!("Delete {found} jobs ({}) of queue {queue}?", names.join(", ")))?;
    }
    let mut deleted = 0;
    for state in states {
        deleted += bulk(broker, queue, state, BulkAction::Delete).await?;
    }
    let answer = json!({ "queue": queue, "states": names, "deleted": deleted });
    context.output.one(&answer, || format!("{deleted} jobs of queue {queue} are deleted."))
}

/// Does `action` to all jobs in a state, slice by slice, and answers how many.
pub async fn bulk(broker: &dyn Broker, queue: &QueueName, state: State, action: BulkAction) -> Outcome<u64> {
    let mut done = 0;
    let mut cursor = None;
    loop {
        let progress = broker.bulk(queue, state, action, cursor).await?;
        done += progress.done;
        cursor = progress.cursor;
        if cursor.is_none() {
            return Ok(done);
        }
    }
}
