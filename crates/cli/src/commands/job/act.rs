//! `lovage job cancel|retry|discard|delete|edit`: on jobs by id, or on all jobs of a queue in one state.

use clap::Args;
use lovage_broker::{Broker, BulkAction, Cancelled, Edit};
use lovage_core::{JobId, JobView, QueueName, Rate, State};
use serde_json::json;

use super::{new_job, redrive};
use crate::commands::Context;
use crate::commands::queue::{JobState, bulk};
use crate::error::{Failure, Outcome};
use crate::output;
use crate::trail::Trail;

/// Which jobs.
#[derive(Debug, Args)]
pub struct ActArgs {
    /// The jobs' ids
    #[arg(value_name = "ID", required_unless_present = "all", conflicts_with = "all")]
    ids: Vec<JobId>,
    /// Their queue [default: whichever has them]
    #[arg(long, short = 'Q', required_unless_present = "ids")]
    queue: Option<QueueName>,
    /// All jobs of --queue that are in --state
    #[arg(long, requires = "queue", requires = "state")]
    all: bool,
    /// The state of the jobs that --all means
    #[arg(long, value_name = "STATE", requires = "all")]
    state: Option<JobState>,
    /// Show what would be done and do nothing
    #[arg(long)]
    dry_run: bool,
}

/// Options of `job edit`.
#[derive(Debug, Args)]
pub struct EditArgs {
    /// The job's id
    id: JobId,
    /// Its queue [default: whichever has it]
    #[arg(long, short = 'Q')]
    queue: Option<QueueName>,
    /// New arguments as JSON text, @FILE or - for standard input
    #[arg(long, value_name = "JSON|@FILE|-", allow_hyphen_values = true)]
    args: Option<String>,
    /// New place in the line, 0 (first) to 9 (last)
    #[arg(long, value_name = "LEVEL", allow_hyphen_values = true)]
    priority: Option<String>,
    /// New labels instead of the old ones; may be given again
    #[arg(long, value_name = "TAG")]
    tag: Option<Vec<String>>,
}

/// What to do to jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Stop it.
    Cancel,
    /// Run it again, or now.
    Retry,
    /// Give it up.
    Discard,
    /// Remove it.
    Delete,
}

impl Verb {
    const fn word(self) -> &'static str {
        match self {
            Self::Cancel => "cancel",
            Self::Retry => "retry",
            Self::Discard => "discard",
            Self::Delete => "delete",
        }
    }

    /// What the audit trail calls it.
    const fn action(self) -> &'static str {
        match self {
            Self::Cancel => "job.cancel",
            Self::Retry => "job.retry",
            Self::Discard => "job.discard",
            Self::Delete => "job.delete",
        }
    }

    const fn bulk(self) -> BulkAction {
        match self {
            Self::Cancel => BulkAction::Cancel,
            Self::Retry => BulkAction::Retry,
            Self::Discard => BulkAction::Discard,
            Self::Delete => BulkAction::Delete,
        }
    }
}

/// Runs a verb on the jobs that `args` names.
/// With a `rate` retries of all jobs of a queue are no faster than it.
pub async fn run(context: &Context, args: &ActArgs, verb: Verb, rate: Option<Rate>) -> Outcome {
    let broker = context.broker().await?;
    match (&args.queue, args.state) {
        (Some(queue), Some(state)) if args.all => all(context, &*broker, args, (verb, rate), queue, state.into()).await,
        _ => each(context, &*broker, args, verb).await,
    }
}

async fn all(
    context: &Context,
    broker: &dyn Broker,
    args: &ActArgs,
    (verb, rate): (Verb, Option<Rate>),
    queue: &QueueName,
    state: State,
) -> Outcome {
    let word = verb.word();
    if !verb.bulk().allows(state) {
        return Err(Failure::Conflict(format!("state: {state} jobs of a queue cannot be told to {word} all at once")));
    }
    let found = broker.queue(queue).await?.counts.of(state);
    if args.dry_run {
        let answer = json!({ "queue": queue, "state": state, "verb": word, "would_change": found });
        return context.output.one(&answer, || format!("Would {word} {found} {state} jobs of queue {queue}."));
    }
    if found > 0 {
        context.confirm(&format!("{} {found} {state} jobs of queue {queue}?", output::capital(word)))?;
    }
    let trail = Trail::open(context).await?;
    let done = match rate {
        Some(rate) => redrive::paced(broker, queue, state, rate).await?,
        None => bulk(broker, queue, state, verb.bulk()).await?,
    };
    let answer = json!({ "queue": queue, "state": state, "verb": word, "changed": done });
    trail.record(verb.action(), format!("queue:{queue}"), &answer).await?;
    context.output.one(&answer, || format!("{done} jobs of queue {queue}: {word} done."))
}

