//! The lines of a queue beside the plain one: tenants' own, and those of jobs that are held back. See `schema.sql`.

use std::collections::BTreeSet;

use lovage_core::Subject;
use sqlx::Row as _;

use super::desk::Desk;
use super::fault::Fault;

/// Lanes that are opened at one time.
const SLICE: i64 = 1_000;

/// The gate of jobs that hold the slot of an ordered key: they must be found among thousands that wait for it.
pub(super) fn own_gate(gate: &str) -> String {
    gate.replacen("key:", "own:", 1)
}

impl Desk<'_> {
    /// Makes sure that the lanes of these tenants are known.
    pub(super) async fn find_homes(&mut self, tenants: impl Iterator<Item = &String>) -> Result<(), Fault> {
        let homes = &self.line.tally.homes;
        let missing: BTreeSet<_> = tenants.filter(|tenant| !homes.contains_key(*tenant)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let missing = serde_json::to_string(&missing)?;
        let sql = "INSERT INTO lane (queue, tenant, gate) SELECT ?1, value, '' FROM json_each(?2) WHERE true \
                   ON CONFLICT DO NOTHING";
        sqlx::query(sql).bind(self.line.key).bind(&missing).execute(&mut *self.conn).await?;
        let sql = "SELECT lane.tenant, lane.key FROM json_each(?2) AS wanted CROSS JOIN lane \
                   ON lane.queue = ?1 AND lane.gate = '' AND lane.tenant = wanted.value";
        for row in sqlx::query(sql).bind(self.line.key).bind(&missing).fetch_all(&mut *self.conn).await? {
            self.line.tally.homes.insert(row.try_get(0)?, row.try_get(1)?);
        }
        Ok(())
    }

    /// The lane of a tenant that [`Desk::find_homes`] found; 0 without a tenant.
    pub(super) fn home(&self, tenant: Option<&String>) -> i64 {
        tenant.and_then(|tenant| self.line.tally.homes.get(tenant)).copied().unwrap_or(0)
    }

    /// Writes what was tallied. After it the tables say all.
    pub(super) async fn settle(&mut self) -> Result<(), Fault> {
        let left = std::mem::take(&mut self.line.tally.left);
        let waiting = std::mem::take(&mut self.line.tally.waiting);
        let jobs = std::mem::take(&mut self.line.tally.jobs);
        if waiting.values().any(|more| *more != 0) {
            let sql = "INSERT INTO lane (queue, tenant, gate, waiting) SELECT ?1, key, '', value FROM json_each(?2) \
                       WHERE true ON CONFLICT DO UPDATE SET waiting = lane.waiting + excluded.waiting";
            sqlx::query(sql)
                .bind(self.line.key)
                .bind(serde_json::to_string(&waiting)?)
                .execute(&mut *self.conn)
                .await?;
        }
        if jobs.values().any(|more| *more != 0) {
            // Who comes back begins at the turn that the others have reached.
            let sql = "UPDATE lane SET jobs = jobs + more.value, \
                       turn = CASE WHEN gate = '' AND ready = 0 AND more.value > 0 THEN max(turn, ?2) ELSE turn END, \
                       ready = CASE WHEN gate <> '' THEN ready WHEN more.value > 0 AND opens_at = 0 THEN 1 \
                       WHEN jobs + more.value <= 0 AND NOT EXISTS (SELECT 1 FROM lane AS held \
                       WHERE held.queue = lane.queue AND held.tenant = lane.tenant AND held.gate <> '' \
                       AND held.jobs > 0 AND held.opens_at = 0) THEN 0 ELSE ready END \
                       FROM json_each(?1) AS more WHERE lane.key = CAST(more.key AS INTEGER)";
            let turn = self.line.flow.turn;
            sqlx::query(sql).bind(serde_json::to_string(&jobs)?).bind(turn).execute(&mut *self.conn).await?;
        }
        if left.is_empty() { Ok(()) } else { self.let_go(&left).await }
    }

    /// Opens the lanes that wait for slots of these tenants, or at these gates.
    pub(super) async fn open(&mut self, tenants: &BTreeSet<&String>, gates: &BTreeSet<String>) -> Result<(), Fault> {
        let (tenants, gates) = (serde_json::to_string(tenants)?, serde_json::to_string(gates)?);
        // The index is named: walking all lanes that are closed for each gate would be the other way.
        let sql = "UPDATE lane SET opens_at = 0 WHERE key IN (SELECT lane.key FROM json_each(?2) AS wanted \
                   CROSS JOIN lane INDEXED BY lane_name ON lane.queue = ?1 AND lane.gate = '' \
                   AND lane.tenant = wanted.value WHERE lane.opens_at > 0 UNION ALL SELECT lane.key \
                   FROM json_each(?3) AS wanted CROSS JOIN lane INDEXED BY lane_name ON lane.queue = ?1 \
                   AND lane.gate = wanted.value WHERE lane.opens_at > 0) RETURNING tenant";
        let query = sqlx::query_scalar(sql).bind(self.line.key).bind(tenants).bind(gates);
        let opened: BTreeSet<String> = query.fetch_all(&mut *self.conn).await?.into_iter().collect();
        self.make_ready(&opened).await
    }

    /// What becomes of a subject's lanes when its limits or its pause changed.
    pub(super) async fn open_subject(&mut self, subject: &Subject) -> Result<(), Fault> {
        let text = subject.to_string();
        match subject {
            Subject::Queue => {}
            Subject::Tenant(tenant) => {
                self.open(&BTreeSet::from([&tenant.as_str().to_owned()]), &BTreeSet::new()).await?;
            }
            Subject::Kind(_) => self.open(&BTreeSet::new(), &BTreeSet::from([text])).await?,
            Subject::Key(_) => self.open(&BTreeSet::new(), &BTreeSet::from([own_gate(&text), text])).await?,
            // Perhaps a great many: in slices, by the claims and sweeps that follow.
            Subject::AnyTenant | Subject::AnyKey => self.line.flow_mut().recheck = Some(0),
        }
        self.line.release();
        Ok(())
    }

    /// Opens lanes whose time has come, and some of those that are to be looked at again. Answers whether that is all.
    pub(super) async fn open_due(&mut self) -> Result<bool, Fault> {
        let sql = "UPDATE lane SET opens_at = 0 WHERE key IN (SELECT key FROM lane WHERE queue = ?1 \
                   AND opens_at > 0 AND opens_at <= ?2 LIMIT ?3 + 0) RETURNING tenant";
        let query = sqlx::query_scalar(sql).bind(self.line.key).bind(self.now_ms()).bind(SLICE);
        let mut opened: Vec<String> = query.fetch_all(&mut *self.conn).await?;
        let mut is_all = opened.len() < SLICE as usize;
        if let Some(after) = self.line.flow.recheck {
            let sql = "UPDATE lane SET opens_at = 0 WHERE key IN (SELECT key FROM lane NOT INDEXED WHERE key > ?2 AND queue = ?1 \
                       AND opens_at > 0 ORDER BY key LIMIT ?3 + 0) RETURNING tenant, key";
            let query = sqlx::query(sql).bind(self.line.key).bind(after).bind(SLICE);
            let rows = query.fetch_all(&mut *self.conn).await?;
            let mut last = after;
            for row in &rows {
                opened.push(row.try_get(0)?);
                last = last.max(row.try_get(1)?);
            }
            let is_done = rows.len() < SLICE as usize;
            is_all &= is_done;
            self.line.flow_mut().recheck = if is_done { None } else { Some(last) };
        }
        self.make_ready(&opened.into_iter().collect()).await?;
        Ok(is_all)
    }

    /// Lets tenants take turns again whose lanes opened.
    async fn make_ready(&mut self, tenants: &BTreeSet<String>) -> Result<(), Fault> {
        if tenants.is_empty() {
            return Ok(());
        }
        let sql = "UPDATE lane SET ready = 1, turn = max(turn, ?3) WHERE queue = ?1 AND gate = '' AND opens_at = 0 \
                   AND ready = 0 AND tenant IN (SELECT value FROM json_each(?2))";
        let tenants = serde_json::to_string(tenants)?;
        sqlx::query(sql).bind(self.line.key).bind(tenants).bind(self.line.flow.turn).execute(&mut *self.conn).await?;
        Ok(())
    }

    /// When the next lane opens that has jobs or stands for a tenant.
    pub(super) async fn next_opening(&mut self) -> Result<Option<i64>, Fault> {
        let sql = "SELECT opens_at FROM lane WHERE queue = ?1 AND opens_at > 0 AND opens_at > ?2 \
                   AND (jobs > 0 OR gate = '') \
                   ORDER BY opens_at LIMIT 1";
        let query = sqlx::query_scalar(sql).bind(self.line.key).bind(self.now_ms());
        Ok(query.fetch_optional(&mut *self.conn).await?)
    }

    /// Removes a slice of lanes that nobody needs, of full buckets, and of pauses that are over.
    pub(super) async fn prune_flow(&mut self) -> Result<bool, Fault> {
        self.settle().await?;
        // A tenant's turn is forgotten when the others have caught up with it, or when there are no others.
        let turn = if self.line.flow.laned == 0 { f64::MAX } else { self.line.flow.turn };
        let sql = "DELETE FROM lane WHERE key IN (SELECT key FROM lane WHERE queue = ?1 AND jobs <= 0 AND waiting <= 0 \
                   AND (gate <> '' OR (tenant <> '' AND turn <= ?2)) LIMIT ?3 + 0)";
        let query = sqlx::query(sql).bind(self.line.key).bind(turn).bind(SLICE);
        let lanes = query.execute(&mut *self.conn).await?.rows_affected();
        if lanes > 0 {
            self.line.tally.homes.clear();
        }
        let sql = "DELETE FROM bucket WHERE queue = ?1 AND subject IN (SELECT subject FROM bucket WHERE queue = ?1 \
                   AND full_at <= ?2 ORDER BY full_at LIMIT ?3 + 0)";
        let query = sqlx::query(sql).bind(self.line.key).bind(self.now_ms() as f64).bind(SLICE);
        let buckets = query.execute(&mut *self.conn).await?.rows_affected();
        if self.line.flow.rules > 0 {
            let sql = "DELETE FROM flow WHERE queue = ?1 AND limits = '{}' AND paused_until <= ?2";
            let query = sqlx::query(sql).bind(self.line.key).bind(self.now_ms());
            let pauses = query.execute(&mut *self.conn).await?.rows_affected() as i64;
            if pauses > 0 {
                self.line.flow_mut().rules -= pauses;
            }
        }
        Ok(lanes.max(buckets) >= SLICE as u64)
    }
}
