//! What stands in an exported file behind its first line, read from the ledger page by page.

use std::io::Write;

use lovage_core::audit::{Batch, BatchLine, FileLine, Hex32, RecordLine, leaf, proof};
use lovage_ledger::{Chain, Ledger, Range};

use super::writer::Writer;
use crate::error::{Failure, Outcome};

/// Most batches between the last one of a file and its anchor.
pub const MAX_LINKS: usize = 10_000;
/// Batches that are read at once.
const BATCHES: u32 = 1_000;
/// Records that are read at once; each may have 64 KiB.
const RECORDS: u32 = 200;

/// What is exported.
pub struct Content<'a> {
    pub ledger: &'a Ledger,
    pub chain: &'a Chain,
    pub range: Range,
    /// The only record that is wanted.
    pub record: Option<u64>,
    pub links: Vec<Batch>,
}

/// Batches that lead from the last one of a file to its anchor.
pub enum Links {
    All(Vec<Batch>),
    TooMany,
}

/// The batches of a tenant behind record `after`, up to record `end`.
pub async fn links(ledger: &Ledger, tenant: &str, after: u64, end: u64) -> Outcome<Links> {
    let mut links: Vec<Batch> = Vec::new();
    let mut next = after + 1;
    while next <= end {
        let page = ledger.batches(tenant, next, BATCHES).await?;
        let Some(last) = page.last() else { break };
        next = last.seal.last.max(next) + 1;
        links.extend(page.into_iter().take_while(|batch| batch.seal.first <= end));
        if links.len() > MAX_LINKS {
            return Ok(Links::TooMany);
        }
    }
    Ok(Links::All(links))
}

impl Content<'_> {
    /// Writes all lines but the first and the last.
    pub async fn write<W: Write>(&self, writer: &mut Writer<W>) -> Outcome {
        let (mut next, end) = (self.range.before.seq + 1, self.range.after.seq);
        while next <= end {
            let page = self.ledger.batches(&self.chain.tenant, next, BATCHES).await?;
            for batch in page.iter().take_while(|batch| batch.seal.first <= end) {
                self.batch(writer, batch).await?;
            }
            // What is missing there is found at the end of the file.
            let Some(last) = page.last() else { break };
            next = last.seal.last.max(next) + 1;
        }
        self.links.iter().try_for_each(|batch| writer.line(&FileLine::Link(BatchLine::new(batch, 0))))
    }

    async fn batch<W: Write>(&self, writer: &mut Writer<W>, batch: &Batch) -> Outcome {
        let line = BatchLine::new(batch, self.chain.pruned);
        writer.line(&FileLine::Batch(line))?;
        let (mut next, last) = (batch.seal.first, batch.seal.last);
        let mut leaves = Vec::new();
        let mut only = None;
        while !line.removed && next <= last {
            let records = self.ledger.records(&self.chain.tenant, next, last, RECORDS).await?;
            let Some(end) = records.last().map(|record| record.seq) else { break };
            next = end + 1;
            for record in records {
                match self.record {
                    None => writer.line(&FileLine::Record(Box::new(RecordLine::new(record)?)))?,
                    Some(seq) => {
                        leaves.push(leaf(&record.event));
                        if record.seq == seq {
                            only = Some((leaves.len() - 1, record));
                        }
                    }
                }
            }
        }
        let Some(seq) = self.record else { return Ok(()) };
        let path = only.and_then(|(index, record)| Some((record, proof(&leaves, index)?)));
        let Some((record, path)) = path else {
            return Err(Failure::Failed(format!("record {seq} is missing; `lovage audit verify` says more")));
        };
        let mut line = RecordLine::new(record)?;
        line.hash = None;
        line.path = Some(path.into_iter().map(Hex32).collect());
        writer.line(&FileLine::Record(Box::new(line)))
    }
}
