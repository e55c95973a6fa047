//! From the entries of a queue's stream to events. An entry holds the events of one script call and is numbered by the
//! last of them, so the position of an event is its number, and a missing number is a gap.

use std::fmt;
use std::str::FromStr;

use lovage_core::{DiscardReason, Event, EventKind, Invalid, QueueName, State, Timestamp, WorkerId};

use super::record::{reason, state};
use super::reply::{Items, count, text};
use crate::api::EventPage;
use crate::error::BrokerError;

/// An event as its reader names it: its number, and its time, because a replica that takes over without the last writes
/// gives their numbers again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position {
    pub number: u64,
    pub at: Timestamp,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.number, self.at.as_millis())
    }
}

impl FromStr for Position {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let read = || {
            let (number, at) = text.split_once('@')?;
            Some(Self { number: number.parse().ok()?, at: Timestamp::from_millis(at.parse().ok()?) })
        };
        read().ok_or_else(|| {
            Invalid::new("cursor", format!("{text:?} is no cursor of events"), "use one that was answered")
        })
    }
}

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

/// What happened, of one line.
#[derive(Clone)]
struct Happening {
    kind: EventKind,
    state: Option<State>,
    attempt: u32,
    reason: Option<DiscardReason>,
    worker: Option<WorkerId>,
}

impl Entry<'_> {
    /// What a line says, and the ids to which it happened: letter of the kind, letter of the state, attempt, reason if any;
    /// ids; worker if it is not the caller. A line of a newer release that this one cannot read says nothing. It is read
    /// once for all of its ids, of which there may be thousands.
    fn line<'l>(&self, line: &'l str) -> (Option<Happening>, &'l str) {
        let mut words = line.split(' ');
        let (what, ids) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        (self.happening(what, words.next()), ids)
    }

    fn happening(&self, what: &str, worker: Option<&str>) -> Option<Happening> {
        let kind = kind(*what.as_bytes().first()?)?;
        let state = state(*what.as_bytes().get(1)?);
        let mut numbers = what.get(2..)?.splitn(2, '/');
        let attempt = numbers.next()?.parse().ok()?;
        let reason = numbers.next().and_then(|position| reason(position.parse().ok()?));
        let caller_did_it = matches!(kind, EventKind::Claimed | EventKind::Finished);
        let worker = match worker {
            Some(worker) => worker.parse().ok(),
            None => self.worker.clone().filter(|_| caller_did_it),
        };
        Some(Happening { kind, state, attempt, reason, worker })
    }

    fn event(&self, number: u64, happening: &Happening, id: &str) -> Option<Event> {
        let Happening { kind, state, attempt, reason, worker } = happening.clone();
        Some(Event {
            cursor: Position { number, at: self.at }.to_string(),
            at: self.at,
            queue: self.queue.clone(),
            id: id.parse().ok()?,
            kind,
            state,
            attempt,
            worker,
            reason,
        })
    }
}

/// Reads what `lua/history.lua` answers. `after` is the last event that the caller knows.
pub(super) fn page(
    queue: &QueueName,
    after: Option<Position>,
    limit: usize,
    items: &mut Items,
) -> Result<EventPage, BrokerError> {
    let latest = count(&items.take()?)?;
    let anew = count(&items.take()?)? == 1;
    let mut last = after.filter(|_| !anew);
    let mut gap = anew;
    let mut events = Vec::new();
    let nothing_there = items.is_empty();
    while events.len() < limit && !items.is_empty() {
        let last_number = count(&items.take()?)?;
        let first = last_number + 1 - count(&items.take()?)?;
        let at = Timestamp::from_millis(count(&items.take()?)?);
        let worker = text(items.take()?)?.parse().ok();
        let entry = Entry { queue, at, worker };
        gap |= last.is_some_and(|last| first > last.number + 1);
        let text = text(items.take()?)?;
        let lines: Vec<_> = text.lines().map(|line| entry.line(line)).collect();
        let each_id = lines.iter().flat_map(|(happening, ids)| ids.split(',').map(move |id| (happening, id)));
        for (number, (happening, id)) in (first..).zip(each_id) {
            if last.is_some_and(|last| number <= last.number) {
                continue;
            }
            if events.len() == limit {
                break;
            }
            events.extend(happening.as_ref().and_then(|happening| entry.event(number, happening, id)));
            last = Some(Position { number, at });
        }
    }
    if nothing_there
        && let Some(known) = &mut last
        && known.number < latest
    {
        // All of them were dropped. Nobody can ask for the time of the latest any more.
        (known.number, gap) = (latest, true);
    }
    Ok(EventPage { events, next: last.map(|position| position.to_string()), gap })
}
