//! From the entries of a queue's stream to events. An entry holds the events of one script call and is numbered by the
//! last of them, so the position of an event is its number, and a missing number is a gap.

use lovage_core::{Event, EventKind, QueueName, Timestamp, WorkerId};

use super::record::{reason, state};
use super::reply::{Items, count, text};
use crate::api::EventPage;
use crate::error::BrokerError;

/// The letter with which an event's line begins.
fn kind(letter: u8) -> Option<EventKind> {
    Some(match letter {
        b'e' => EventKind::Enqueued,
        b'm' => EventKind::Edited,
        b'p' => EventKind::Promoted,
        b'c' => EventKind::Claimed,
        b'f' => EventKind::Finished,
        b'l' => EventKind::Lost,
        b'x' => EventKind::Expired,
        b'q' => EventKind::CancelRequested,
        b'k' => EventKind::Cancelled,
        b'r' => EventKind::Redriven,
        b'd' => EventKind::Discarded,
        b'z' => EventKind::Deleted,
        _ => return None,
    })
}

/// What the lines of one entry have in common.
struct Entry<'q> {
    queue: &'q QueueName,
    at: Timestamp,
    worker: Option<WorkerId>,
}

impl Entry<'_> {
    /// One event of a line: letter of the kind, letter of the state, attempt, reason if any; ids; worker if it is not
    /// the caller.
    fn event(&self, number: u64, line: &str, id: &str) -> Option<Event> {
        let mut words = line.split(' ');
        let what = words.next()?;
        let id = id.parse().ok()?;
        words.next();
        let kind = kind(*what.as_bytes().first()?)?;
        let state = state(*what.as_bytes().get(1)?);
        let mut numbers = what.get(2..)?.splitn(2, '/');
        let attempt = numbers.next()?.parse().ok()?;
        let reason = numbers.next().and_then(|position| reason(position.parse().ok()?));
        let caller_did_it = matches!(kind, EventKind::Claimed | EventKind::Finished);
        let worker = match words.next() {
            Some(worker) => worker.parse().ok(),
            None => self.worker.clone().filter(|_| caller_did_it),
        };
        Some(Event {
            cursor: number.to_string(),
            at: self.at,
            queue: self.queue.clone(),
            id,
            kind,
            state,
            attempt,
            worker,
            reason,
        })
    }
}

/// A line with each of the ids to which it happened.
fn each_id(line: &str) -> impl Iterator<Item = (&str, &str)> {
    line.split(' ').nth(1).unwrap_or_default().split(',').map(move |id| (line, id))
}

/// Reads what `lua/history.lua` answers. `after` is the number of the last event that the caller knows.
pub(super) fn page(
    queue: &QueueName,
    after: Option<u64>,
    limit: usize,
    items: &mut Items,
) -> Result<EventPage, BrokerError> {
    let latest = count(&items.take()?)?;
    // The script begins anew for a number that was never given out: the store was emptied since.
    let emptied = after.is_some_and(|after| after > latest);
    let mut last = after.filter(|_| !emptied);
    let mut gap = emptied;
    let mut events = Vec::new();
    while events.len() < limit && !items.is_empty() {
        let last_number = count(&items.take()?)?;
        let first = last_number + 1 - count(&items.take()?)?;
        let at = Timestamp::from_millis(count(&items.take()?)?);
        let worker = text(items.take()?)?.parse().ok();
        let entry = Entry { queue, at, worker };
        gap |= last.is_some_and(|last| first > last + 1);
        let lines = text(items.take()?)?;
        for (number, (line, id)) in (first..).zip(lines.lines().flat_map(each_id)) {
            if last.is_some_and(|last| number <= last) {
                continue;
            }
            if events.len() == limit {
                break;
            }
            // A line of a newer release that this one cannot read is passed over.
            events.extend(entry.event(number, line, id));
            last = Some(number);
        }
    }
    if events.is_empty() && last.is_some_and(|last| last < latest) {
        // All of them were dropped.
        (last, gap) = (Some(latest), true);
    }
    Ok(EventPage { events, next: last.map(|number| number.to_string()), gap })
}
