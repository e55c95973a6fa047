//! `lovage audit …`: writes to the audit trail, looks at it and checks it.

pub mod anchor;
mod anchors;
mod export;
mod file;
mod import;
mod list;
mod prune;
mod verify;
mod write;

use clap::Subcommand;

use super::Context;
use crate::error::Outcome;

/// Commands about the audit trail.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Write one event to the trail; done when it is committed
    Write(Box<write::WriteArgs>),
    /// Write an event a line from a file of JSON lines
    Import(import::ImportArgs),
    /// Show the newest records of a tenant's trail
    List(list::ListArgs),
    /// Sign where the trails end and put that into the object storage, against whoever can write the database
    Anchor,
    /// Hand a trail, or a record, out as a file that proves itself
    Export(export::ExportArgs),
    /// Remove old records that are anchored; what is left can still be followed
    Prune(prune::PruneArgs),
    /// Follow the trails from their first record to their last and name the first that is not what was written; or check a
    /// file of `lovage audit export`, with nothing but the file
    Verify(verify::VerifyArgs),
}

/// Runs a command about the trail.
pub async fn run(context: &Context, command: AuditCommand) -> Outcome {
    match command {
        AuditCommand::Write(args) => write::run(context, *args).await,
        AuditCommand::Import(args) => import::run(context, &args).await,
        AuditCommand::List(args) => list::run(context, &args).await,
        AuditCommand::Anchor => anchor::run(context).await,
        AuditCommand::Export(args) => export::run(context, &args).await,
        AuditCommand::Prune(args) => prune::run(context, &args).await,
        AuditCommand::Verify(args) => verify::run(context, &args).await,
    }
}
