//! `lovage export delete`: the files go now, a record of it stays.

use clap::Args;
use lovage_artifacts::{DeleteOptions, DeletedBy};
use serde_json::json;

use super::ExportArgs;
use crate::commands::Context;
use crate::error::Outcome;
use crate::output::DeletionLine;
use crate::rooms;
use crate::trail::Trail;

/// Options of `export delete`.
#[derive(Debug, Args)]
pub struct DeleteArgs {
    #[command(flatten)]
    export: ExportArgs,
    /// Why; it is kept in the record
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// Deletes an export.
pub async fn run(context: &Context, args: &DeleteArgs) -> Outcome {
    let store = rooms::store(context.config())?;
    let ExportArgs { job, queue } = &args.export;
    context.confirm(&format!("Delete the files of job {job} in queue {queue}?"))?;
    let options = DeleteOptions { by: DeletedBy::Request, reason: args.reason.clone(), now: Context::now() };
    let trail = Trail::open(context).await?;
    let deletion = store.delete(queue, job, &options).await?;
    let (files, bytes) = (deletion.files.len(), deletion.bytes());
    let first = deletion.deleted_at == options.now;
    let line = DeletionLine::from(deletion);
    let gone = json!({ "queue": queue, "files": files, "bytes": bytes, "reason": args.reason });
    trail.record("export.delete", format!("job:{job}"), &gone).await?;
    context.output.one(&line, || {
        let when = if first { String::new() } else { " before".to_owned() };
        format!("Deleted{when}: {files} files, {bytes} bytes of job {job}. The record says {}.", line.sentence())
    })
}
