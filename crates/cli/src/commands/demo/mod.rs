//! `lovage demo`: a real export of a sample database through queue, worker and storage, from nothing.

mod sample;

use std::time::Duration;

use clap::Args;
use lovage_core::{JobView, State};
use lovage_payloads::{ExportQuery, ExportResult};
use serde_json::json;
use tokio::time::Instant;

use super::Context;
use super::job::{PrivateQueue, Work, conclude};
use crate::error::{Failure, Outcome};
use crate::rooms;

/// The name under which the export finds the sample database.
const SOURCE: &str = "demo";

/// Options of `lovage demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {}

/// Runs the demo.
pub async fn run(context: &Context, _args: &DemoArgs) -> Outcome {
    let config = context.config();
    let note = |text: &str| context.output.note(text);
    note(&format!("Lovage {} demo", env!("CARGO_PKG_VERSION")));
    let sample = sample::prepare(&config.data_dir).await?;
    note(&format!("  sample   {} orders in {}", sample::ROWS, sample.display()));
    note(&format!("  broker   {}", rooms::broker_name(config)));
    note(&format!("  storage  {}", config.storage()));

    let begun = Instant::now();
    let broker = context.broker().await?;
    let mut sources = rooms::sources(config)?;
    sources.add(SOURCE, &format!("sqlite:{}", sample.display()))?;
    let handlers = rooms::handlers(config, sources, true)?;
    let settings = rooms::worker_config(config)?;
    // Private, because only this process knows the sample database by its name.
    let private = PrivateQueue::take(&broker, "demo", settings.id.as_str()).await?;
    let export = ExportQuery {
        source: Some(SOURCE.to_owned()),
        name: Some("orders.csv".to_owned()),
        ..ExportQuery::sql("SELECT * FROM orders ORDER BY id")
    };
    let job = export.into_job(private.queue.clone())?;
    let work = Work {
        broker: &broker,
        settings,
        handlers,
        limit: None,
        cancels: true,
        size: Some(sample::ROWS.into()),
        announce: |id| format!("  job      {id}"),
    };
    let result = work.run(context, job).await;
    private.give_back().await;
    let view = result?;
    if view.state != State::Completed {
        return conclude(context.output, view);
    }
    show(context, &view, begun.elapsed())
}

fn show(context: &Context, view: &JobView, took: Duration) -> Outcome {
    let result = view.result.as_ref().and_then(|result| serde_json::from_str::<ExportResult>(result.get()).ok());
    let result =
        result.ok_or_else(|| Failure::Failed(format!("job {} completed without saying what it wrote", view.id)))?;
    let verify = format!("{} artifact verify {}", program(), quoted(&result.location));
    let answer = json!({
        "job": view.id, "queue": view.queue, "artifact": result.location, "rows": result.rows, "bytes": result.bytes,
        "sha256": result.sha256, "duration_ms": took.as_millis() as u64, "verify": verify,
    });
    context.output.one(&answer, || {
        format!(
            "artifact  {}\nrows      {}\nbytes     {}\nsha256    {}\ntime      {:.2} s\nverify    {verify}",
            result.location,
            result.rows,
            result.bytes,
            result.sha256,
            took.as_secs_f64(),
        )
    })
}

/// How this program was called, so that the shown command can be pasted as it is.
fn program() -> String {
    std::env::args().next().filter(|name| !name.is_empty()).map_or_else(|| "lovage".to_owned(), |name| quoted(&name))
}

/// The text as one word of a shell.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-:+=@%,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shown_command_can_be_pasted() {
        assert_eq!(quoted("/srv/订单/a-1.csv"), "/srv/订单/a-1.csv");
        assert_eq!(quoted("it's here"), r"'it'\''s here'");
    }
}
