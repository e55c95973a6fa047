//! `lovage export link`: a signed address, or the path of a local file.

use clap::Args;
use lovage_artifacts::{FileName, Link, LinkOptions};
use serde_json::json;

use super::ExportArgs;
use crate::commands::Context;
use crate::error::{Failure, Outcome};
use crate::instant::Instant;
use crate::rooms;
use crate::trail::Trail;
use lovage_core::duration;

/// Options of `export link`.
#[derive(Debug, Args)]
pub struct LinkArgs {
    #[command(flatten)]
    export: ExportArgs,
    /// Which of its files [default: the only one]
    #[arg(long, value_name = "NAME")]
    file: Option<String>,
    /// How long the link works, 1s to 7d
    #[arg(long, value_name = "DURATION", default_value = "1h", allow_hyphen_values = true)]
    expires: String,
    /// Have browsers save the file under this name [default: its own]
    #[arg(long, value_name = "NAME")]
    name: Option<FileName>,
}

/// Makes a link.
pub async fn run(context: &Context, args: &LinkArgs) -> Outcome {
    let expires_in =
        duration::parse(&args.expires).map_err(|problem| Failure::usage("expires", format!("expires: {problem}")))?;
    let store = rooms::store(context.config())?;
    let manifest = store.published(&args.export.queue, &args.export.job).await?;
    let file = manifest.file(args.file.as_deref())?;
    let trail = Trail::open(context).await?;
    let options = LinkOptions { expires_in, name: args.name.clone(), now: Context::now() };
    let (url, path, expires_at) = match store.link(file, &options).await? {
        Link::Path(path) => (None, Some(path.display().to_string()), None),
        Link::Signed(link) => (Some(link.reveal().to_owned()), None, Some(Instant(link.expires_at))),
    };
    let saved_as = args.name.as_ref().map_or(file.name.as_str(), FileName::as_str);
    let answer = json!({
        "job": manifest.job, "queue": manifest.queue, "file": file.name, "saved_as": saved_as, "url": url, "path": path,
        "expires_at": expires_at, "bytes": file.bytes, "sha256": file.sha256, "content_type": file.content_type,
    });
    // The link itself opens the file, so it is not in the record.
    let handed = json!({ "queue": manifest.queue, "file": file.name, "expires_at": expires_at, "sha256": file.sha256 });
    trail.record("export.link", format!("job:{}", manifest.job), &handed).await?;
    // The link alone on standard output, for scripts.
    context.output.one(&answer, || url.clone().or_else(|| path.clone()).unwrap_or_default())?;
    match expires_at {
        Some(at) => context.output.note(&format!("Whoever has this link can fetch {} until {at}.", file.name)),
        None => context.output.note("The storage is a folder: this is the path of the file, and it does not expire."),
    }
    Ok(())
}
