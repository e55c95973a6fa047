//! `lovage export …`: the files of export jobs, from the job that made them to the record that they are gone.

mod delete;
mod get;
mod hold;
mod link;
mod list;
mod verify;

use clap::{Args, Subcommand};
use lovage_core::{JobId, QueueName};

use super::Context;
use crate::error::Outcome;

/// Commands about exports.
#[derive(Debug, Subcommand)]
pub enum ExportCommand {
    /// Show an export: its job, its files, and how long they are kept
    Get(ExportArgs),
    /// List exports, newest first
    List(list::ListArgs),
    /// Make a link under which anybody can fetch a file for a while
    Link(link::LinkArgs),
    /// Read the files again and compare them with their manifest
    Verify(verify::VerifyArgs),
    /// Delete the files now and leave a record of it
    Delete(delete::DeleteArgs),
    /// Keep the files from being deleted, whatever their retention says
    Hold(hold::HoldArgs),
    /// End a hold
    Release(ExportArgs),
}

/// Which export.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// The id of the job that made it
    job: JobId,
    /// The job's queue
    #[arg(long, short = 'Q', default_value = "exports")]
    queue: QueueName,
}

/// Runs a command about exports.
pub async fn run(context: &Context, command: ExportCommand) -> Outcome {
    match command {
        ExportCommand::Get(args) => get::run(context, &args).await,
        ExportCommand::List(args) => list::run(context, &args).await,
        ExportCommand::Link(args) => link::run(context, &args).await,
        ExportCommand::Verify(args) => verify::run(context, &args).await,
        ExportCommand::Delete(args) => delete::run(context, &args).await,
        ExportCommand::Hold(args) => hold::run(context, &args).await,
        ExportCommand::Release(args) => hold::release(context, &args).await,
    }
}
