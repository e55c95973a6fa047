//! A queue inside one transaction: its counters in memory, its events until the commit. Loaded once per transaction
//! however many commands of the group use it, written back once.

use lovage_core::{Counts, DiscardReason, EventKind, JobId, Pause, QueueName, State, Timestamp, WorkerId};
use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::drain::Drain;
use super::fault::Fault;
use super::hold::{Hold, Kept};
use super::row::code;
use super::tally::Tally;

/// Places count from 2024-01-01T00:00:00Z, 512 to a millisecond, so that the age of the oldest waiting job can be read
/// from its place. They fit into 49 bits until 2058; above them stands the priority.
const PLACES_FROM: u64 = 1_704_067_200_000;
const PLACES_PER_MS: u64 = 512;
const PLACE_BITS: u32 = 49;
/// Events to a row: few rows to write for a batch, little to read for a page.
const EVENTS_PER_ROW: usize = 256;
/// Rows of old events removed at one time.
const EVENT_SLICE: i64 = 1_000;

/// One event as it is stored; the queue, the time and the number stand with the row.
pub(super) type StoredEvent = (JobId, EventKind, Option<State>, u32, Option<WorkerId>, Option<DiscardReason>);

/// A queue's row while a transaction works on it.
#[derive(Debug)]
pub(super) struct Line {
    pub key: i64,
    place: i64,
    token: i64,
    pub event: i64,
    counts: [i64; 7],
    pub pause: Option<Pause>,
    /// What flow control knows of the queue.
    pub flow: Flow,
    /// What is recorded elsewhere, if anybody ever recorded. Written by its own command.
    pub hold: Option<Hold>,
    changed: bool,
    woken: bool,
    events: Vec<StoredEvent>,
    pub tally: Tally,
}

/// The part of a queue's row that belongs to flow control; `schema.sql` says what the columns are.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Flow {
    pub rules: i64,
    pub laned: i64,
    pub turn: f64,
    pub held_until: i64,
    pub recheck: Option<i64>,
    pub retry_full: f64,
    pub retry_opens: i64,
    pub drain: Drain,
    /// How many jobs without a tenant were given out since the last one whose turn it was by age.
    pub aged: u32,
}

/// The first place of a millisecond.
pub(super) fn place_at(now: Timestamp) -> i64 {
    (now.as_millis().saturating_sub(PLACES_FROM) * PLACES_PER_MS) as i64
}

/// When a place was given out.
pub(super) fn placed_at(place: i64) -> Timestamp {
    Timestamp::from_millis(PLACES_FROM + place as u64 / PLACES_PER_MS)
}

/// The order of an available job: priority first, then place.
pub(super) fn line_order(priority: u8, place: i64) -> i64 {
    (i64::from(priority) << PLACE_BITS) + place
}

/// The order of a level's first job.
pub(super) fn level_start(priority: u8) -> i64 {
    line_order(priority, 0)
}

/// The place in an order.
pub(super) fn place_of(sort: i64) -> i64 {
    sort % level_start(1)
}

impl Line {
    pub(super) async fn load(conn: &mut SqliteConnection, queue: &QueueName) -> Result<Option<Self>, Fault> {
        let sql = "SELECT key, place, token, event, scheduled, available, running, retryable, completed, cancelled, \
                   discarded, paused_by, paused_why, paused_since, paused_until, rules, laned, turn, held_until, \
                   recheck, retry_full, retry_opens, drain_since, drained, drained_before, \
                   aged, recorded, recorded_at, recorded_said FROM queue WHERE name = ?1";
        let Some(row) = sqlx::query(sql).bind(queue.as_str()).fetch_optional(conn).await? else { return Ok(None) };
        let mut counts = [0; 7];
        for (index, count) in counts.iter_mut().enumerate() {
            *count = row.try_get(4 + index)?;
        }
        Ok(Some(Self {
            key: row.try_get(0)?,
            place: row.try_get(1)?,
            token: row.try_get(2)?,
            event: row.try_get(3)?,
            counts,
            pause: read_pause(&row, 11)?,
            flow: Flow {
                rules: row.try_get(15)?,
                laned: row.try_get(16)?,
                turn: row.try_get(17)?,
                held_until: row.try_get(18)?,
                recheck: row.try_get(19)?,
                retry_full: row.try_get(20)?,
                retry_opens: row.try_get(21)?,
                drain: Drain::read(&row, 22)?,
                aged: row.try_get(25)?,
            },
            hold: Hold::read(&row, 26)?,
            changed: false,
            woken: false,
            events: Vec::new(),
            tally: Tally::default(),
        }))
    }

