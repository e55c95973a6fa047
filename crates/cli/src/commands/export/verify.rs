//! `lovage export verify`: what `lovage artifact verify` does, also by the id of a job.

use std::path::{Path, PathBuf};

use clap::Args;
use lovage_core::{JobId, QueueName};

use crate::commands::{Context, artifact};
use crate::error::Outcome;
use crate::rooms;

/// Options of `export verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// The id of the job that made it, a path, or a key in the storage (jobs/QUEUE/JOB/...)
    #[arg(value_name = "JOB|PATH|KEY")]
    what: PathBuf,
    /// The job's queue
    #[arg(long, short = 'Q', default_value = "exports")]
    queue: QueueName,
}

/// Reads the files again.
pub async fn run(context: &Context, args: &VerifyArgs) -> Outcome {
    match job(&args.what) {
        Some(job) => artifact::show(context, &rooms::store(context.config())?.verify_job(&args.queue, &job).await?),
        None => artifact::verify(context, &args.what).await,
    }
}

/// The job that is meant, unless a file is.
fn job(what: &Path) -> Option<JobId> {
    let job = what.to_str()?.parse().ok()?;
    (!what.exists()).then_some(job)
}
