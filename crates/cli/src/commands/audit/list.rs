//! `lovage audit list`.

use clap::Args;
use lovage_core::Tenant;
use lovage_core::audit::{EventDraft, Record};
use serde::Serialize;

use super::Context;
use crate::error::Outcome;
use crate::instant;
use crate::output::Table;
use crate::rooms;

/// Options of `audit list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// The customer or team whose trail it is [default: the trail of events without one]
    #[arg(long)]
    tenant: Option<Tenant>,
    /// Most records to show
    #[arg(long, default_value_t = 50, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=5_000))]
    limit: u32,
    /// Show records before this one
    #[arg(long, value_name = "RECORD", value_parser = clap::value_parser!(u64).range(1..))]
    before: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Shown {
    seq: u64,
    hash: String,
    #[serde(flatten)]
    event: EventDraft,
}

/// Lists the newest records, the newest first.
pub async fn run(context: &Context, args: &ListArgs) -> Outcome {
    let ledger = rooms::required_ledger(context.config()).await?;
    let tenant = args.tenant.as_ref().map_or("", Tenant::as_str);
    let end = match (args.before, ledger.chain(tenant).await?) {
        (Some(before), _) => before - 1,
        (None, chain) => chain.map_or(0, |chain| chain.head.seq),
    };
    let first = end.saturating_sub(u64::from(args.limit)) + 1;
    let mut records = ledger.records(tenant, first, end, args.limit).await?;
    records.reverse();
    let shown = records.iter().map(shown).collect::<Outcome<Vec<_>>>()?;
    context.output.many(&shown, |_| table(&records))?;
    if first > 1 && !records.is_empty() {
        context.output.note(&format!("There are more before these: add --before {first}."));
    }
    Ok(())
}

fn shown(record: &Record) -> Outcome<Shown> {
    let hash = lovage_core::audit::hex(&record.hash);
    Ok(Shown { seq: record.seq, hash, event: record.event.to_draft()? })
}

fn table(records: &[Record]) -> Table {
    let mut table = Table::new(&["record", "time", "actor", "action", "target"], "No records.");
    let now = Context::now();
    for Record { seq, event, .. } in records {
        let time = lovage_core::Timestamp::from_millis(event.time_ms.try_into().unwrap_or(0));
        table.row(vec![
            seq.to_string(),
            instant::short(time, now),
            event.actor.clone(),
            event.action.clone(),
            event.target.clone().unwrap_or_default(),
        ]);
    }
    table
}

/// A tenant's trail in words.
pub fn trail(tenant: &str) -> String {
    if tenant.is_empty() { "the trail without a tenant".to_owned() } else { format!("the trail of {tenant}") }
}
