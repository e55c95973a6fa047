//! `lovage audit verify`: follows the trails and names the first record that is not what was written.

use std::fmt::Write as _;

use clap::Args;
use lovage_core::audit::{Digest, Finding, Head, Hex32, hex};
use lovage_core::{Tenant, Timestamp};
use lovage_ledger::{Chain, Ledger, Verified};
use serde::Serialize;
use serde_json::json;

use super::Context;
use super::anchors::{self, Anchors};
use super::export::parse;
use super::file;
use crate::config::Config;
use crate::error::{Failure, Outcome};
use crate::output::Table;
use crate::rooms;

/// Chains that are read at once.
const CHAINS: u32 = 500;

/// Options of `audit verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// A file of `lovage audit export`, - for standard input: needs no ledger and no storage [default: the ledger's trails]
    #[arg(value_name = "FILE|-", conflicts_with_all = ["tenant", "from", "to"])]
    file: Option<String>,
    /// Follow this tenant's trail only
    #[arg(long)]
    tenant: Option<Tenant>,
    /// A digest that `lovage audit anchor` has shown and that was kept elsewhere: its anchor must be there; may be given again
    #[arg(long, value_name = "HEX", conflicts_with = "file")]
    digest: Vec<String>,
    /// Follow only what was committed at this time or later, by the database's clock; not when events happened
    #[arg(long, value_name = "INSTANT")]
    from: Option<String>,
    /// Follow only what was committed before this time
    #[arg(long, value_name = "INSTANT")]
    to: Option<String>,
    /// The key that must have signed the file [default: `audit.public_key`]
    #[arg(long, value_name = "HEX", requires = "file")]
    public_key: Option<String>,
}

/// What following one trail came to.
#[derive(Debug, Serialize)]
struct Line {
    tenant: String,
    records: u64,
    pruned: u64,
    /// The first record that was to be followed; absent for the whole trail.
    #[serde(skip_serializing_if = "Option::is_none")]
    first: Option<u64>,
    last: u64,
    hash: String,
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    finding: Option<Finding>,
}

/// Verifies one trail or all.
pub async fn run(context: &Context, args: &VerifyArgs) -> Outcome {
    if let Some(path) = &args.file {
        return file::run(context, path, key(context.config(), args.public_key.as_deref())?);
    }
    let time = (parse("from", args.from.as_deref())?, parse("to", args.to.as_deref())?);
    let ledger = rooms::required_ledger(context.config()).await?;
    let mut anchors = anchors::read(context.config(), &ledger).await?;
    anchors.expect(&args.digest)?;
    let mut lines = Vec::new();
    let wanted = |tenant: &str| args.tenant.as_ref().is_none_or(|wanted| wanted.as_str() == tenant);
    let known = match chains(&ledger, args.tenant.as_ref()).await {
        // It was there once.
        Err(Failure::NotFound(_)) if anchors.heads.keys().any(|tenant| wanted(tenant)) => Vec::new(),
        other => other?,
    };
    for chain in known {
        let heads = anchors.heads.remove(&chain.tenant).unwrap_or_default();
        lines.push(follow(&ledger, &chain, heads, time).await?);
    }
    let gone = anchors.heads.iter().filter(|(tenant, _)| wanted(tenant));
    lines.extend(gone.map(|(tenant, heads)| Line::gone(tenant, heads)));
    let wrong: Vec<&Line> = lines.iter().filter(|line| !line.ok).collect();
    let answer = json!({
        "ok": wrong.is_empty() && anchors.problem.is_none(), "trails": lines,
        "anchors": { "count": anchors.count, "public_key": anchors.public_key.map(Hex32), "problem": anchors.problem },
    });
    context.output.one(&answer, || text(&lines, &anchors))?;
    match (wrong.len(), &anchors.problem) {
        (0, None) => Ok(()),
        (0, Some(problem)) => Err(Failure::Failed(problem.clone())),
        (count, _) => Err(Failure::Failed(format!("{count} of {} trails are not what was written", lines.len()))),
    }
}

