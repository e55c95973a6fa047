//! Writing new jobs: two statements for up to a thousand of them.

use lovage_core::{EventKind, State};

use super::desk::Desk;
use super::enqueue::Draft;
use super::fault::Fault;
use super::line::line_order;
use super::row::{LANED, code};

/// Jobs to a statement.
const CHUNK_JOBS: usize = 1_000;
/// Bytes of content to a statement: a batch of large jobs must not be held in memory three times over.
const CHUNK_BYTES: usize = 4 * 1024 * 1024;

/// A job to write, with its final content.
#[derive(Debug)]
pub(super) struct Insert<'d> {
    pub draft: &'d Draft,
    /// Who gives the content, and says when it expires: a later one that took over.
    pub content: &'d Draft,
    /// Who says when it is due: a later one that put it off.
    pub timing: &'d Draft,
}

impl Desk<'_> {
    pub(super) async fn insert(&mut self, inserts: &[Insert<'_>]) -> Result<(), Fault> {
        if inserts.is_empty() {
            return Ok(());
        }
        self.find_homes(inserts.iter().filter_map(|insert| insert.content.tenant.as_ref())).await?;
        let sql = "SELECT coalesce(max(seq), 0) FROM job";
        let mut last: i64 = sqlx::query_scalar(sql).fetch_one(&mut *self.conn).await?;
        let mut rest = inserts;
        while !rest.is_empty() {
            let mut bytes = 0;
            let fits = |insert: &&Insert<'_>| {
                bytes += insert.content.text.len();
                bytes <= CHUNK_BYTES
            };
            let count = rest.iter().take(CHUNK_JOBS).take_while(fits).count().max(1);
            let (chunk, left) = rest.split_at(count);
            self.insert_chunk(chunk, last + 1).await?;
            last += count as i64;
            rest = left;
        }
        Ok(())
    }

    async fn insert_chunk(&mut self, chunk: &[Insert<'_>], first: i64) -> Result<(), Fault> {
        let mut rows = Vec::with_capacity(chunk.len());
        for Insert { draft, content, timing } in chunk {
            let place = self.line.next_place(self.now);
            let due = draft.due(self.now).and_then(|_| timing.due(self.now));
            let (state, sort) = match due {
                Some(due) => (State::Scheduled, due.as_millis() as i64),
                None => (State::Available, line_order(draft.priority, place)),
            };
            let lane = if state == State::Available { self.home(content.tenant.as_ref()) } else { 0 };
            self.line.tally_lane(lane, 1);
            self.line.tally_waiting(content.tenant.as_ref(), 1);
            let lock = draft.lock.as_ref();
            rows.push((
                &draft.id,
                if lane == 0 { code(state) } else { LANED },
                sort,
                place,
                draft.priority,
                content.expires_at,
                lock.map(|lock| &lock.digest),
                lock.map_or(0, |lock| lock.ttl),
                lock.map_or(0, super::row::Lock::holds_ttl),
                content.kind.as_str(),
                &content.tenant,
                &content.key,
                lane,
            ));
            self.line.record(None, (draft.id.clone(), EventKind::Enqueued, Some(state), 0, None, None));
        }
        // Each value that is read out of the JSON costs most of a microsecond; most queues need no more than the first.
        let belong = chunk.iter().any(|Insert { content, .. }| content.tenant.is_some() || content.key.is_some());
        let sql = if belong {
            "INSERT INTO job (seq, queue, id, state, sort, place, priority, expires_at, digest, unique_ttl, \
             hold_ttl, kind, tenant, flow_key, lane, enqueued_at, since) SELECT ?1 + key, ?2, value ->> 0, value ->> 1, \
             value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7, value ->> 8, value ->> 9, \
             value ->> 10, value ->> 11, value ->> 12, ?3, ?3 FROM json_each(?4)"
        } else {
            "INSERT INTO job (seq, queue, id, state, sort, place, priority, expires_at, digest, unique_ttl, \
             hold_ttl, kind, enqueued_at, since) SELECT ?1 + key, ?2, value ->> 0, value ->> 1, value ->> 2, \
             value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7, value ->> 8, value ->> 9, ?3, ?3 \
             FROM json_each(?4)"
        };
        sqlx::query(sql)
            .bind(first)
            .bind(self.line.key)
            .bind(self.now_ms())
            .bind(serde_json::to_string(&rows)?)
            .execute(&mut *self.conn)
            .await?;
        let texts: Vec<_> = chunk.iter().map(|insert| &insert.content.text).collect();
        let sql = "INSERT INTO spec (seq, text) SELECT ?1 + key, value FROM json_each(?2)";
        sqlx::query(sql).bind(first).bind(serde_json::to_string(&texts)?).execute(&mut *self.conn).await?;
        Ok(())
    }
}
