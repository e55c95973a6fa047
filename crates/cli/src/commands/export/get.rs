//! `lovage export get`: what the broker knows of the job and what the storage knows of its files.

use lovage_core::JobView;

use super::ExportArgs;
use crate::commands::Context;
use crate::error::{Failure, Outcome};
use crate::output::{ExportLine, ExportPage};
use crate::rooms;

/// Shows one export.
pub async fn run(context: &Context, args: &ExportArgs) -> Outcome {
    let store = rooms::store(context.config())?;
    let (queue, job) = (&args.queue, &args.job);
    let manifest = store.existing(queue, job).await?;
    let view = job_view(context, args).await?;
    let line = match (manifest, &view) {
        (Some(manifest), _) => ExportLine::new(manifest, store.deleted(queue, job).await?, |key| store.location(key)),
        // It waits, runs, or ended without a file.
        (None, Some(view)) => ExportLine::of_job(view),
        (None, None) => {
            let problem = format!("there is no export {job} in queue {queue}, neither a job nor a file; see --queue");
            return Err(Failure::NotFound(problem));
        }
    };
    let hold = if line.has_files() { store.held(queue, job).await? } else { None };
    let page = ExportPage::new(line, view.map(|view| view.state), hold);
    context.output.one(&page, || page.text(Context::now()))
}

/// The job, while the broker knows it. The files are worth showing without it.
async fn job_view(context: &Context, args: &ExportArgs) -> Outcome<Option<JobView>> {
    let asked = async { Ok(context.broker().await?.job(Some(&args.queue), &args.job).await?) };
    match asked.await {
        Err(Failure::Unavailable(problem)) => {
            context.output.note(&format!("The state of the job is not known: {problem}"));
            Ok(None)
        }
        other => other,
    }
}
