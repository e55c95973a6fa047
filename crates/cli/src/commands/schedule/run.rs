//! `lovage schedule run`: a schedule's job now, beside its ticks.

use clap::Args;
use lovage_core::{JobId, NewJob, ScheduleName, Timestamp};
use lovage_ledger::{Run, RunOutcome, Schedule};
use serde_json::json;

use super::{find, target, zone_of};
use crate::commands::Context;
use crate::commands::job::{enqueue, watch};
use crate::error::Outcome;
use crate::rooms;
use crate::trail::Trail;

/// Options of `schedule run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// The schedule
    name: ScheduleName,
    /// Wait until the job has ended and exit with its outcome
    #[arg(long)]
    wait: bool,
    /// How long to wait at most, e.g. 10m [default: for ever]
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true, requires = "wait")]
    wait_timeout: Option<String>,
}

/// Runs the command.
pub async fn run(context: &Context, args: &RunArgs) -> Outcome {
    let limit = watch::limit(args.wait_timeout.as_deref())?;
    let name = &args.name;
    let ledger = rooms::required_ledger(context.config()).await?;
    let schedule = find(&ledger, name).await?;
    let trail = Trail::open(context).await?;
    let broker = context.broker().await?;
    let now = ledger.now().await?;
    let handed = enqueue::hand_in(&*broker, job(&schedule, now)?).await?;
    let job = Some((handed.queue.clone(), handed.id.clone()));
    let note = Some(format!("asked for by {}", crate::config::user()));
    let run = Run { schedule: name.clone(), tick: now, outcome: RunOutcome::Manual, at: now, job, note, ended: None };
    ledger.add_run(&run).await?;
    let answer = json!({ "name": name, "id": handed.id, "queue": handed.queue, "status": handed.status });
    trail.record("schedule.run", target(name), &answer).await?;
    if !args.wait {
        return context.output.one(&answer, || handed.sentence(context.output.quiet));
    }
    context.output.note(&handed.sentence(false));
    let view = watch::until_ended(&*broker, context.output, &handed.queue, &handed.id, limit).await?;
    watch::conclude(context.output, view)
}

/// The job of a tick that is now, with an id of its own and without the unique key that only ticks have.
fn job(schedule: &Schedule, now: Timestamp) -> Outcome<NewJob> {
    let spec = &schedule.spec;
    let id: JobId = format!("{}:manual:{}", spec.name, now.as_millis()).parse()?;
    let mut job = spec.job(now, &zone_of(spec));
    job.id = Some(id);
    job.unique = None;
    Ok(job)
}
