//! `lovage artifact verify|sweep|expire`: are the files what their manifests say, which belong to nobody, and which are
//! kept no longer?

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use lovage_artifacts::{ArtifactStore, ExpireOptions, ExpireReport, SweepOptions, Verified};
use lovage_core::{JobId, QueueName};
use lovage_scheduler::Living;
use serde_json::json;

use super::Context;
use crate::error::{Failure, Outcome};
use crate::instant::Instant;
use crate::rooms;
use crate::trail::Trail;
use lovage_core::duration;

/// Commands about files that jobs wrote.
#[derive(Debug, Subcommand)]
pub enum ArtifactCommand {
    /// Read a file again and compare it with its manifest
    Verify {
        /// Path of a file or of its manifest.json, or its key in the storage (jobs/QUEUE/JOB/...)
        path: PathBuf,
    },
    /// Remove files that no manifest names, left by attempts that were killed
    Sweep(SweepArgs),
    /// Delete files whose time is over and leave a record of each
    Expire(ExpireArgs),
}

/// Options of `artifact sweep`.
#[derive(Debug, Args)]
pub struct SweepArgs {
    /// Leave younger files alone
    #[arg(long, value_name = "DURATION", default_value = "1d", allow_hyphen_values = true)]
    older_than: String,
    /// Show what would be removed and remove nothing
    #[arg(long)]
    dry_run: bool,
}

/// Options of `artifact expire`.
#[derive(Debug, Args)]
pub struct ExpireArgs {
    /// Show what would be deleted and delete nothing
    #[arg(long)]
    dry_run: bool,
}

/// Runs a command about files.
pub async fn run(context: &Context, command: ArtifactCommand) -> Outcome {
    match command {
        ArtifactCommand::Verify { path } => verify(context, &path).await,
        ArtifactCommand::Sweep(args) => sweep(context, &args).await,
        ArtifactCommand::Expire(args) => expire(context, &args).await,
    }
}

/// Verifies what a path or a key means.
pub async fn verify(context: &Context, path: &Path) -> Outcome {
    let key = path.to_str().map(|text| key_of(context, text));
    let verified = match key {
        Some(key) if key.starts_with("jobs/") && !path.exists() => rooms::store(context.config())?.verify(&key).await?,
        _ => ArtifactStore::verify_path(path).await?,
    };
    show(context, &verified)
}

/// The key that an address of the configured storage means; any other text is left as it is.
fn key_of(context: &Context, text: &str) -> String {
    let root = context.config().storage();
    let rest = text.strip_prefix(root.trim_end_matches('/')).filter(|rest| rest.starts_with('/'));
    rest.unwrap_or(text).trim_start_matches('/').to_owned()
}

/// Shows files that are what their manifest says.
pub fn show(context: &Context, verified: &Verified) -> Outcome {
    let manifest = &verified.manifest;
    let files: Vec<_> = verified
        .files
        .iter()
        .map(|file| json!({ "location": file.location, "bytes": file.bytes, "sha256": file.sha256, "rows": file.rows }))
        .collect();
    let answer = json!({
        "verified": true, "job": manifest.job, "queue": manifest.queue, "kind": manifest.kind,
        "attempt": manifest.attempt, "created_at": Instant(manifest.created_at), "files": files,
    });
    context.output.one(&answer, || {
        let mut text = String::from("The file is what its manifest says.");
        for file in &verified.files {
            let rows = file.rows.map(|rows| format!("  rows    {rows}\n")).unwrap_or_default();
            let _ = write!(
                text,
                "\n  file    {}\n{rows}  bytes   {}\n  sha256  {}",
                file.location, file.bytes, file.sha256
            );
        }
        let _ = write!(
            text,
            "\n  job     {} ({}, queue {}, attempt {})",
            manifest.job, manifest.kind, manifest.queue, manifest.attempt
        );
        text
    })
}

