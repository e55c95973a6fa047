//! `lovage schedule next`: the next runs of a schedule or of any expression, with what the zone's clocks do there.

use std::fmt::Write as _;

use clap::Args;
use jiff::tz::TimeZone;
use lovage_core::cron::Recurrence;
use lovage_core::{ScheduleName, Timestamp, duration};
use serde::Serialize;

use super::{find, zone_of};
use crate::commands::Context;
use crate::error::{Failure, Outcome};
use crate::instant::{self, Instant};
use crate::output::Table;
use crate::rooms;
use crate::schedules::{local, named_zone, offset, upcoming};

/// Options of `schedule next`.
#[derive(Debug, Args)]
pub struct NextArgs {
    /// The schedule
    #[arg(conflicts_with = "cron")]
    name: Option<ScheduleName>,
    /// An expression instead of a schedule
    #[arg(long, value_name = "EXPRESSION", allow_hyphen_values = true)]
    cron: Option<String>,
    /// The zone whose clocks the expression means [default: UTC]
    #[arg(long, value_name = "ZONE", requires = "cron")]
    timezone: Option<String>,
    /// Runs to show
    #[arg(long, default_value_t = 10, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=1_000))]
    count: u16,
    /// Show runs after this instant (RFC 3339) [default: now]
    #[arg(long, value_name = "INSTANT")]
    after: Option<String>,
}

/// The next runs.
#[derive(Debug, Serialize)]
pub struct Next {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<ScheduleName>,
    cron: String,
    in_words: String,
    timezone: String,
    runs: Vec<NextRun>,
    #[serde(skip)]
    head: String,
}

/// One of them.
#[derive(Debug, Serialize)]
pub struct NextRun {
    at: Instant,
    local: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    #[serde(skip)]
    shown: String,
}

/// Runs the command.
pub async fn run(context: &Context, args: &NextArgs) -> Outcome {
    let after = args.after.as_deref().map(instant::parse).transpose();
    let after = after.map_err(|problem| Failure::usage("after", format!("--after: {problem}")))?;
    let count = usize::from(args.count);
    let next = match (&args.name, &args.cron) {
        (Some(name), _) => stored(context, name, after, count).await?,
        (None, None) => {
            let message =
                "name: neither a schedule nor an expression was given; name a schedule, or use --cron EXPRESSION";
            return Err(Failure::usage("name", message));
        }
        (None, Some(cron)) => {
            let cron = Recurrence::parse(cron)?;
            let name = args.timezone.as_deref().unwrap_or("UTC");
            let zone = named_zone(name)?;
            let after = after.unwrap_or_else(Context::now);
            let ticks = std::iter::successors(cron.next(after, &zone), |tick| cron.next(*tick, &zone));
            Next::new(&cron, name, runs(&cron, &zone, ticks.take(count)))
        }
    };
    context.output.one(&next, || next.text())
}

async fn stored(context: &Context, name: &ScheduleName, after: Option<Timestamp>, count: usize) -> Outcome<Next> {
    let ledger = rooms::required_ledger(context.config()).await?;
    let after = match after {
        Some(after) => after,
        None => ledger.now().await?,
    };
    let schedule = find(&ledger, name).await?;
    let spec = &schedule.spec;
    let zone = zone_of(spec);
    let mut next =
        Next::new(&spec.cron, &spec.timezone, runs(&spec.cron, &zone, upcoming(spec, &zone, after).take(count)));
    next.name = Some(name.clone());
    if let Some(jitter) = spec.jitter {
        let _ = write!(next.head, ", each put off by less than {}", duration::exact(jitter));
    }
    if schedule.withdrawn_at.is_some() {
        let _ = write!(next.head, "; withdrawn until a configuration has it again");
    }
    if schedule.paused.is_some() {
        let _ = write!(next.head, "; paused until `lovage schedule resume {name}`");
    }
    Ok(next)
}

/// Runs as they are shown.
pub fn runs(cron: &Recurrence, zone: &TimeZone, ticks: impl Iterator<Item = Timestamp>) -> Vec<NextRun> {
    let run = |tick: Timestamp| NextRun {
        at: Instant(tick),
        local: offset(tick, zone),
        note: cron.note(tick, zone),
        shown: local(tick, zone),
    };
    ticks.map(run).collect()
}

/// Runs as a table.
pub fn table(runs: &[NextRun]) -> Table {
    let mut table = Table::new(&["in its zone", "utc", "note"], "It never runs.");
    for run in runs {
        table.row(vec![run.shown.clone(), run.at.to_string(), run.note.clone().unwrap_or_default()]);
    }
    table
}

impl Next {
    fn new(cron: &Recurrence, timezone: &str, runs: Vec<NextRun>) -> Self {
        let in_words = cron.describe();
        let head = format!("{in_words} ({timezone})");
        Self { name: None, cron: cron.to_string(), in_words, timezone: timezone.to_owned(), runs, head }
    }

    fn text(&self) -> String {
        format!("{}\n\n{}", crate::output::capital(&self.head), table(&self.runs).render().trim_end())
    }
}
