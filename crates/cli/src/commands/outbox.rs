//! `lovage outbox …`: the table in which services leave jobs in transactions of their own, and what moves its rows.

use std::fmt::Write as _;
use std::time::Duration;

use clap::{Args, Subcommand};
use lovage_outbox::{Address, Batch, Outbox, Status};
use serde::Serialize;
use serde_json::json;
use tracing::info;

use super::Context;
use crate::error::{Failure, Outcome};
use crate::instant::Instant;
use crate::output::{self, clean};
use crate::{lifecycle, relaying, rooms};
use lovage_core::duration;

/// Commands about an outbox.
#[derive(Debug, Subcommand)]
pub enum OutboxCommand {
    /// Create the table, if it is not there
    Init(InitArgs),
    /// Show how much waits, for how long, and which rows cannot become jobs
    Status(Place),
    /// Move committed rows into the broker until told to stop; the same for a spool
    Relay(RelayArgs),
    /// Try rows again that could not become jobs
    Retry(RetryArgs),
}

/// Which outbox.
#[derive(Debug, Args)]
pub struct Place {
    /// `postgres://USER@HOST/DATABASE`, sqlite:FILE or a file [default: outbox.url, which keeps a password out of the
    /// list of processes]
    #[arg(value_name = "URL|FILE")]
    place: Option<String>,
}

/// Options of `outbox init`.
#[derive(Debug, Args)]
pub struct InitArgs {
    #[command(flatten)]
    place: Place,
    /// Only print the SQL, for migrations of your own; without an address that of PostgreSQL
    #[arg(long)]
    print: bool,
}

/// Options of `outbox relay`.
#[derive(Debug, Args)]
pub struct RelayArgs {
    #[command(flatten)]
    place: Place,
    /// Move what is there and exit; exit code 1 if a row cannot become a job, 6 if a queue is full or away
    #[arg(long)]
    pub once: bool,
}

/// Options of `outbox retry`.
#[derive(Debug, Args)]
pub struct RetryArgs {
    #[command(flatten)]
    place: Place,
    /// Only rows with this id; may be given again [default: all that failed]
    #[arg(long, value_name = "ID")]
    id: Vec<String>,
}

/// What waits, for programs.
#[derive(Debug, Serialize)]
struct StatusView {
    outbox: String,
    waiting: u64,
    oldest_ms: Option<u64>,
    unconfirmed: u64,
    failed: u64,
    failures: Vec<FailureView>,
}

#[derive(Debug, Serialize)]
struct FailureView {
    id: String,
    queue: String,
    kind: String,
    error: String,
    failed_at: Instant,
}

/// Runs a command about an outbox.
pub async fn run(context: &Context, command: OutboxCommand) -> Outcome {
    match command {
        OutboxCommand::Init(args) => init(context, &args).await,
        OutboxCommand::Status(place) => {
            let outbox = Outbox::new(place.address(context)?);
            let view = StatusView::new(outbox.address(), outbox.status().await?);
            context.output.one(&view, || view.page())
        }
        OutboxCommand::Relay(args) => relay(context, &args).await,
        OutboxCommand::Retry(args) => {
            let outbox = Outbox::new(args.place.address(context)?);
            let ids = Some(&args.id[..]).filter(|ids| !ids.is_empty());
            let count = outbox.retry(ids).await?;
            if count == 0 && ids.is_some() {
                return Err(Failure::NotFound(format!("no failed row of {} has that id", outbox.address())));
            }
            context.output.one(&json!({ "retried": count }), || format!("{count} rows are tried again."))
        }
    }
}

impl Place {
    fn address(&self, context: &Context) -> Outcome<Address> {
        let set = context.config().outbox.url.as_ref();
        let Some(text) = self.place.as_deref().or(set.map(crate::config::Secret::reveal)) else {
            let help = "give its URL or file, or set outbox.url (LOVAGE_OUTBOX__URL)";
            return Err(Failure::usage("outbox", format!("outbox: it is not said which one; {help}")));
        };
        Ok(text.parse()?)
    }
}

