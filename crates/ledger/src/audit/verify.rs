//! Following a stored chain from its first batch to its head, in pages: memory does not grow with the trail.

use lovage_core::audit::{Batch, Finding, Head, Record, Verifier};

use crate::error::LedgerError;
use crate::ledger::Ledger;

use super::Chain;

/// Batches that are read at once.
const BATCHES: u32 = 1_000;
/// Records that are read at once; no batch has more.
const RECORDS: u32 = 5_000;

/// What following a tenant's chain came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The tenant; empty for none.
    pub tenant: String,
    /// Where the chain ends, or, with a finding, up to where it could be followed.
    pub head: Head,
    /// How many records were read and fitted.
    pub records: u64,
    /// The last record that retention has removed; 0 if none was.
    pub pruned: u64,
    /// The first thing that is wrong.
    pub finding: Option<Finding>,
}

impl Ledger {
    /// Follows a tenant's chain. `anchored` are heads that are known from elsewhere.
    pub async fn verify(&self, chain: &Chain, anchored: Vec<Head>) -> Result<Verified, LedgerError> {
        self.verify_from(chain, Head::before_first(&chain.tenant), anchored).await
    }

    /// Follows a chain from a head that is known to be right to its end.
    pub(super) async fn verify_from(
        &self,
        chain: &Chain,
        start: Head,
        anchored: Vec<Head>,
    ) -> Result<Verified, LedgerError> {
        let mut chain = chain.clone();
        loop {
            let mut verifier = Verifier::from(start, anchored.clone());
            let finding = self.follow(&chain, &mut verifier).await?;
            let (head, records) = (verifier.head(), verifier.records());
            let finding = match finding {
                Some(finding) => Some(finding),
                None => verifier.end(chain.head).err(),
            };
            // What is missing may have been pruned while this looked: then it begins anew.
            if let Some(Finding::Missing { first, .. }) = finding {
                let now = self.chain(&chain.tenant).await?.map_or(0, |chain| chain.pruned);
                if now > chain.pruned && first <= now {
                    chain.pruned = now;
                    continue;
                }
            }
            return Ok(Verified { tenant: chain.tenant, head, records, pruned: chain.pruned, finding });
        }
    }

    async fn follow(&self, chain: &Chain, verifier: &mut Verifier) -> Result<Option<Finding>, LedgerError> {
        loop {
            let batches = self.batches(&chain.tenant, verifier.head().seq + 1, BATCHES).await?;
            // What was committed after the chain's head was read is left out.
            let batches: Vec<Batch> =
                batches.into_iter().take_while(|batch| batch.seal.first <= chain.head.seq).collect();
            let Some(last) = batches.last() else { break };
            let last = last.seal.last;
            let mut page = Page::default();
            for batch in &batches {
                // What a seal says is believed only once its hash is right: it says how much is read.
                let records =
                    if verifier.expects(batch) { page.of(self, &chain.tenant, batch, last).await? } else { Vec::new() };
                if let Err(finding) = verifier.batch(batch, &records, batch.seal.last <= chain.pruned) {
                    return Ok(Some(finding));
                }
            }
        }
        self.beyond(chain, verifier).await
    }

    /// Whether there are records behind the last batch.
    async fn beyond(&self, chain: &Chain, verifier: &Verifier) -> Result<Option<Finding>, LedgerError> {
        let end = verifier.head().seq;
        if end < chain.head.seq {
            return Ok(None);
        }
        // A commit that came meanwhile has its batch; what has none was put there.
        let Some(record) = self.records(&chain.tenant, end + 1, u64::MAX, 1).await?.pop() else { return Ok(None) };
        let batch = self.batches(&chain.tenant, end + 1, 1).await?.pop();
        let sealed = batch.is_some_and(|batch| batch.seal.first <= record.seq && record.seq <= batch.seal.last);
        Ok((!sealed).then_some(Finding::Inserted { seq: record.seq }))
    }
}

/// Records that were read ahead.
#[derive(Default)]
struct Page {
    records: Vec<Record>,
    /// The last number that was asked for.
    read: u64,
}

impl Page {
    /// The records of a batch.
    async fn of(
        &mut self,
        ledger: &Ledger,
        tenant: &str,
        batch: &Batch,
        last: u64,
    ) -> Result<Vec<Record>, LedgerError> {
        let end = batch.seal.last;
        while self.read < end {
            let from = self.read.max(batch.seal.first.saturating_sub(1)) + 1;
            let found = ledger.records(tenant, from, last.max(end), RECORDS).await?;
            self.read = if found.len() < RECORDS as usize {
                last.max(end)
            } else {
                found.last().map_or(last, |record| record.seq)
            };
            self.records.extend(found);
        }
        let count = self.records.partition_point(|record| record.seq <= end);
        Ok(self.records.drain(..count).collect())
    }
}
