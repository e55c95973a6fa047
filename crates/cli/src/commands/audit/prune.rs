//! `lovage audit prune`: retention of the trail.

use clap::Args;
use lovage_core::{Tenant, Timestamp, duration};
use lovage_ledger::Ledger;
use serde::Serialize;
use serde_json::json;

use super::Context;
use super::list::trail;
use super::verify::chains;
use crate::error::{Failure, Outcome};
use crate::rooms;
use crate::trail::Trail;

/// Options of `audit prune`.
#[derive(Debug, Args)]
pub struct PruneArgs {
    /// Remove records that were committed before this time, e.g. 365d
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true)]
    older_than: String,
    /// Only this tenant's [default: all trails]
    #[arg(long)]
    tenant: Option<Tenant>,
}

#[derive(Debug, Serialize)]
struct Line {
    tenant: String,
    removed: u64,
    pruned: u64,
}

/// Removes a tenant's, step by step.
async fn steps(ledger: &Ledger, before: Timestamp, line: &mut Line, unanchored: &mut bool) -> Outcome {
    loop {
        let step = ledger.prune(&line.tenant, before).await?;
        *unanchored |= step.unanchored;
        if step.last == 0 {
            return Ok(());
        }
        line.removed += step.records;
        line.pruned = step.last;
    }
}

/// Removes old records.
pub async fn run(context: &Context, args: &PruneArgs) -> Outcome {
    let age = duration::parse(&args.older_than)
        .map_err(|problem| Failure::usage("older_than", format!("older_than: {problem}")))?;
    let ledger = rooms::required_ledger(context.config()).await?;
    let before = Context::now().minus(age);
    let chains = chains(&ledger, args.tenant.as_ref()).await?;
    context.confirm(&format!("Remove audit records that are older than {}?", duration::exact(age)))?;
    let recording = Trail::open(context).await?;
    let mut lines = Vec::new();
    let mut unanchored = false;
    for chain in chains {
        let mut line = Line { tenant: chain.tenant, removed: 0, pruned: chain.pruned };
        let ended = steps(&ledger, before, &mut line, &mut unanchored).await;
        if line.removed > 0 {
            let details = json!({ "removed": line.removed, "up_to": line.pruned, "older_than": args.older_than });
            recording.record("audit.prune", format!("trail:{}", line.tenant), &details).await?;
            lines.push(line);
        }
        ended?;
    }
    let removed: u64 = lines.iter().map(|line| line.removed).sum();
    context.output.one(&json!({ "removed": removed, "trails": lines, "unanchored": unanchored }), || {
        let of = |line: &Line| format!("\n  {}: up to record {}", trail(&line.tenant), line.pruned);
        format!("{removed} records removed.{}", lines.iter().map(of).collect::<String>())
    })?;
    if unanchored {
        context.output.note("Old records stay that are not anchored: run `lovage audit anchor` first.");
    }
    Ok(())
}
