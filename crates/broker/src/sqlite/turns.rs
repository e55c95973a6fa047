//! A claim from a queue with tenants or rules: reads the lines of those whose turn it is, and writes what the rounds
//! of [`super::share`] decided. A bounded number of rows, however many wait: what is held back is put aside.

use std::collections::{BTreeMap, BTreeSet};

use lovage_core::State;
use sqlx::Row as _;

use super::claim::TakeJobs;
use super::desk::Desk;
use super::fault::Fault;
use super::gate::NEVER;
use super::share::{Candidate, Offer, Share, Stream, Taken, Turn};
use crate::api::ClaimedJob;

/// Rows that one claim looks at, unless it gives out more.
pub(super) const LOOKED_AT: usize = 2_000;
/// Lanes of one tenant that a claim reads from.
const LANES: i64 = 100;
/// Rows that are read from one lane at a time.
const MOST_ROWS: usize = 1_000;

impl Desk<'_> {
    /// Gives out up to `max` jobs. What was tallied is settled.
    pub(super) async fn take_turns(&mut self, max: usize, call: &TakeJobs) -> Result<Vec<ClaimedJob>, Fault> {
        let all_opened = self.open_due().await?;
        let mut share = Share { ageing: call.ageing, ..Share::default() };
        self.load_gates(&mut share.gates, BTreeSet::from(["queue".to_owned()])).await?;
        let mut has_more = !all_opened;
        if share.gates.room("queue", false) > 0 {
            has_more |= self.rounds(&mut share, max).await?;
        }
        let jobs = self.write_share(&share, call).await?;
        self.note_held(&share, has_more).await?;
        Ok(jobs)
    }

    /// Until when all that still waits is held back.
    async fn note_held(&mut self, share: &Share, has_more: bool) -> Result<(), Fault> {
        let is_closed = share.gates.room("queue", false) == 0;
        self.line.flow_mut().held_until = if is_closed {
            share.gates.again("queue")
        } else if has_more || self.line.count(State::Available) == 0 {
            0
        } else {
            self.settle().await?;
            self.next_opening().await?.unwrap_or(NEVER)
        };
        Ok(())
    }

    /// Answers whether there is more that could be given out, or that was not looked at.
    async fn rounds(&mut self, share: &mut Share, max: usize) -> Result<bool, Fault> {
        let most = max + 1;
        let mut tenants = most;
        let mut is_cut = self.add_turns(share, tenants).await?;
        let mut rows = most.div_ceil(share.turns.len().max(1)).min(MOST_ROWS);
        let (mut looked_at, mut from) = (0, 0);
        loop {
            let mut anybody = false;
            for turn in from..share.turns.len() {
                let mut left = share.turns[turn].weight;
                while left > 0 {
                    match share.offer(turn) {
                        Offer::Nothing => break,
                        Offer::Unread if looked_at >= LOOKED_AT.max(most) => return Ok(true),
                        Offer::Unread => {
                            looked_at += self.read_on(share, rows).await?;
                            rows = (rows * 2).min(MOST_ROWS);
                        }
                        Offer::UnreadOld => looked_at += self.read_old(share, turn, max).await?,
                        Offer::Job(_) | Offer::Aged if share.taken.len() == max => return Ok(true),
                        offer @ (Offer::Job(_) | Offer::Aged) => {
                            share.give(turn, &offer);
                            (left, anybody) = (left - 1, true);
                            if share.gates.room("queue", false) == 0 {
                                return Ok(true);
                            }
                        }
                    }
                }
            }
            let is_whole = from == 0;
            from = 0;
            if is_cut && looked_at < LOOKED_AT {
                // Some of these had nothing: others have their first turn before these have their second.
                from = share.turns.len();
                tenants = (tenants * 2).min(MOST_ROWS);
                looked_at += tenants;
                is_cut = self.add_turns(share, tenants).await?;
            } else if !anybody && is_whole {
                return Ok(is_cut || share.turns.iter().any(|turn| turn.done == Some(0)));
            }
        }
    }

    /// Lets up to `most` more tenants take part. Answers whether there are others yet.
    async fn add_turns(&mut self, share: &mut Share, most: usize) -> Result<bool, Fault> {
        // One more than can have a turn tells whether there are others.
        let mut turns = self.turns(&share.turns, most + 1).await?;
        let is_cut = turns.len() > most;
        turns.truncate(most);
        let tenants = turns.iter().map(|turn| format!("tenant:{}", turn.tenant)).collect();
        let first = share.turns.len();
        share.turns.append(&mut turns);
        self.load_gates(&mut share.gates, tenants).await?;
        share.close_tenants();
        self.find_streams(share, first).await?;
        Ok(is_cut)
    }

    /// The tenants whose turn it is, without those that were found before.
    async fn turns(&mut self, found: &[Turn], most: usize) -> Result<Vec<Turn>, Fault> {
        let nobody = String::new();
        self.find_homes(std::iter::once(&nobody)).await?;
        let home = self.home(Some(&nobody));
        if self.line.plain() > 0 {
            let sql = "UPDATE lane SET ready = 1, turn = max(turn, ?2) WHERE key = ?1 AND ready = 0";
            sqlx::query(sql).bind(home).bind(self.line.flow.turn).execute(&mut *self.conn).await?;
        }
        let sql = "SELECT key, tenant, turn, aged FROM lane WHERE queue = ?1 AND ready = 1 \
                   AND key NOT IN (SELECT value FROM json_each(?3)) ORDER BY turn, tenant LIMIT ?2 + 0";
        let found = serde_json::to_string(&found.iter().map(|turn| turn.home).collect::<Vec<_>>())?;
        let rows =
            sqlx::query(sql).bind(self.line.key).bind(most as i64).bind(found).fetch_all(&mut *self.conn).await?;
        rows.iter()
            .map(|row| {
                let (home, tenant): (i64, String) = (row.try_get(0)?, row.try_get(1)?);
                let lane = if tenant.is_empty() { 0 } else { home };
                let streams = vec![Stream::new(lane, "")];
                let at = row.try_get(2)?;
                // Those without a tenant have theirs with the queue: they are often served without turns.
                let aged = if lane == 0 { self.line.flow.aged } else { row.try_get(3)? };
                Ok(Turn { tenant, home, at, streams, aged, weight: 1, ..Turn::default() })
            })
            .collect()
    }

    /// Adds the open lanes of what was held back, from the turn `first` on.
    async fn find_streams(&mut self, share: &mut Share, first: usize) -> Result<(), Fault> {
        let open = share.turns.iter().enumerate().skip(first).filter(|(_, turn)| turn.done.is_none());
        let tenants: BTreeMap<_, _> = open.map(|(index, turn)| (index, &turn.tenant)).collect();
        let sql = "SELECT wanted.key, lane.key, lane.gate FROM json_each(?2) AS wanted CROSS JOIN lane ON lane.key IN \
                   (SELECT key FROM lane INDEXED BY lane_held WHERE queue = ?1 AND tenant = wanted.value \
                   AND gate <> '' AND jobs > 0 AND opens_at = 0 ORDER BY head LIMIT ?3 + 0)";
        let query = sqlx::query(sql).bind(self.line.key).bind(serde_json::to_string(&tenants)?).bind(LANES);
        let mut subjects = BTreeSet::new();
        for row in query.fetch_all(&mut *self.conn).await? {
            let index: String = row.try_get(0)?;
            let stream = Stream::new(row.try_get(1)?, row.try_get(2)?);
            subjects.insert(stream.subject.clone());
            if let Some(turn) = index.parse::<usize>().ok().and_then(|index| share.turns.get_mut(index)) {
                turn.streams.push(stream);
                turn.has_more_lanes = turn.streams.len() > LANES as usize;
            }
        }
        self.load_gates(&mut share.gates, subjects).await
    }

    /// Reads the next `rows` jobs of each stream that has none left. Answers how many those were.
    async fn read_on(&mut self, share: &mut Share, rows: usize) -> Result<usize, Fault> {
        let mut streams = share.unread();
        let lanes: BTreeMap<_, _> = streams.iter().map(|stream| (stream.lane, stream.after)).collect();
        let sql = "SELECT CAST(wanted.key AS INTEGER), json_object('seq', job.seq, 'sort', job.sort, 'id', job.id, \
                   'attempt', attempt, 'failed', failed, 'lost', lost, 'enqueued_at', enqueued_at, \
                   'priority', priority, 'kind', kind, 'key', flow_key, 'slot', slot) \
                   FROM json_each(?2) AS wanted CROSS JOIN job ON job.seq IN (SELECT seq FROM job INDEXED BY job_lane \
                   WHERE queue = ?1 AND state = 7 AND lane = CAST(wanted.key AS INTEGER) AND sort > wanted.value \
                   ORDER BY sort LIMIT ?3 + 0)";
        let plain = "SELECT 0, json_object('seq', job.seq, 'sort', job.sort, 'id', job.id, 'attempt', attempt, \
                     'failed', failed, 'lost', lost, 'enqueued_at', enqueued_at, 'priority', priority, 'kind', kind, \
                     'key', flow_key, 'slot', slot) FROM job INDEXED BY job_line WHERE queue = ?1 AND state = 1 \
                     AND sort > json_extract(?2, '$.0') ORDER BY sort, id LIMIT ?3 + 0";
        let mut found = BTreeMap::<i64, Vec<Candidate>>::new();
        for (sql, is_wanted) in [(sql, lanes.keys().any(|lane| *lane != 0)), (plain, lanes.contains_key(&0))] {
            if !is_wanted {
                continue;
            }
            let query = sqlx::query(sql).bind(self.line.key).bind(serde_json::to_string(&lanes)?).bind(rows as i64);
            for row in query.fetch_all(&mut *self.conn).await? {
                found.entry(row.try_get(0)?).or_default().push(serde_json::from_str(row.try_get(1)?)?);
            }
        }
        let mut count = 0;
        for stream in &mut streams {
            let mut jobs = found.remove(&stream.lane).unwrap_or_default();
            jobs.sort_by_key(|job| job.sort);
            count += jobs.len();
            stream.is_read = jobs.len() < rows;
            stream.after = jobs.last().map_or(stream.after, |job| job.sort);
            stream.jobs.extend(jobs);
        }
        if self.line.flow.rules > 0 {
            let subjects = share.subjects();
            self.load_gates(&mut share.gates, subjects).await?;
        }
        Ok(count.max(1))
    }

    /// Reads the oldest jobs of a tenant's levels. Answers how many those were.
    async fn read_old(&mut self, share: &mut Share, turn: usize, max: usize) -> Result<usize, Fault> {
        let most = max.div_ceil(share.ageing.max(1) as usize);
        let old = self.oldest_of_turn(&share.turns[turn], most).await?;
        let count = old.len();
        share.turns[turn].old = Some(old);
        if self.line.flow.rules > 0 {
            let subjects = share.subjects();
            self.load_gates(&mut share.gates, subjects).await?;
        }
        Ok(count)
    }

    async fn write_share(&mut self, share: &Share, call: &TakeJobs) -> Result<Vec<ClaimedJob>, Fault> {
        self.park(share).await?;
        self.close_lanes(share).await?;
        let jobs = self.start(&share.taken, share, call).await?;
        let probes = share
            .taken
            .iter()
            .zip(&jobs)
            .flat_map(|(taken, job)| taken.probes.iter().map(|subject| (subject.clone(), job.token as i64)));
        self.save_gates(&share.gates, &probes.collect::<Vec<_>>()).await?;
        let flow = self.line.flow_mut();
        flow.turn = flow.turn.max(share.last);
        Ok(jobs)
    }

    /// Puts aside what is held back.
    async fn park(&mut self, share: &Share) -> Result<(), Fault> {
        if share.parked.is_empty() {
            return Ok(());
        }
        let mut lanes = BTreeMap::<(&str, &str), i64>::new();
        for parked in &share.parked {
            let head = lanes.entry((&share.turns[parked.turn].tenant, &parked.gate)).or_insert(parked.sort);
            *head = (*head).min(parked.sort);
        }
        let rows: Vec<_> = lanes
            .into_iter()
            .map(|((tenant, gate), head)| (tenant, gate, head, share.gates.again(&gate.replacen("own:", "key:", 1))))
            .collect();
        let sql = "INSERT INTO lane (queue, tenant, gate, head, opens_at) \
                   SELECT ?1, value ->> 0, value ->> 1, value ->> 2, value ->> 3 FROM json_each(?2) WHERE true \
                   ON CONFLICT DO UPDATE SET opens_at = excluded.opens_at, \
                   head = CASE WHEN lane.jobs > 0 THEN min(lane.head, excluded.head) ELSE excluded.head END \
                   RETURNING tenant, gate, key";
        let query = sqlx::query(sql).bind(self.line.key).bind(serde_json::to_string(&rows)?);
        let mut keys = BTreeMap::<(String, String), i64>::new();
        for row in query.fetch_all(&mut *self.conn).await? {
            keys.insert((row.try_get(0)?, row.try_get(1)?), row.try_get(2)?);
        }
        let mut moves = Vec::with_capacity(share.parked.len());
        for parked in &share.parked {
            let name = (share.turns[parked.turn].tenant.clone(), parked.gate.clone());
            let Some(&lane) = keys.get(&name) else { continue };
            self.line.tally_lane(parked.from, -1);
            self.line.tally_lane(lane, 1);
            moves.push((parked.seq, lane));
        }
        let sql = "UPDATE job SET state = 7, lane = v ->> 1 FROM (SELECT value AS v FROM json_each(?1)) \
                   WHERE seq = v ->> 0";
        sqlx::query(sql).bind(serde_json::to_string(&moves)?).execute(&mut *self.conn).await?;
        Ok(())
    }

    /// Writes which lanes are closed until when, and how much each tenant has had.
    async fn close_lanes(&mut self, share: &Share) -> Result<(), Fault> {
        let streams = share.turns.iter().flat_map(|turn| &turn.streams);
        let closed: Vec<_> = streams.filter_map(|stream| Some((stream.lane, stream.closed?))).collect();
        if !closed.is_empty() {
            let sql =
                "UPDATE lane SET opens_at = v ->> 1 FROM (SELECT value AS v FROM json_each(?1)) WHERE key = v ->> 0";
            sqlx::query(sql).bind(serde_json::to_string(&closed)?).execute(&mut *self.conn).await?;
        }
        let touched = share.turns.iter().filter(|turn| turn.taken > 0 || turn.done.is_some());
        let rows: Vec<_> = touched
            .map(|turn| {
                let at = turn.at + f64::from(turn.taken) / f64::from(turn.weight);
                let is_ready = turn.done.is_none_or(|until| until == 0);
                let aged = (turn.aged + turn.taken) % share.ageing.max(1);
                if turn.tenant.is_empty() {
                    self.line.flow_mut().aged = aged;
                }
                (turn.home, at, i64::from(is_ready), turn.blocked_until(share), aged)
            })
            .collect();
        if rows.is_empty() {
            return Ok(());
        }
        let sql = "UPDATE lane SET turn = v ->> 1, ready = v ->> 2, opens_at = v ->> 3, \
                   aged = v ->> 4 FROM (SELECT value AS v FROM json_each(?1)) WHERE key = v ->> 0";
        sqlx::query(sql).bind(serde_json::to_string(&rows)?).execute(&mut *self.conn).await?;
        Ok(())
    }

    /// Ownership, attempt and token of all that is given out.
    async fn start(&mut self, taken: &[Taken], share: &Share, call: &TakeJobs) -> Result<Vec<ClaimedJob>, Fault> {
        if taken.is_empty() {
            return Ok(Vec::new());
        }
        let sql = "SELECT coalesce(spec.text, '') FROM json_each(?1) AS wanted LEFT JOIN spec \
                   ON spec.seq = wanted.value ORDER BY wanted.key";
        let seqs: Vec<_> = taken.iter().map(|taken| taken.job.seq).collect();
        let query = sqlx::query_scalar(sql).bind(serde_json::to_string(&seqs)?);
        let specs: Vec<String> = query.fetch_all(&mut *self.conn).await?;
        for Taken { turn, lane, .. } in taken {
            self.line.tally_lane(*lane, -1);
            let tenant = &share.turns[*turn].tenant;
            self.line.tally_waiting(Some(tenant).filter(|tenant| !tenant.is_empty()), -1);
        }
        let jobs = taken.iter().zip(specs).map(|(Taken { job, .. }, spec)| ClaimedJob {
            id: job.id.clone(),
            spec,
            attempt: job.attempt + 1,
            failed: job.failed,
            lost: job.lost,
            token: 0,
            enqueued_at: job.enqueued_at,
            priority: job.priority,
        });
        let mut jobs: Vec<_> = jobs.collect();
        self.own(&seqs, &mut jobs, call).await?;
        Ok(jobs)
    }
}

impl Turn {
    /// Until when the tenant itself may have nothing; 0 if that is not what stopped it.
    fn blocked_until(&self, share: &Share) -> i64 {
        let subject = format!("tenant:{}", self.tenant);
        if self.tenant.is_empty() || share.gates.room(&subject, false) > 0 { 0 } else { share.gates.again(&subject) }
    }
}