fn text(lines: &[Line], anchors: &Anchors) -> String {
    let mut text = table(lines).render();
    let _ = match (&anchors.problem, anchors.count) {
        (Some(problem), _) => write!(text, "Anchors: {problem}."),
        (None, 0) => write!(
            text,
            "Nothing is anchored: whoever can write the database can have written all anew. See `lovage audit anchor`."
        ),
        (None, count) => {
            let key = anchors.public_key.map(|key| hex(&key)).unwrap_or_default();
            let fit = if count == 1 { "The one anchor fits".to_owned() } else { format!("All {count} anchors fit") };
            write!(text, "{fit}, signed by {key}.")
        }
    };
    text
}

/// Follows a trail, or what was committed of it in a time.
async fn follow(
    ledger: &Ledger,
    chain: &Chain,
    heads: Vec<Head>,
    (from, to): (Option<Timestamp>, Option<Timestamp>),
) -> Outcome<Line> {
    if from.is_none() && to.is_none() {
        return Ok(Line::of(ledger.verify(chain, heads).await?));
    }
    Ok(match ledger.range(chain, from, to).await? {
        Some(range) => {
            let first = range.before.seq + 1;
            Line { first: Some(first), ..Line::of(ledger.verify_range(chain, range, heads).await?) }
        }
        None => Line::nothing(chain),
    })
}

/// The key that must have signed a file. A key of this machine's own says nothing about a file from elsewhere.
fn key(config: &Config, option: Option<&str>) -> Outcome<Option<Digest>> {
    let (field, text) = match (option, &config.audit.public_key) {
        (Some(text), _) => ("public_key", text),
        (None, Some(text)) => ("audit.public_key", text.as_str()),
        (None, None) => return Ok(None),
    };
    anchors::key(field, text).map(Some)
}

/// The chain of a tenant, or all.
pub async fn chains(ledger: &Ledger, tenant: Option<&Tenant>) -> Outcome<Vec<Chain>> {
    if let Some(tenant) = tenant {
        let chain = ledger.chain(tenant.as_str()).await?;
        return chain.map(|chain| vec![chain]).ok_or_else(|| {
            Failure::NotFound(format!("tenant {tenant} has no trail; `lovage audit verify` follows all that there are"))
        });
    }
    let mut chains: Vec<Chain> = Vec::new();
    loop {
        let page = ledger.chains(chains.last().map(|chain| chain.tenant.as_str()), CHAINS).await?;
        let full = page.len() == CHAINS as usize;
        chains.extend(page);
        if !full {
            return Ok(chains);
        }
    }
}

impl Line {
    /// A trail that was anchored and is not there any more.
    fn gone(tenant: &str, heads: &[Head]) -> Self {
        let last = heads.iter().map(|head| head.seq).max().unwrap_or(0);
        let finding = Some(Finding::Truncated { after: 0, last });
        Self {
            tenant: tenant.to_owned(),
            records: 0,
            pruned: 0,
            first: None,
            last: 0,
            hash: String::new(),
            ok: false,
            finding,
        }
    }

    /// A trail to which nothing was committed in the time.
    fn nothing(chain: &Chain) -> Self {
        let (tenant, pruned) = (chain.tenant.clone(), chain.pruned);
        Self { tenant, records: 0, pruned, first: None, last: 0, hash: String::new(), ok: true, finding: None }
    }

    fn of(verified: Verified) -> Self {
        Self {
            tenant: verified.tenant,
            records: verified.records,
            pruned: verified.pruned,
            first: None,
            last: verified.head.seq,
            hash: hex(&verified.head.record),
            ok: verified.finding.is_none(),
            finding: verified.finding,
        }
    }
}

fn table(lines: &[Line]) -> Table {
    let mut table = Table::new(&["tenant", "records", "result"], "There are no records.");
    for line in lines {
        let tenant = if line.tenant.is_empty() { "-" } else { &line.tenant };
        let result = match (&line.finding, line.first) {
            (Some(finding), _) => finding.to_string(),
            (None, Some(first)) => format!("as written, from record {first} to {}", line.last),
            (None, None) if line.last == 0 => "nothing in that time".to_owned(),
            (None, None) if line.pruned > 0 => format!("as written; pruned up to record {}", line.pruned),
            (None, None) => "as written".to_owned(),
        };
        table.row(vec![tenant.to_owned(), line.records.to_string(), result]);
    }
    table
}