async fn sweep(context: &Context, args: &SweepArgs) -> Outcome {
    let older_than = duration::parse(&args.older_than)
        .map_err(|problem| Failure::usage("older_than", format!("older_than: {problem}")))?;
    let store = rooms::store(context.config())?;
    let broker = context.broker().await?;
    if !args.dry_run {
        context.confirm(&format!("Remove files older than {} that no manifest names?", duration::exact(older_than)))?;
    }
    let living = Living::new(broker);
    let mut removed = Vec::new();
    let mut bytes = 0;
    // Every call looks at all files, so the last one has seen all that stay.
    let (unreadable, failed) = loop {
        let mut options = SweepOptions { older_than, dry_run: args.dry_run, ..SweepOptions::at(Context::now()) };
        if args.dry_run {
            // Nothing goes away, so a second call would find the same files again.
            options.limit = usize::MAX;
        }
        let report = store.sweep_orphans(options, |queue, job| living.may_run(queue, job)).await?;
        bytes += report.bytes;
        removed.extend(report.removed);
        if !report.more {
            break (report.unreadable, report.failed);
        }
    };
    let answer = json!({ "removed": removed, "bytes": bytes, "unreadable": unreadable, "failed": failed, "dry_run": args.dry_run });
    context.output.one(&answer, || {
        let verb = if args.dry_run { "would be removed" } else { "removed" };
        let mut text = format!("{} files, {bytes} bytes {verb}.", removed.len());
        for key in &removed {
            let _ = write!(text, "\n  {key}");
        }
        text
    })?;
    for problem in &unreadable {
        context.output.note(&format!("Kept: {problem}"));
    }
    if !failed.is_empty() {
        return Err(Failure::Failed(format!("not removed, the next call tries again: {}", failed.join("; "))));
    }
    // What was removed is shown, and that it may not be all is no success.
    living.doubt().map_or(Ok(()), |doubt| Err(doubt.into()))
}

async fn expire(context: &Context, args: &ExpireArgs) -> Outcome {
    let store = rooms::store(context.config())?;
    if !args.dry_run {
        context.confirm("Delete the files whose time is over?")?;
    }
    let trail = if args.dry_run { None } else { Some(Trail::open(context).await?) };
    let now = Context::now();
    let mut all = ExpireReport { more: true, ..ExpireReport::default() };
    while all.more {
        // In a rehearsal nothing goes away, so a second call would find the same files again.
        let limit = if args.dry_run { usize::MAX } else { ExpireOptions::at(now).limit };
        let report = store.expire(ExpireOptions { limit, dry_run: args.dry_run, ..ExpireOptions::at(now) }).await?;
        if let Some(trail) = trail.as_ref().filter(|_| !report.deleted.is_empty()) {
            let details = json!({ "jobs": report.deleted.len(), "bytes": report.bytes() });
            trail.record("artifact.expire", "artifacts", &details).await?;
        }
        // Every call looks at all files, so the last one has seen all that stay.
        all = ExpireReport { deleted: [all.deleted, report.deleted].concat(), ..report };
    }
    let bytes = all.bytes();
    let job = |queue: &QueueName, job: &JobId| json!({ "queue": queue, "job": job });
    let deleted: Vec<_> = all
        .deleted
        .iter()
        .map(|gone| {
            let mut line = job(&gone.queue, &gone.job);
            line["expires_at"] = json!(gone.expires_at.map(Instant));
            (line["files"], line["bytes"]) = (json!(gone.files), json!(gone.bytes));
            line
        })
        .collect();
    let held: Vec<_> = all.held.iter().map(|(queue, id)| job(queue, id)).collect();
    let answer = json!({
        "deleted": deleted, "bytes": bytes, "held": held, "unreadable": all.unreadable,
        "failed": all.failed, "dry_run": args.dry_run,
    });
    context.output.one(&answer, || expired(&all, bytes, args.dry_run))?;
    for problem in &all.unreadable {
        context.output.note(&format!("Kept: {problem}"));
    }
    if all.failed.is_empty() {
        return Ok(());
    }
    Err(Failure::Failed(format!("not deleted, the next call tries again: {}", all.failed.join("; "))))
}

fn expired(report: &ExpireReport, bytes: u64, dry_run: bool) -> String {
    let verb = if dry_run { "would be deleted" } else { "deleted" };
    let mut text = format!("The files of {} jobs, {bytes} bytes {verb}.", report.deleted.len());
    for gone in &report.deleted {
        let until = gone.expires_at.map(|at| format!(", kept until {}", Instant(at))).unwrap_or_default();
        let _ = write!(text, "\n  {} (queue {}{until})", gone.job, gone.queue);
    }
    for (queue, job) in &report.held {
        let _ = write!(text, "\n  {job} (queue {queue}) is held and stays");
    }
    text
}
