//! `lovage export hold` and `lovage export release`.

use clap::Args;
use serde_json::json;

use super::ExportArgs;
use crate::commands::Context;
use crate::error::Outcome;
use crate::instant::Instant;
use crate::rooms;
use crate::trail::Trail;

/// Options of `export hold`.
#[derive(Debug, Args)]
pub struct HoldArgs {
    #[command(flatten)]
    export: ExportArgs,
    /// Why; it is shown to whoever tries to delete the files
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// Holds an export.
pub async fn run(context: &Context, args: &HoldArgs) -> Outcome {
    let store = rooms::store(context.config())?;
    let ExportArgs { job, queue } = &args.export;
    let trail = Trail::open(context).await?;
    let hold = store.hold(queue, job, args.reason.as_deref(), Context::now()).await?;
    let since = Instant(hold.since);
    let answer = json!({ "job": job, "queue": queue, "held": true, "since": since, "reason": hold.reason });
    trail.record("export.hold", format!("job:{job}"), &answer).await?;
    context.output.one(&answer, || format!("The files of job {job} are held since {since}."))
}

/// Ends the hold on an export.
pub async fn release(context: &Context, args: &ExportArgs) -> Outcome {
    let store = rooms::store(context.config())?;
    let ExportArgs { job, queue } = args;
    context.confirm(&format!("Let the files of job {job} in queue {queue} be deleted again?"))?;
    let trail = Trail::open(context).await?;
    let before = store.release(queue, job).await?;
    let since = before.as_ref().map(|hold| Instant(hold.since));
    let answer = json!({ "job": job, "queue": queue, "held": false, "since": since });
    trail.record("export.release", format!("job:{job}"), &answer).await?;
    context.output.one(&answer, || match since {
        Some(since) => format!("The files of job {job}, held since {since}, can be deleted again."),
        None => format!("The files of job {job} were not held."),
    })
}
