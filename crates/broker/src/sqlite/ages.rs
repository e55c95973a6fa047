//! Ageing: of the jobs that a line gives out each so many-th is its oldest, whatever its priority. Here for the plain line;
//! [`super::share`] does the same in the turns of tenants.

use std::collections::{BTreeSet, VecDeque};

use sqlx::Row as _;

use super::claim::Waiting;
use super::desk::Desk;
use super::fault::Fault;
use super::line::{level_start, place_of};
use super::share::{Deep, Turn};
use super::turns::LOOKED_AT;

/// The jobs of a lane.
const IN_LANE: &str = "job_lane WHERE queue = ?1 AND state = 7 AND lane = level.value ->> 1";

/// How many of the next `count` jobs are to be the oldest of their line, when it gave out `given` before.
pub(super) fn aged_of(given: u32, count: usize, ageing: u32) -> usize {
    let (given, ageing) = (given as usize, ageing.max(1) as usize);
    (given + count) / ageing - given / ageing
}

/// Puts the oldest jobs of a line where they are due among its `first` ones. `old` has the first jobs of each level behind
/// that of the first one, by their places.
pub(super) fn mix(first: Vec<Waiting>, old: Vec<Waiting>, given: u32, ageing: u32) -> Vec<Waiting> {
    let (mut first, mut old) = (VecDeque::from(first), VecDeque::from(old));
    let mut gone = BTreeSet::new();
    let mut mixed = Vec::with_capacity(first.len());
    for given in (given..).take(first.len()) {
        for line in [&mut first, &mut old] {
            while line.front().is_some_and(|job| gone.contains(&job.seq)) {
                line.pop_front();
            }
        }
        let is_older = match (old.front(), first.front()) {
            (Some(old), Some(first)) => place_of(old.sort) < place_of(first.sort),
            _ => false,
        };
        let by_age = is_older && aged_of(given, 1, ageing) == 1;
        let Some(job) = (if by_age { &mut old } else { &mut first }).pop_front() else { break };
        gone.insert(job.seq);
        mixed.push(job);
    }
    mixed
}

impl Desk<'_> {
    /// The first `count` jobs of each level of the plain line behind that of the job at `sort`, the oldest first.
    pub(super) async fn oldest_of_line(&mut self, sort: i64, count: usize) -> Result<Vec<Waiting>, Fault> {
        let sql = "SELECT json_group_array(json_array(job.seq, job.id, coalesce(spec.text, ''), job.attempt, job.failed, \
                   job.lost, job.enqueued_at, job.priority, job.sort)) FROM json_each(?2) AS level CROSS JOIN job \
                   ON job.seq IN (SELECT seq FROM job INDEXED BY job_line WHERE queue = ?1 AND state = 1 \
                   AND sort >= level.value AND sort < level.value + ?4 ORDER BY sort LIMIT ?3 + 0) \
                   LEFT JOIN spec ON spec.seq = job.seq";
        let query = sqlx::query_scalar(sql).bind(self.line.key).bind(levels_behind(sort)).bind(count as i64);
        let rows: String = query.bind(level_start(1)).fetch_one(&mut *self.conn).await?;
        let mut rows: Vec<Waiting> = serde_json::from_str(&rows)?;
        rows.sort_by_key(|job| place_of(job.sort));
        Ok(rows)
    }

    /// The same of a tenant's lines, as far as they were not given out by this claim: its own, and those of its jobs that were
    /// held back and may start again.
    pub(super) async fn oldest_of_turn(&mut self, turn: &Turn, count: usize) -> Result<VecDeque<Deep>, Fault> {
        let open = turn.streams.iter().enumerate().filter(|(_, stream)| stream.closed.is_none());
        let heads = open.filter_map(|(index, stream)| Some((index, stream.lane, stream.jobs.front()?.sort)));
        let levels: Vec<_> =
            heads.flat_map(|(index, lane, head)| starts_behind(head).map(move |start| (index, lane, start))).collect();
        // With very many lanes a large claim knows less of each level; the next one reads on.
        let count = count.min((LOOKED_AT / levels.len().max(1)).max(1));
        let (plain, laned): (Vec<_>, Vec<_>) = levels.into_iter().partition(|(_, lane, _)| *lane == 0);
        let mut found = Vec::new();
        for (levels, which) in [(plain, "job_line WHERE queue = ?1 AND state = 1"), (laned, IN_LANE)] {
            if levels.is_empty() {
                continue;
            }
            let sql = [
                "SELECT level.value ->> 0, json_object('seq', job.seq, 'sort', job.sort, 'id', job.id, 'attempt', attempt, \
                 'failed', failed, 'lost', lost, 'enqueued_at', enqueued_at, 'priority', priority, 'kind', kind, \
                 'key', flow_key, 'slot', slot) FROM json_each(?2) AS level CROSS JOIN job ON job.seq IN \
                 (SELECT seq FROM job INDEXED BY ",
                which,
                " AND sort >= level.value ->> 2 AND sort < (level.value ->> 2) + ?4 ORDER BY sort LIMIT ?3 + 0)",
            ];
            let query = sqlx::query(sqlx::AssertSqlSafe(sql.concat())).bind(self.line.key);
            let query = query.bind(serde_json::to_string(&levels)?).bind(count as i64).bind(level_start(1));
            for row in query.fetch_all(&mut *self.conn).await? {
                let (stream, job): (i64, String) = (row.try_get(0)?, row.try_get(1)?);
                found.push(Deep { stream: stream as usize, job: serde_json::from_str(&job)? });
            }
        }
        found.sort_by_key(|deep| place_of(deep.job.sort));
        Ok(found.into())
    }
}

/// Where the levels behind that of a job begin, as a JSON array.
fn levels_behind(sort: i64) -> String {
    let starts: Vec<_> = starts_behind(sort).map(|start| start.to_string()).collect();
    format!("[{}]", starts.join(","))
}

fn starts_behind(sort: i64) -> impl Iterator<Item = i64> {
    (0..=9).map(level_start).filter(move |start| *start > sort)
}
