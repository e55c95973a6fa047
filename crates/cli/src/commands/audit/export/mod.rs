//! `lovage audit export`: a trail, a part of it or one record, as a file that `lovage audit verify FILE` checks with nothing
//! but the file.

mod content;
mod writer;

use std::io::BufWriter;
use std::path::Path;

use clap::Args;
use lovage_core::audit::{AnchorProof, Batch, FILE_FORMAT, FILE_VERSION, FileHeader, HeadLine, Moment, Proved, hex};
use lovage_core::{Tenant, Timestamp};
use lovage_ledger::{Chain, Ledger, Range};
use serde_json::json;

use self::content::Content;
use super::list::trail;
use super::{Context, anchors};
use crate::commands::whole;
use crate::error::{Failure, Outcome};
use crate::output::{self, capital};
use crate::trail::Trail;
use crate::{instant, rooms};

/// Options of `audit export`.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// The customer or team whose trail it is [default: the trail of events without one]
    #[arg(long)]
    tenant: Option<Tenant>,
    /// Only what was committed at this time or later, by the database's clock; not when events happened
    #[arg(long, value_name = "INSTANT")]
    from: Option<String>,
    /// Only what was committed before this time
    #[arg(long, value_name = "INSTANT")]
    to: Option<String>,
    /// One record only, with what proves it
    #[arg(long, value_name = "RECORD", conflicts_with_all = ["from", "to"], value_parser = clap::value_parser!(u64).range(1..))]
    record: Option<u64>,
    /// The file to write, - for standard output; it appears when it is whole
    #[arg(long, value_name = "FILE|-", default_value = "-")]
    out: String,
}

/// Writes the file.
pub async fn run(context: &Context, args: &ExportArgs) -> Outcome {
    let (from, to) = (parse("from", args.from.as_deref())?, parse("to", args.to.as_deref())?);
    let tenant = args.tenant.as_ref().map_or("", Tenant::as_str);
    let ledger = rooms::required_ledger(context.config()).await?;
    let chain = ledger.chain(tenant).await?;
    let chain = chain.ok_or_else(|| Failure::NotFound(format!("{}: there are no records", trail(tenant))))?;
    let range = match args.record {
        Some(record) => around(&ledger, &chain, record).await?,
        None => ledger.range(&chain, from, to).await?.ok_or_else(|| {
            Failure::NotFound(format!("{}: nothing was committed in that time", capital(&trail(tenant))))
        })?,
    };
    let recording = Trail::open(context).await?;
    let (anchor, links) = signed(context, &ledger, tenant, range.after.seq).await?;
    let before = HeadLine::from(range.before);
    let header = FileHeader {
        format: FILE_FORMAT.to_owned(),
        version: FILE_VERSION,
        tenant: tenant.to_owned(),
        exported_at: Moment(Context::now()),
        from: from.map(Moment),
        to: to.map(Moment),
        record: args.record,
        before: if args.record.is_some() { HeadLine { record: None, ..before } } else { before },
        after: range.after.into(),
        anchor,
    };
    let handed = json!({ "from": header.from, "to": header.to, "record": args.record, "last": range.after.seq });
    // Before the first byte: who reads half of it has read it.
    recording.announce("audit.export", format!("trail:{tenant}"), &handed).await?;
    let part = Content { ledger: &ledger, chain: &chain, range, record: args.record, links };
    if args.out == "-" {
        let (_, proved) = part.write(BufWriter::new(std::io::stdout()), &header).await?;
        context.output.note(&said(&proved));
    } else {
        let path = Path::new(&args.out);
        let (file, draft) = whole::create("out", path)?;
        let written = part.write(BufWriter::new(file), &header).await;
        let (file, proved) = written.inspect_err(|_| drop(std::fs::remove_file(&draft)))?;
        whole::publish(file, &draft, path).map_err(|error| writer::unwritable(&error))?;
        context.output.one(&shown(&proved, path), || format!("{} It is in {}.", said(&proved), path.display()))?;
    }
    Ok(())
}

/// The anchor that covers a trail up to record `seq`, and the batches that lead to it.
async fn signed(
    context: &Context,
    ledger: &Ledger,
    tenant: &str,
    seq: u64,
) -> Outcome<(Option<AnchorProof>, Vec<Batch>)> {
    let Some(anchor) = anchors::covering(context.config(), ledger, tenant, seq).await? else {
        let help = "No anchor covers its end, so no key has signed it: run `lovage audit anchor` and export again.";
        context.output.note(help);
        return Ok((None, Vec::new()));
    };
    if let Some(links) = content::links(ledger, tenant, seq, anchor.chain.seq).await? {
        return Ok((Some(anchor), links));
    }
    output::warn(&format!(
        "warning: more than {} batches lie between record {seq} and anchor {}, which covers it: the file is not signed",
        content::MAX_LINKS,
        anchor.number
    ));
    Ok((None, Vec::new()))
}

/// The batch that a record is in.
async fn around(ledger: &Ledger, chain: &Chain, record: u64) -> Outcome<Range> {
    let tenant = &chain.tenant;
    if record > chain.head.seq {
        return Err(Failure::NotFound(format!("record {record}: {} ends at {}", trail(tenant), chain.head.seq)));
    }
    if record <= chain.pruned {
        return Err(Failure::NotFound(format!(
            "record {record}: {} was pruned up to record {}; take it from an export of before that",
            trail(tenant),
            chain.pruned
        )));
    }
    let batch = ledger.batch_of(tenant, record).await?.filter(|batch| batch.seal.last >= record);
    let Some(batch) = batch else {
        return Err(Failure::Failed(format!("record {record}: its batch is missing; `lovage audit verify` says more")));
    };
    let before = ledger.head_before(tenant, batch.seal.first).await?;
    Ok(Range { before, after: batch.head() })
}

/// Reads the bound of a time.
pub fn parse(field: &str, text: Option<&str>) -> Outcome<Option<Timestamp>> {
    let read = text.map(instant::parse).transpose();
    read.map_err(|problem| Failure::usage(field, format!("{field}: {problem}")))
}

/// What the file holds, in a sentence.
fn said(proved: &Proved) -> String {
    let of = trail(&proved.tenant);
    match proved.record {
        Some(record) => format!("Record {record} of {of}, with what proves it."),
        None => format!("{} records of {of}, {} to {}.", proved.records, proved.first, proved.last),
    }
}

fn shown(proved: &Proved, path: &Path) -> serde_json::Value {
    json!({
        "file": path, "tenant": proved.tenant, "records": proved.records, "first": proved.first, "last": proved.last,
        "removed": proved.removed, "record": proved.record, "anchor": proved.anchor.map(|anchor| anchor.number),
        "public_key": proved.anchor.map(|anchor| hex(&anchor.public_key)),
    })
}