    pub(super) async fn create(conn: &mut SqliteConnection, queue: &QueueName) -> Result<(), Fault> {
        let sql = "INSERT INTO queue (name) VALUES (?1) ON CONFLICT DO NOTHING";
        sqlx::query(sql).bind(queue.as_str()).execute(conn).await?;
        Ok(())
    }

    /// A place behind everybody.
    pub(super) fn next_place(&mut self, now: Timestamp) -> i64 {
        self.changed = true;
        self.place = (self.place + 1).max(place_at(now));
        self.place
    }

    /// The first of `count` places in a row, behind everybody.
    pub(super) fn next_places(&mut self, count: usize, now: Timestamp) -> i64 {
        let first = self.next_place(now);
        self.place += count.saturating_sub(1) as i64;
        first
    }

    /// The first of `count` new fencing numbers.
    pub(super) fn next_tokens(&mut self, count: usize) -> i64 {
        self.changed = true;
        let first = self.token + 1;
        self.token += count as i64;
        first
    }

    pub(super) fn set_pause(&mut self, pause: Option<Pause>) {
        // Whoever waits may have something to claim again.
        self.woken |= pause.is_none();
        self.changed = true;
        self.pause = pause;
    }

    /// The part that belongs to flow control, to be changed.
    pub(super) fn flow_mut(&mut self) -> &mut Flow {
        self.changed = true;
        &mut self.flow
    }

    /// Something that was held back may be claimable now.
    pub(super) fn release(&mut self) {
        self.flow_mut().held_until = 0;
        self.woken = true;
    }

    /// Jobs that are in no lane.
    pub(super) fn plain(&self) -> i64 {
        self.count(State::Available) - self.flow.laned
    }

    /// Whether claims must look at more than the line.
    pub(super) fn is_plain(&self) -> bool {
        self.flow.rules == 0 && self.flow.laned == 0
    }

    /// The pause that holds at `now`.
    pub(super) fn paused(&self, now: Timestamp) -> Option<&Pause> {
        self.pause.as_ref().filter(|pause| pause.until.is_none_or(|until| until > now))
    }

    pub(super) fn count(&self, state: State) -> i64 {
        self.counts[code(state) as usize]
    }

    /// Whether somebody who waits for the queue has to look again.
    pub(super) fn is_woken(&self) -> bool {
        self.woken
    }

    /// The number of the latest event, whether it is written yet or not.
    pub(super) fn latest_event(&self) -> i64 {
        self.event + self.events.len() as i64
    }

    /// Takes note of one job's change: the one way in which counts and events change.
    pub(super) fn record(&mut self, before: Option<State>, event: StoredEvent) {
        if let Some(state) = before {
            self.counts[code(state) as usize] -= 1;
        }
        if let Some(state) = event.2 {
            self.counts[code(state) as usize] += 1;
            // A job that is due earlier than all others changes how long to wait, too.
            self.woken |= before != Some(state) && !state.is_final() && state != State::Running;
            if state == State::Available && before != Some(state) {
                self.flow.held_until = 0;
            }
        }
        self.changed = true;
        self.events.push(event);
    }

    /// Takes note of ended jobs that the retention removed: no event, nobody did it.
    pub(super) fn forget(&mut self, state: State, jobs: usize) {
        self.changed = true;
        self.counts[code(state) as usize] -= jobs as i64;
    }

