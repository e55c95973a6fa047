//! `lovage audit verify`: follows the trails and names the first record that is not what was written.

use std::fmt::Write as _;
use std::ops::ControlFlow;

use clap::Args;
use lovage_core::Tenant;
use lovage_core::audit::{Finding, Head};
use lovage_ledger::{Chain, Ledger, Verified};
use serde::Serialize;
use serde_json::json;

use super::Context;
use super::anchors::{self, Anchors};
use crate::error::{Failure, Outcome};
use crate::output::Table;
use crate::rooms;

/// Chains that are read at once.
const CHAINS: u32 = 500;

/// Options of `audit verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Follow this tenant's trail only
    #[arg(long)]
    tenant: Option<Tenant>,
}

/// What following one trail came to.
#[derive(Debug, Serialize)]
struct Line {
    tenant: String,
    records: u64,
    pruned: u64,
    last: u64,
    hash: String,
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    finding: Option<Finding>,
}

/// Verifies one trail or all.
pub async fn run(context: &Context, args: &VerifyArgs) -> Outcome {
    let ledger = rooms::required_ledger(context.config()).await?;
    let mut anchors = anchors::read(context.config(), &ledger).await?;
    let mut lines = Vec::new();
    for chain in chains(&ledger, args.tenant.as_ref()).await? {
        let heads = anchors.heads.remove(&chain.tenant).unwrap_or_default();
        lines.push(Line::of(ledger.verify(&chain, heads, |_| ControlFlow::Continue(())).await?));
    }
    if args.tenant.is_none() {
        lines.extend(anchors.heads.iter().map(|(tenant, heads)| Line::gone(tenant, heads)));
    }
    let wrong: Vec<&Line> = lines.iter().filter(|line| !line.ok).collect();
    let answer = json!({
        "ok": wrong.is_empty() && anchors.problem.is_none(), "trails": lines,
        "anchors": { "count": anchors.count, "public_key": anchors.public_key, "problem": anchors.problem },
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
            let key = anchors.public_key.as_deref().unwrap_or("-");
            let fit = if count == 1 { "The one anchor fits".to_owned() } else { format!("All {count} anchors fit") };
            write!(text, "{fit}, signed by {key}.")
        }
    };
    text
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
        Self { tenant: tenant.to_owned(), records: 0, pruned: 0, last: 0, hash: String::new(), ok: false, finding }
    }

    fn of(verified: Verified) -> Self {
        Self {
            tenant: verified.tenant,
            records: verified.records,
            pruned: verified.pruned,
            last: verified.head.seq,
            hash: lovage_core::audit::hex(&verified.head.record),
            ok: verified.finding.is_none(),
            finding: verified.finding,
        }
    }
}

fn table(lines: &[Line]) -> Table {
    let mut table = Table::new(&["tenant", "records", "result"], "There are no records.");
    for line in lines {
        let tenant = if line.tenant.is_empty() { "-" } else { &line.tenant };
        let result = line.finding.as_ref().map_or("as written".to_owned(), ToString::to_string);
        table.row(vec![tenant.to_owned(), line.records.to_string(), result]);
    }
    table
}
