//! `lovage migrate up|status`: the schema of the ledger.

use clap::Subcommand;
use lovage_ledger::{LedgerAddress, Migration, migrate, status};
use serde_json::json;

use super::Context;
use crate::error::Outcome;
use crate::output::Table;
use crate::rooms;

/// Commands about the ledger's schema.
#[derive(Debug, Clone, Copy, Subcommand)]
pub enum MigrateCommand {
    /// Bring the ledger to this release's schema, creating what is not there
    Up,
    /// Show which migrations the ledger has
    Status,
}

/// Runs a command about the ledger's schema.
pub async fn run(context: &Context, command: MigrateCommand) -> Outcome {
    let address = rooms::ledger_address(context.config())?;
    match command {
        MigrateCommand::Up => up(context, &address).await,
        MigrateCommand::Status => {
            let steps = status(&address).await?;
            context.output.many(&steps.iter().map(line).collect::<Vec<_>>(), |_| {
                let mut table = Table::new(&["migration", "state"], "");
                for step in &steps {
                    table.row(vec![step.name.clone(), state(step).to_owned()]);
                }
                table
            })
        }
    }
}

async fn up(context: &Context, address: &LedgerAddress) -> Outcome {
    let taken = migrate(address).await?;
    let names: Vec<&str> = taken.iter().map(|step| step.name.as_str()).collect();
    context.output.one(&json!({ "ledger": address.to_string(), "applied": names }), || match names.as_slice() {
        [] => format!("{address} has every migration already."),
        _ => format!("{address} was migrated: {}.", names.join(", ")),
    })
}

fn line(step: &Migration) -> serde_json::Value {
    json!({ "version": step.version, "name": step.name, "state": state(step) })
}

fn state(step: &Migration) -> &'static str {
    if step.applied { "applied" } else { "pending" }
}
