//! `lovage schedule show`.

use clap::Args;
use lovage_core::ScheduleName;
use lovage_core::schedule::ScheduleSpec;
use lovage_ledger::Schedule;
use serde::Serialize;

use super::next::{NextRun, runs, table};
use super::{find, zone_of};
use crate::commands::Context;
use crate::error::Outcome;
use crate::instant::Instant;
use crate::output::{Page, ScheduleLine};
use crate::rooms;
use crate::schedules::upcoming;

/// Next runs that are shown.
const NEXT: usize = 5;

/// Options of `schedule show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// The schedule
    name: ScheduleName,
}

#[derive(Debug, Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    line: ScheduleLine,
    revision: u64,
    created_at: Instant,
    updated_at: Instant,
    paused: Option<Paused<'a>>,
    withdrawn_at: Option<Instant>,
    waiting_tick: Option<Instant>,
    last_success_at: Option<Instant>,
    overdue_since: Option<Instant>,
    next_runs: Vec<NextRun>,
    spec: &'a ScheduleSpec,
}

#[derive(Debug, Serialize)]
struct Paused<'a> {
    by: &'a str,
    why: &'a str,
    since: Instant,
}

/// Runs the command.
pub async fn run(context: &Context, args: &ShowArgs) -> Outcome {
    let ledger = rooms::required_ledger(context.config()).await?;
    let schedule = find(&ledger, &args.name).await?;
    let (spec, now) = (&schedule.spec, ledger.now().await?);
    let zone = zone_of(spec);
    let paused = schedule.paused.as_ref();
    let last = ledger.last_runs(&spec.name, &spec.name).await?.remove(&spec.name);
    let shown = Shown {
        line: ScheduleLine::new(&schedule, &zone, last, now),
        revision: schedule.revision,
        created_at: Instant(schedule.created_at),
        updated_at: Instant(schedule.updated_at),
        paused: paused.map(|pause| Paused { by: &pause.by, why: &pause.why, since: Instant(pause.since) }),
        withdrawn_at: schedule.withdrawn_at.map(Instant),
        waiting_tick: schedule.waiting_tick.map(Instant),
        last_success_at: schedule.last_success_at.map(Instant),
        overdue_since: schedule.overdue_since.map(Instant),
        next_runs: runs(&spec.cron, &zone, upcoming(spec, &zone, now).take(NEXT)),
        spec,
    };
    context.output.one(&shown, || page(&shown, &schedule))
}

fn page(shown: &Shown<'_>, schedule: &Schedule) -> String {
    let spec = shown.spec;
    let mut page = Page::default();
    page.row("schedule", &spec.name);
    page.option("description", spec.description.as_ref());
    page.row("state", &shown.line.state);
    if let Some(paused) = &shown.paused {
        let why = if paused.why.is_empty() { String::new() } else { format!(": {}", paused.why) };
        page.row("paused", &format!("by {} since {}{why}", paused.by, paused.since));
    }
    let gone = "no configuration of a scheduler that leads has it; it is kept for a week";
    page.option("withdrawn", shown.withdrawn_at.map(|since| format!("since {since}: {gone}")));
    page.option("overdue", shown.overdue_since.map(|since| format!("since {since}")));
    page.option(
        "waiting",
        shown.waiting_tick.map(|tick| format!("the tick of {tick}, until the run before has ended")),
    );
    page.row("runs", &format!("{} ({})", spec.cron.describe(), spec.timezone));
    page.row("expression", &spec.cron);
    page.row("queue", &spec.queue);
    page.row("kind", &spec.kind);
    page.option(
        "last run",
        shown.line.last_run.as_ref().map(|run| format!("{} {}, job {}", run.tick, run.ending(), run.job_id())),
    );
    page.option("last success", shown.last_success_at);
    page.row("managed by", &shown.line.managed_by());
    page.row("changed", &Instant(schedule.updated_at));
    let json = serde_json::to_string_pretty(spec).unwrap_or_default();
    page.row("spec", &json);
    let next = match (&shown.paused, shown.withdrawn_at) {
        (_, Some(_)) => "Next runs, once a configuration has it again",
        (Some(_), None) => "Next runs, once it is resumed",
        (None, None) => "Next runs",
    };
    format!("{}\n\n{next}:\n{}", page.text(), table(&shown.next_runs).render().trim_end())
}
