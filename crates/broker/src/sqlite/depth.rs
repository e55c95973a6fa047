//! How many jobs may wait: enqueues beyond it are refused with the time after which there may be room.

use std::collections::{BTreeMap, BTreeSet};

use lovage_core::{Full, State, Subject};
use sqlx::Row as _;

use super::desk::Desk;
use super::enqueue::Draft;
use super::fault::Fault;

/// One limit of an enqueue call.
#[derive(Debug)]
struct Depth {
    subject: Subject,
    most: i64,
    /// Jobs that wait, those of this call included.
    waiting: i64,
    /// Jobs of this call that were refused.
    refused: i64,
}

/// The limits of an enqueue call; none for a queue without rules.
#[derive(Debug, Default)]
pub(super) struct Depths {
    queue: Option<Depth>,
    tenants: BTreeMap<String, Depth>,
    drain: super::drain::Drain,
    now: lovage_core::Timestamp,
    /// Tenants that share the rate of the queue.
    sharing: i64,
}

impl Depths {
    pub(super) async fn load(desk: &mut Desk<'_>, drafts: &[Draft]) -> Result<Self, Fault> {
        if desk.line.flow.rules == 0 {
            return Ok(Self::default());
        }
        let names: BTreeSet<_> = drafts.iter().filter_map(|draft| draft.tenant.as_ref()).collect();
        let mut subjects: BTreeSet<_> = names.iter().map(|tenant| format!("tenant:{tenant}")).collect();
        subjects.insert("queue".to_owned());
        let rules = desk.rules(&subjects).await?;
        let most = |subject: &str| Some(i64::try_from(rules.get(subject)?.limits.depth?).unwrap_or(i64::MAX));
        let counts = [State::Scheduled, State::Available, State::Retryable].map(|state| desk.line.count(state));
        let mut depths = Self { drain: desk.line.flow.drain, now: desk.now, ..Self::default() };
        depths.queue = most("queue").map(|most| Depth {
            subject: Subject::Queue,
            most,
            waiting: counts.into_iter().sum(),
            refused: 0,
        });
        for tenant in names {
            let Some(most) = most(&format!("tenant:{tenant}")) else { continue };
            let subject = format!("tenant:{tenant}").parse()?;
            depths.tenants.insert(tenant.clone(), Depth { subject, most, waiting: 0, refused: 0 });
        }
        if !depths.tenants.is_empty() {
            depths.load_tenants(desk, drafts.len() as i64).await?;
        }
        Ok(depths)
    }

    async fn load_tenants(&mut self, desk: &mut Desk<'_>, more: i64) -> Result<(), Fault> {
        desk.settle().await?;
        let sql = "SELECT lane.tenant, lane.waiting FROM json_each(?2) AS wanted CROSS JOIN lane \
                   ON lane.queue = ?1 AND lane.gate = '' AND lane.tenant = wanted.value";
        let names = serde_json::to_string(&self.tenants.keys().collect::<Vec<_>>())?;
        for row in sqlx::query(sql).bind(desk.line.key).bind(names).fetch_all(&mut *desk.conn).await? {
            let tenant: String = row.try_get(0)?;
            if let Some(depth) = self.tenants.get_mut(&tenant) {
                depth.waiting = row.try_get(1)?;
            }
        }
        if self.tenants.values().any(|depth| depth.waiting + more > depth.most) {
            let sql =
                "SELECT count(*) FROM lane INDEXED BY lane_waiting WHERE queue = ?1 AND gate = '' AND waiting > 0";
            let tenants: i64 = sqlx::query_scalar(sql).bind(desk.line.key).fetch_one(&mut *desk.conn).await?;
            self.sharing = tenants + i64::from(desk.line.plain() > 0);
        }
        Ok(())
    }

    /// Lets one more job in, if there is room.
    pub(super) fn admit(&mut self, tenant: Option<&String>) -> Result<(), Full> {
        let (drain, now) = (self.drain, self.now);
        let mut own = tenant.and_then(|tenant| self.tenants.get_mut(tenant));
        for (depth, share) in [(&mut own.as_deref_mut(), self.sharing), (&mut self.queue.as_mut(), 1)] {
            if let Some(depth) = depth
                && depth.waiting >= depth.most
            {
                depth.refused += 1;
                let excess = depth.waiting - depth.most + depth.refused;
                let retry_after = drain.retry_after(excess, share, now);
                return Err(Full { subject: depth.subject.clone(), limit: depth.most as u64, retry_after });
            }
        }
        for depth in [own, self.queue.as_mut()].into_iter().flatten() {
            depth.waiting += 1;
        }
        Ok(())
    }
}
