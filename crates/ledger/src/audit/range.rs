//! A part of a chain: the batches that were committed in a time, and where the chain stands before and after them.

use lovage_core::Timestamp;
use lovage_core::audit::{Batch, Finding, Head};

use super::{Chain, Verified, postgres, sqlite};
use crate::error::LedgerError;
use crate::ledger::{Ledger, Store};

/// A part of a tenant's chain, with at least one batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// Where the chain stands before its first batch, as the batch before that says.
    pub before: Head,
    /// Where it stands after its last batch.
    pub after: Head,
}

/// Which batch of a tenant is meant.
#[derive(Debug, Clone, Copy)]
pub(super) enum Which {
    /// The first that was written then or later.
    Since(Timestamp),
    /// The last that was written before then.
    Before(Timestamp),
    /// The last that begins before this record.
    Below(u64),
}

impl Ledger {
    /// The batches of a chain that were committed at `from` or later and before `to`, by the database's clock; nothing if there
    /// are none. Clocks go back and commits wait for each other, so it goes from the first to the last of these, whatever the
    /// times between them are: none that was committed in the time is left out. Looks at the times of batches one after the
    /// other, from the beginning for `from` and from the end for `to`.
    pub async fn range(
        &self,
        chain: &Chain,
        from: Option<Timestamp>,
        to: Option<Timestamp>,
    ) -> Result<Option<Range>, LedgerError> {
        let first = self.batch_at(&chain.tenant, Which::Since(from.unwrap_or_default())).await?;
        let after = match to {
            None => Some(chain.head),
            Some(to) => self.batch_at(&chain.tenant, Which::Before(to)).await?.map(|batch| batch.head()),
        };
        let (Some(first), Some(after)) = (first, after) else { return Ok(None) };
        if after.seq < first.seal.first {
            return Ok(None);
        }
        Ok(Some(Range { before: self.head_before(&chain.tenant, first.seal.first).await?, after }))
    }

    /// The batch in which a record of a tenant should be: the last that begins with it or before it.
    pub async fn batch_of(&self, tenant: &str, seq: u64) -> Result<Option<Batch>, LedgerError> {
        self.batch_at(tenant, Which::Below(seq.saturating_add(1))).await
    }

    /// Where a tenant's chain stands before the batch that begins with record `first`, as the batch before it says.
    pub async fn head_before(&self, tenant: &str, first: u64) -> Result<Head, LedgerError> {
        let batch = self.batch_at(tenant, Which::Below(first)).await?;
        Ok(batch.map_or_else(|| Head::before_first(tenant), |batch| batch.head()))
    }

    /// Follows a part of a tenant's chain. It is compared with those of the heads that are known from elsewhere which lie in it,
    /// or behind the whole chain.
    pub async fn verify_range(
        &self,
        chain: &Chain,
        range: Range,
        mut anchored: Vec<Head>,
    ) -> Result<Verified, LedgerError> {
        let start = range.before;
        if anchored.iter().any(|anchor| anchor.seq == start.seq && *anchor != start) {
            let finding = Some(Finding::Rewritten { after: 0, anchored: start.seq });
            return Ok(Verified {
                tenant: chain.tenant.clone(),
                head: start,
                records: 0,
                pruned: chain.pruned,
                finding,
            });
        }
        anchored.retain(|anchor| anchor.seq <= range.after.seq || anchor.seq > chain.head.seq);
        let part = Chain { head: range.after, ..chain.clone() };
        self.verify_from(&part, start, anchored).await
    }

    async fn batch_at(&self, tenant: &str, which: Which) -> Result<Option<Batch>, LedgerError> {
        match &self.store {
            Store::Postgres(pool) => postgres::batch_at(pool, tenant, which).await,
            Store::Sqlite(pool) => sqlite::batch_at(pool, tenant, which).await,
        }
    }
}
