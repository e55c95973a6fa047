//! Jobs of the history: searched, and one with its attempts.

use std::time::Duration;

use lovage_core::filter::Filter;
use lovage_core::history::JobRecord;
use lovage_core::{JobId, QueueName};
use lovage_ledger::Search;
use serde::Serialize;

use crate::commands::Context;
use crate::error::{Failure, Outcome};
use crate::instant::Instant;
use crate::output::{Format, JobLine, RecordLine};
use crate::rooms;

/// How long one page of a search may take. What takes longer is said, with where to go on.
pub const PATIENCE: Duration = Duration::from_secs(5);
/// Jobs of one page.
const PAGE: usize = 500;

/// Shows up to `limit` jobs that the filter means, newest first.
pub async fn search(context: &Context, filter: &str, limit: usize, mut cursor: Option<String>) -> Outcome {
    let filter = Filter::parse(filter, Context::now())?;
    let ledger = rooms::required_ledger(context.config()).await?;
    let mut lines: Vec<RecordLine> = Vec::new();
    let searched_to = loop {
        let wanted = (limit - lines.len()).min(PAGE);
        let search = Search { filter: &filter, limit: wanted as u32, cursor: cursor.as_deref(), patience: PATIENCE };
        let found = ledger.search(&search).await?;
        lines.extend(found.jobs.into_iter().map(RecordLine::from));
        cursor = found.next;
        // With --all the search goes on for as long as it takes.
        if cursor.is_none() || lines.len() >= limit || (found.searched_to.is_some() && limit < usize::MAX) {
            break found.searched_to;
        }
    };
    if context.output.format == Format::Json {
        let page = Page { jobs: &lines, next: cursor.as_deref(), searched_to: searched_to.map(Instant) };
        return context.output.one(&page, String::new);
    }
    context.output.many(&lines, |lines| RecordLine::table(lines, Context::now()))?;
    if let Some(cursor) = cursor {
        context.output.note(&match searched_to {
            Some(at) => format!("Searched back to {}: add --cursor {cursor} to go on.", Instant(at)),
            None => format!("There are more than these: add --cursor {cursor} to go on, or --limit COUNT."),
        });
    }
    Ok(())
}

/// A page of a search for programs.
#[derive(Debug, Serialize)]
struct Page<'a> {
    jobs: &'a [RecordLine],
    /// What to send as `--cursor` for what follows; nothing if there is no more.
    next: Option<&'a str>,
    /// Set if the time was over before all was looked at: how far back it was.
    searched_to: Option<Instant>,
}

/// The job as its queue has it, or, if that has forgotten it, as the history has it; in both cases with what the history has of
/// its attempts.
pub async fn with_attempts(context: &Context, queue: Option<&QueueName>, id: &JobId) -> Outcome<RecordLine> {
    let broker = context.broker().await?;
    let found = super::find(&*broker, queue, id).await;
    let view = match found {
        Ok(view) => view,
        Err(Failure::NotFound(problem)) => {
            let record = recorded(context, queue, id).await?;
            return record.map(RecordLine::from).ok_or(Failure::NotFound(problem));
        }
        Err(failure) => return Err(failure),
    };
    let known = match recorded(context, Some(&view.queue), id).await {
        Ok(known) => known.filter(|record| record.job.enqueued_at == view.enqueued_at),
        Err(failure) => {
            context.output.note(&format!("Its attempts are not known: {failure}"));
            None
        }
    };
    Ok(RecordLine::of(JobLine::from(view), known))
}

/// What the history has of a job; nothing where there is no ledger.
async fn recorded(context: &Context, queue: Option<&QueueName>, id: &JobId) -> Outcome<Option<JobRecord>> {
    let Some(ledger) = rooms::ledger(context.config()).await? else { return Ok(None) };
    Ok(ledger.job_record(queue, id).await?)
}