async fn init(context: &Context, args: &InitArgs) -> Outcome {
    if args.print {
        let named = args.place.place.is_some() || context.config().outbox.url.is_some();
        let address = if named { args.place.address(context)? } else { "postgres://localhost".parse()? };
        let sql = address.sql();
        return if context.output.is_json() {
            context.output.one(&json!({ "sql": sql }), String::new)
        } else {
            output::text(sql)
        };
    }
    let outbox = Outbox::new(args.place.address(context)?);
    outbox.init().await?;
    let answer = json!({ "outbox": outbox.address().to_string(), "table": "lovage_outbox" });
    context.output.one(&answer, || format!("Table lovage_outbox is in {}.", outbox.address()))
}

async fn relay(context: &Context, args: &RelayArgs) -> Outcome {
    let address = args.place.address(context)?;
    let mut relay = relaying::relay(context.config(), address.clone());
    if args.once {
        return conclude(context, relay.drain().await?);
    }
    let shutdown = lifecycle::listen()?;
    info!(outbox = %address, broker = rooms::broker_name(context.config()), "relay starts");
    tokio::select! {
        () = relay.run(shutdown.drain.clone()) => info!("relay ended"),
        // What was not settled is found again.
        () = shutdown.now.cancelled() => info!("relay stopped"),
    }
    Ok(())
}

fn conclude(context: &Context, batch: Batch) -> Outcome {
    let Batch { enqueued, existing, confirmed, resent, failed, full, away, retry_after } = batch;
    let answer = json!({
        "enqueued": enqueued, "existing": existing, "confirmed": confirmed, "resent": resent, "failed": failed,
        "full": full, "away": away, "retry_after_ms": retry_after.map(|wait| wait.as_millis() as u64),
    });
    context.output.one(&answer, || {
        let mut text = format!("{enqueued} enqueued, {existing} there before, {failed} failed.");
        if confirmed + resent > 0 {
            let _ = write!(text, " {confirmed} confirmed again, {resent} had been lost and are sent again.");
        }
        if away > 0 {
            let _ = write!(text, " {away} wait for a queue that cannot be reached.");
        }
        if let Some(wait) = retry_after {
            let _ = write!(text, " {full} wait for room; try again in {}.", duration::human(wait));
        }
        text
    })?;
    match (failed, full + away) {
        (0, 0) => Ok(()),
        (0, _) => Err(Failure::Shown(6)),
        _ => Err(Failure::Shown(1)),
    }
}

impl StatusView {
    fn new(address: &Address, status: Status) -> Self {
        let view = |row: lovage_outbox::FailedRow| FailureView {
            id: row.id,
            queue: row.queue,
            kind: row.kind,
            error: row.error,
            failed_at: Instant(row.failed_at),
        };
        Self {
            outbox: address.to_string(),
            waiting: status.waiting,
            oldest_ms: status.oldest.map(|age| age.as_millis() as u64),
            unconfirmed: status.unconfirmed,
            failed: status.failed,
            failures: status.failures.into_iter().map(view).collect(),
        }
    }

    fn page(&self) -> String {
        let Self { outbox, waiting, unconfirmed, failed, .. } = self;
        let mut text = format!("{outbox}: {waiting} rows wait");
        if let Some(age) = self.oldest_ms {
            let _ = write!(text, ", the oldest for {}", duration::human(Duration::from_millis(age)));
        }
        let _ = write!(text, "; {unconfirmed} are to be confirmed again, {failed} failed.");
        for row in &self.failures {
            let FailureView { id, queue, kind, error, failed_at } = row;
            let _ = write!(text, "\n  {failed_at}  {queue}  {}  {}: {}", clean(kind), clean(id), clean(error));
        }
        if self.failures.len() < *failed as usize {
            let _ = write!(text, "\n  and {} more", *failed as usize - self.failures.len());
        }
        text
    }
}