/// One job after the other; a failure is told and does not hinder the others.
async fn each(context: &Context, broker: &dyn Broker, args: &ActArgs, verb: Verb) -> Outcome {
    if verb == Verb::Delete && !args.dry_run {
        let what = if args.ids.len() == 1 { "this job".to_owned() } else { format!("these {} jobs", args.ids.len()) };
        context.confirm(&format!("Delete {what} with all that belongs to it?"))?;
    }
    // Nothing is recorded of what would be done.
    let trail = if args.dry_run { None } else { Some(Trail::open(context).await?) };
    let mut first = None;
    for id in &args.ids {
        match one(context, broker, args, (verb, trail.as_ref()), id).await {
            Ok(()) => {}
            Err(Failure::OutputClosed) => return Err(Failure::OutputClosed),
            Err(failure) if args.ids.len() == 1 => return Err(failure),
            Err(failure) => {
                context.output.failure(&failure);
                first.get_or_insert(failure.code());
            }
        }
    }
    first.map_or(Ok(()), |code| Err(Failure::Shown(code)))
}

async fn one(
    context: &Context,
    broker: &dyn Broker,
    args: &ActArgs,
    (verb, trail): (Verb, Option<&Trail>),
    id: &JobId,
) -> Outcome {
    let view = super::find(broker, args.queue.as_ref(), id).await?;
    if args.dry_run {
        let answer =
            json!({ "id": id, "queue": view.queue, "state": view.state, "verb": verb.word(), "dry_run": true });
        return context.output.one(&answer, || format!("Would {} job {id}, which is {}.", verb.word(), view.state));
    }
    let done = act(broker, verb, &view).await?;
    let answer = json!({ "id": id, "queue": view.queue, "status": done });
    if let Some(trail) = trail {
        let before =
            json!({ "queue": view.queue, "kind": view.kind, "tenant": view.tenant, "was": view.state, "status": done });
        trail.record(verb.action(), format!("job:{id}"), &before).await?;
    }
    context.output.one(&answer, || format!("Job {id}: {}.", done.replace('_', " ")))
}

async fn act(broker: &dyn Broker, verb: Verb, view: &JobView) -> Outcome<&'static str> {
    let (queue, id) = (&view.queue, &view.id);
    match verb {
        Verb::Cancel => match broker.cancel(queue, id).await? {
            Cancelled::Now => Ok("cancelled"),
            Cancelled::Requested => Ok("cancel_requested"),
        },
        Verb::Retry => broker.retry(queue, id).await.map(|()| "available").map_err(Failure::from),
        Verb::Discard => broker.discard(queue, id).await.map(|()| "discarded").map_err(Failure::from),
        Verb::Delete => match broker.delete(queue, id).await {
            Err(lovage_broker::BrokerError::Illegal(_)) => Err(Failure::Conflict(format!(
                "state: job {id} is running and cannot be deleted; `lovage job cancel {id}` first"
            ))),
            other => other.map(|()| "deleted").map_err(Failure::from),
        },
    }
}

/// Changes a job that is not running.
pub async fn edit(context: &Context, args: EditArgs) -> Outcome {
    if args.args.is_none() && args.priority.is_none() && args.tag.is_none() {
        return Err(Failure::usage("edit", "nothing to change was given; use --args, --priority or --tag"));
    }
    let edit = Edit {
        args: args.args.as_deref().map(new_job::json).transpose()?,
        priority: args.priority.as_deref().map(new_job::priority).transpose()?,
        tags: args.tag,
    };
    let broker = context.broker().await?;
    let view = super::find(&*broker, args.queue.as_ref(), &args.id).await?;
    let trail = Trail::open(context).await?;
    broker.edit(&view.queue, &view.id, edit).await?;
    let answer = json!({ "id": view.id, "queue": view.queue, "status": "edited" });
    let changed = json!({
        "queue": view.queue, "kind": view.kind, "args": args.args.is_some(), "priority": args.priority,
    });
    trail.record("job.edit", format!("job:{}", view.id), &changed).await?;
    context.output.one(&answer, || format!("Job {}: edited.", view.id))
}
