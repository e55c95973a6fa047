//! `lovage failures`: what goes wrong, as groups of failures that are alike.

use clap::Args;
use lovage_core::filter::{Clause, Filter, Test};
use lovage_core::{Fingerprint, Kind, Timestamp, duration};
use lovage_ledger::{Failure as Group, FailureQuery, Ledger, Search};
use serde::Serialize;

use super::Context;
use super::job::PATIENCE;
use crate::error::{Failure, Outcome};
use crate::instant::{self, Instant};
use crate::output::{RecordLine, Table};
use crate::rooms;

/// Jobs that are shown with one group.
const JOBS: u32 = 10;

/// Options of `lovage failures`.
#[derive(Debug, Args)]
pub struct FailuresArgs {
    /// Show this group with its latest jobs [default: list all groups]
    fingerprint: Option<Fingerprint>,
    /// Only this kind
    #[arg(long)]
    kind: Option<Kind>,
    /// Only what was seen within this time, e.g. 24h; counted by whole days (UTC)
    #[arg(long, value_name = "AGE", value_parser = duration::parse)]
    since: Option<std::time::Duration>,
    /// Most groups to show
    #[arg(long, default_value_t = 50, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=500))]
    limit: u32,
}

#[derive(Debug, Serialize)]
struct Shown<'a> {
    fingerprint: Fingerprint,
    kind: &'a str,
    class: &'static str,
    title: &'a str,
    count: u64,
    first_seen: Instant,
    last_seen: Instant,
    versions: &'a std::collections::BTreeMap<String, u64>,
    days: std::collections::BTreeMap<String, u64>,
}

/// Lists groups, or shows one.
pub async fn run(context: &Context, args: &FailuresArgs) -> Outcome {
    let ledger = rooms::required_ledger(context.config()).await?;
    let since = args.since.map(|age| Context::now().minus(age));
    // One group is shown as it is.
    let since = since.filter(|_| args.fingerprint.is_none());
    let query = FailureQuery { fingerprint: args.fingerprint, kind: args.kind.clone(), since, limit: args.limit };
    let groups = ledger.failures(&query).await?;
    if let Some(fingerprint) = args.fingerprint {
        return one(context, &ledger, fingerprint, &groups).await;
    }
    let shown: Vec<_> = groups.iter().map(shown).collect();
    context.output.many(&shown, |_| table(&groups))?;
    if groups.len() == args.limit as usize {
        context.output.note(&format!("These are the latest {}: add --limit COUNT for more.", args.limit));
    }
    Ok(())
}

fn shown(group: &Group) -> Shown<'_> {
    Shown {
        fingerprint: group.fingerprint,
        kind: &group.kind,
        class: group.class.name(),
        title: &group.title,
        count: group.count,
        first_seen: Instant(group.first_seen),
        last_seen: Instant(group.last_seen),
        versions: &group.versions,
        days: group.days.iter().map(|(day, count)| (date(*day), *count)).collect(),
    }
}

fn date(day: Timestamp) -> String {
    Instant(day).to_string().chars().take(10).collect()
}

fn table(groups: &[Group]) -> Table {
    let mut table =
        Table::new(&["failure", "count", "last seen", "first seen", "versions", "kind", "error"], "No failures.");
    let now = Context::now();
    for group in groups {
        table.row(vec![
            group.fingerprint.to_string(),
            group.count.to_string(),
            instant::short(group.last_seen, now),
            instant::short(group.first_seen, now),
            versions(group),
            group.kind.clone(),
            group.title.clone(),
        ]);
    }
    table
}

fn versions(group: &Group) -> String {
    let names = group.versions.keys().map(|name| if name.is_empty() { "?" } else { name.as_str() });
    names.collect::<Vec<_>>().join(", ")
}

/// A group with its latest jobs.
#[derive(Debug, Serialize)]
struct WithJobs<'a> {
    #[serde(flatten)]
    group: Shown<'a>,
    jobs: &'a [RecordLine],
}

/// One group: how often by day and release, and its latest jobs.
async fn one(context: &Context, ledger: &Ledger, fingerprint: Fingerprint, groups: &[Group]) -> Outcome {
    let Some(group) = groups.first() else {
        return Err(Failure::NotFound(format!(
            "failure: there is no group {fingerprint}; `lovage failures` lists those that there are"
        )));
    };
    let filter = Filter { clauses: vec![Clause { negated: false, test: Test::Failure(vec![fingerprint]) }] };
    let found = ledger.search(&Search { filter: &filter, limit: JOBS, cursor: None, patience: PATIENCE }).await?;
    let jobs: Vec<RecordLine> = found.jobs.into_iter().map(RecordLine::from).collect();
    context.output.one(&WithJobs { group: shown(group), jobs: &jobs }, || page(group, &jobs))
}

fn page(group: &Group, jobs: &[RecordLine]) -> String {
    let mut page = crate::output::Page::default();
    page.row("failure", &group.fingerprint);
    page.row("kind", &group.kind);
    page.row("error", &format!("{}: {}", group.class.name(), group.title));
    page.row("count", &group.count);
    page.row("first seen", &Instant(group.first_seen));
    page.row("last seen", &Instant(group.last_seen));
    for (version, count) in &group.versions {
        page.row("version", &format!("{}  {count}", if version.is_empty() { "unknown" } else { version }));
    }
    for (day, count) in group.days.iter().rev().take(14) {
        page.row("day", &format!("{}  {count}", date(*day)));
    }
    format!("{}\n\n{}", page.text(), RecordLine::table(jobs, Context::now()).render().trim_end())
}
