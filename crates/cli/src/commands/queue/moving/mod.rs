//! `lovage queue move`: jobs leave a queue for another one. [`steps`] has how nothing is lost or doubled on the way.

mod steps;

use std::fmt::Write as _;

use clap::Args;
use lovage_broker::{Broker, ListQuery};
use lovage_core::{JobId, JobView, Kind, QueueName, State, Tenant};
use serde::Serialize;
use serde_json::{Value, json};

use self::steps::Moving;
use super::JobState;
use crate::commands::Context;
use crate::error::{Failure, Outcome};
use crate::output::{self, clean};
use crate::rate;
use crate::trail::Trail;

/// Jobs that are looked up at a time.
const PAGE: usize = 100;
/// Most errors that the summary repeats; standard error has them all.
const MAX_ERRORS: usize = 1_000;

/// Options of `queue move`.
#[derive(Debug, Args)]
pub struct MoveArgs {
    /// The queue that they leave
    from: QueueName,
    /// The queue that they join
    to: QueueName,
    /// Only jobs in these states: available, scheduled, retryable, discarded [default: the first three]
    #[arg(long, value_name = "STATE", value_delimiter = ',')]
    state: Vec<JobState>,
    /// Only jobs of this kind
    #[arg(long)]
    kind: Option<Kind>,
    /// Only jobs of this tenant
    #[arg(long)]
    tenant: Option<Tenant>,
    /// No more than so many
    #[arg(long, value_name = "COUNT")]
    limit: Option<u64>,
    /// No more than so many at a time, e.g. 50/s
    #[arg(long, value_name = "COUNT/TIME", allow_hyphen_values = true)]
    rate: Option<String>,
    /// Show how many jobs would be moved and move none
    #[arg(long)]
    dry_run: bool,
}

/// What became of them.
#[derive(Debug, Serialize)]
struct Summary {
    from: QueueName,
    to: QueueName,
    states: Vec<&'static str>,
    moved: u64,
    /// Copies of an interrupted move that were let go, or taken back.
    mended: u64,
    /// Changed by somebody else meanwhile, and left.
    changed: u64,
    /// Due within a minute, and left.
    due_soon: u64,
    refused: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
    errors: Vec<Value>,
}

/// Runs the command.
pub async fn run(context: &Context, broker: &dyn Broker, args: &MoveArgs) -> Outcome {
    if args.from == args.to {
        return Err(Failure::usage("to", format!("to: the jobs are in queue {} already; name another one", args.to)));
    }
    let states = states(&args.state)?;
    let rate = match &args.rate {
        Some(text) => {
            let rate = rate::parse(text).map_err(|problem| Failure::usage("rate", format!("--rate: {problem}")))?;
            rate.validate("rate")?;
            Some(rate)
        }
        None => None,
    };
    let names: Vec<&str> = states.iter().map(|state| state.name()).collect();
    if args.dry_run {
        let count = count(broker, args, &states).await?;
        let answer = json!({ "from": args.from, "to": args.to, "states": names, "would_move": count });
        return context
            .output
            .one(&answer, || format!("{count} jobs of queue {} would be moved to {}.", args.from, args.to));
    }
    let trail = Trail::open(context).await?;
    let moved = Moving::new(context, broker, args, &states, rate).run(context, &states).await?;
    let details =
        json!({ "to": args.to, "states": names, "kind": args.kind, "tenant": args.tenant, "moved": moved.moved });
    trail.record("queue.move", format!("queue:{}", args.from), &details).await?;
    moved.show(context)
}

/// The states in the direction in which jobs move, so that one that moves on is met twice rather than never.
fn states(wanted: &[JobState]) -> Outcome<Vec<State>> {
    let wanted: Vec<State> = wanted.iter().copied().map(State::from).collect();
    let may = [State::Scheduled, State::Retryable, State::Available, State::Discarded];
    if let Some(state) = wanted.iter().find(|state| !may.contains(state)) {
        let help = "use available, scheduled, retryable or discarded";
        return Err(Failure::usage("state", format!("state: jobs that are {state} are not moved; {help}")));
    }
    let usual = |state: &State| *state != State::Discarded;
    Ok(may.into_iter().filter(|state| if wanted.is_empty() { usual(state) } else { wanted.contains(state) }).collect())
}

fn is_wanted(args: &MoveArgs, view: &JobView) -> bool {
    args.kind.as_ref().is_none_or(|kind| view.kind.as_ref() == Some(kind))
        && args.tenant.as_ref().is_none_or(|tenant| view.tenant.as_ref() == Some(tenant))
}

async fn count(broker: &dyn Broker, args: &MoveArgs, states: &[State]) -> Outcome<u64> {
    let mut found = 0;
    if args.kind.is_none() && args.tenant.is_none() {
        let counts = broker.queue(&args.from).await?.counts;
        found = states.iter().map(|state| counts.of(*state)).sum();
    } else {
        for &state in states {
            let mut cursor = None;
            loop {
                let query = ListQuery { queue: args.from.clone(), state, limit: PAGE, cursor };
                let page = broker.list(&query).await?;
                found += page.jobs.iter().filter(|view| is_wanted(args, view)).count() as u64;
                cursor = page.next;
                if cursor.is_none() {
                    break;
                }
            }
        }
    }
    Ok(found.min(args.limit.unwrap_or(u64::MAX)))
}

impl Summary {
    fn new(args: &MoveArgs, states: &[State]) -> Self {
        Self {
            from: args.from.clone(),
            to: args.to.clone(),
            states: states.iter().map(|state| state.name()).collect(),
            moved: 0,
            mended: 0,
            changed: 0,
            due_soon: 0,
            refused: 0,
            retry_after_ms: None,
            errors: Vec::new(),
        }
    }

    fn refuse(&mut self, id: &JobId, failure: &Failure) {
        self.refused += 1;
        output::warn(&format!("error: job {id}: {}", clean(&failure.to_string())));
        if self.errors.len() < MAX_ERRORS {
            let mut answer = failure.to_json();
            answer["id"] = json!(id);
            self.errors.push(answer);
        }
    }

    /// Shows what became of them, and ends with the exit code for it.
    fn show(&self, context: &Context) -> Outcome {
        context.output.one(self, || {
            let mut text = format!("{} jobs of queue {} are in queue {} now.", self.moved, self.from, self.to);
            let further = [
                ("of an interrupted move were finished", self.mended),
                ("were changed meanwhile and stay", self.changed),
                ("are due within a minute and stay; repeat the command for them", self.due_soon),
                ("were refused and stay", self.refused),
            ];
            for (what, count) in further.into_iter().filter(|(_, count)| *count > 0) {
                let _ = write!(text, "\n{count} {what}.");
            }
            text
        })?;
        if self.retry_after_ms.is_some() {
            context.output.note("The other queue is full. The same command goes on where it stopped: repeat it later.");
            return Err(Failure::Shown(6));
        }
        if self.refused > 0 { Err(Failure::Shown(1)) } else { Ok(()) }
    }
}
