//! Reading a queue's events. They are numbered without a gap and stored many to a row ([`super::line`] writes them); a
//! cursor is the number of the last event read.

use futures::TryStreamExt as _;
use lovage_core::{Event, Invalid, QueueName, Timestamp};
use sqlx::Row as _;
use sqlx::sqlite::SqlitePool;

use super::fault::Fault;
use super::line::StoredEvent;
use crate::api::EventPage;

/// Reads a cursor.
pub(super) fn number(cursor: &str) -> Result<i64, Invalid> {
    let help = "send the cursor of the answer before, or none to begin again";
    cursor.parse().map_err(|_| Invalid::new("cursor", format!("{cursor:?} is none of ours"), help))
}

/// Up to `limit` events after `cursor`.
pub(super) async fn events(
    readers: &SqlitePool,
    queue: &QueueName,
    cursor: Option<&str>,
    limit: usize,
) -> Result<EventPage, Fault> {
    let nothing = EventPage { events: Vec::new(), next: cursor.map(str::to_owned), gap: false };
    let mut tx = readers.begin().await?;
    let line = sqlx::query("SELECT key, event FROM queue WHERE name = ?1").bind(queue.as_str());
    let Some(line) = line.fetch_optional(&mut *tx).await? else { return Ok(nothing) };
    let (key, newest): (i64, i64) = (line.try_get(0)?, line.try_get(1)?);
    let mut after = cursor.map(number).transpose()?;
    // A cursor from the future belongs to a file that is no more.
    let is_foreign = after.is_some_and(|after| after > newest);
    if is_foreign {
        after = Some(0);
    }
    let mut page = EventPage { gap: is_foreign, ..nothing };
    let sql = "SELECT last, count, at, body FROM event WHERE queue = ?1 AND last > ?2 ORDER BY last";
    let mut rows = sqlx::query(sql).bind(key).bind(after.unwrap_or(0)).fetch(&mut *tx);
    while page.events.len() < limit {
        let Some(row) = rows.try_next().await? else { break };
        let first = row.try_get::<i64, _>(0)? - row.try_get::<i64, _>(1)? + 1;
        page.gap |= page.events.is_empty() && after.is_some_and(|after| first > after + 1);
        let at = Timestamp::from_millis(row.try_get::<i64, _>(2)? as u64);
        let stored: Vec<StoredEvent> = serde_json::from_str(row.try_get(3)?)?;
        let unread = (first..).zip(stored).filter(|(number, _)| *number > after.unwrap_or(0));
        let room = limit - page.events.len();
        page.events.extend(unread.take(room).map(|(number, event)| event_of(queue, number, at, event)));
    }
    drop(rows);
    if let Some(event) = page.events.last() {
        page.next = Some(event.cursor.clone());
    }
    Ok(page)
}

fn event_of(queue: &QueueName, number: i64, at: Timestamp, stored: StoredEvent) -> Event {
    let (id, kind, state, attempt, worker, reason) = stored;
    Event { cursor: number.to_string(), at, queue: queue.clone(), id, kind, state, attempt, worker, reason }
}