    /// Writes back what the transaction changed.
    pub(super) async fn flush(&mut self, conn: &mut SqliteConnection, now: Timestamp, kept: Kept) -> Result<(), Fault> {
        if !self.changed {
            return Ok(());
        }
        let before = self.event;
        for chunk in std::mem::take(&mut self.events).chunks(EVENTS_PER_ROW) {
            self.event += chunk.len() as i64;
            sqlx::query("INSERT INTO event (queue, last, count, at, body) VALUES (?1, ?2, ?3, ?4, ?5)")
                .bind(self.key)
                .bind(self.event)
                .bind(chunk.len() as i64)
                .bind(now.as_millis() as i64)
                .bind(serde_json::to_string(chunk)?)
                .execute(&mut *conn)
                .await?;
        }
        // Not with every event: once in a row's worth is often enough.
        if self.event / EVENTS_PER_ROW as i64 != before / EVENTS_PER_ROW as i64 {
            self.drop_old_events(conn, self.events_may_go(kept, now)).await?;
        }
        self.write_back(conn).await
    }

    /// Removes events up to `last`, a slice of them. Answers whether there may be more.
    pub(super) async fn drop_old_events(&self, conn: &mut SqliteConnection, last: i64) -> Result<bool, Fault> {
        let sql = "DELETE FROM event WHERE queue = ?1 AND last IN \
                   (SELECT last FROM event WHERE queue = ?1 AND last <= ?2 ORDER BY last LIMIT ?3 + 0)";
        let dropped = sqlx::query(sql).bind(self.key).bind(last).bind(EVENT_SLICE).execute(conn).await?;
        Ok(dropped.rows_affected() >= EVENT_SLICE as u64)
    }

    async fn write_back(&self, conn: &mut SqliteConnection) -> Result<(), Fault> {
        let sql = "UPDATE queue SET place = ?2, token = ?3, event = ?4, paused_by = ?5, paused_why = ?6, \
                   paused_since = ?7, paused_until = ?8, scheduled = ?9, available = ?10, running = ?11, \
                   retryable = ?12, completed = ?13, cancelled = ?14, discarded = ?15, rules = ?16, laned = ?17, \
                   turn = ?18, held_until = ?19, recheck = ?20, retry_full = ?21, retry_opens = ?22, \
                   drain_since = ?23, drained = ?24, drained_before = ?25, aged = ?26 WHERE key = ?1";
        let pause = self.pause.as_ref();
        let mut query = sqlx::query(sql)
            .bind(self.key)
            .bind(self.place)
            .bind(self.token)
            .bind(self.event)
            .bind(pause.map(|pause| pause.by.clone()))
            .bind(pause.map(|pause| pause.why.clone()))
            .bind(pause.map(|pause| pause.since.as_millis() as i64))
            .bind(pause.and_then(|pause| pause.until).map(|until| until.as_millis() as i64));
        for count in self.counts {
            query = query.bind(count);
        }
        let Flow { rules, laned, turn, held_until, recheck, retry_full, retry_opens, drain, aged } = self.flow;
        query = query.bind(rules).bind(laned).bind(turn).bind(held_until).bind(recheck).bind(retry_full);
        query = query.bind(retry_opens).bind(drain.since).bind(drain.now).bind(drain.before).bind(aged);
        query.execute(conn).await?;
        Ok(())
    }
}

/// The four columns of a pause, from column `first` on.
pub(super) fn read_pause(row: &SqliteRow, first: usize) -> Result<Option<Pause>, Fault> {
    let Some(since) = row.try_get::<Option<i64>, _>(first + 2)? else { return Ok(None) };
    let until: Option<i64> = row.try_get(first + 3)?;
    Ok(Some(Pause {
        by: row.try_get::<Option<String>, _>(first)?.unwrap_or_default(),
        why: row.try_get::<Option<String>, _>(first + 1)?.unwrap_or_default(),
        since: Timestamp::from_millis(since as u64),
        until: until.map(|until| Timestamp::from_millis(until as u64)),
    }))
}

/// Seven counts, from column `first` on.
pub(super) fn read_counts(row: &SqliteRow, first: usize) -> Result<Counts, Fault> {
    let mut counts = Counts::default();
    for (index, state) in State::ALL.into_iter().enumerate() {
        *counts.of_mut(state) = row.try_get::<i64, _>(first + index)?.max(0) as u64;
    }
    Ok(counts)
}
