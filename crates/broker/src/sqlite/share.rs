//! The rounds of a claim: tenants take turns, each with its oldest jobs that no gate holds back. Decisions only; the
//! tables are read and written by [`super::turns`].

use std::collections::{BTreeSet, HashSet, VecDeque};

use lovage_core::{JobId, Priority, Timestamp};
use serde::Deserialize;

use super::ages::aged_of;
use super::gate::Gates;
use super::lanes::own_gate;
use super::line::place_of;

/// A waiting job as the query answers it.
#[derive(Debug, Deserialize)]
pub(super) struct Candidate {
    pub seq: i64,
    pub sort: i64,
    pub id: JobId,
    pub attempt: u32,
    pub failed: u32,
    pub lost: u32,
    pub enqueued_at: Timestamp,
    pub priority: Priority,
    pub kind: Option<String>,
    pub key: Option<String>,
    /// Whether it holds the slot of its key, as a number.
    pub slot: i64,
}

/// A sorted line of jobs: the plain one, a tenant's, or one of those that were held back.
#[derive(Debug)]
pub(super) struct Stream {
    /// 0 for the plain line.
    pub lane: i64,
    /// Whom its gate is about; empty for the first two.
    pub subject: String,
    /// Whether its jobs hold that subject's slot.
    pub holds: bool,
    pub jobs: VecDeque<Candidate>,
    /// The order of the last job that was read.
    pub after: i64,
    /// Whether all was read.
    pub is_read: bool,
    /// When it opens again, once its gate has closed.
    pub closed: Option<i64>,
}

impl Stream {
    pub(super) fn new(lane: i64, gate: &str) -> Self {
        let (subject, holds) = match gate.strip_prefix("own:") {
            Some(key) => (format!("key:{key}"), true),
            None => (gate.to_owned(), false),
        };
        let (after, is_read, closed) = (i64::MIN, false, None);
        Self { lane, subject, holds, jobs: VecDeque::new(), after, is_read, closed }
    }

    fn wants_more(&self) -> bool {
        self.closed.is_none() && !self.is_read && self.jobs.is_empty()
    }
}

/// A job of a level behind the one that is served.
#[derive(Debug)]
pub(super) struct Deep {
    /// Of which of the tenant's streams.
    pub stream: usize,
    pub job: Candidate,
}

/// A tenant in this claim.
#[derive(Debug, Default)]
pub(super) struct Turn {
    pub tenant: String,
    pub home: i64,
    /// How much it has had, by its weight.
    pub at: f64,
    pub weight: u32,
    pub streams: Vec<Stream>,
    pub taken: u32,
    /// When it may have something again, once it had nothing more.
    pub done: Option<i64>,
    /// More lanes than were read.
    pub has_more_lanes: bool,
    /// How many jobs it was given before since one was because of its age.
    pub aged: u32,
    /// The first jobs of the levels behind the one that is served of each stream, the oldest first; once they are needed.
    pub old: Option<VecDeque<Deep>>,
    /// What was given out or put aside.
    pub gone: HashSet<i64>,
}

impl Turn {
    fn subject(&self) -> Option<String> {
        (!self.tenant.is_empty()).then(|| format!("tenant:{}", self.tenant))
    }

    fn close_streams(&mut self, gates: &Gates) {
        for stream in self.streams.iter_mut().filter(|stream| !stream.subject.is_empty() && stream.closed.is_none()) {
            if gates.room(&stream.subject, stream.holds) == 0 {
                stream.closed = Some(gates.again(&stream.subject));
            }
        }
    }

    /// A job that was given out by age stands in its level, too, and the other way round. Those of a stream that has closed
    /// wait with it.
    fn drop_gone(&mut self) {
        for stream in &mut self.streams {
            while stream.jobs.front().is_some_and(|job| self.gone.contains(&job.seq)) {
                stream.jobs.pop_front();
            }
        }
        let Self { streams, old, gone, .. } = self;
        let is_closed = |stream: usize| streams.get(stream).is_none_or(|stream| stream.closed.is_some());
        if let Some(old) = old {
            while old.front().is_some_and(|deep| gone.contains(&deep.job.seq) || is_closed(deep.stream)) {
                old.pop_front();
            }
        }
    }

    /// The job that comes first, by order or by age.
    fn first(&self, by_age: bool) -> Option<Offer> {
        let key = |job: &Candidate| if by_age { place_of(job.sort) } else { job.sort };
        let heads = self.streams.iter().enumerate().filter(|(_, stream)| stream.closed.is_none());
        let (first, index) = heads.filter_map(|(index, stream)| Some((key(stream.jobs.front()?), index))).min()?;
        let oldest = self.old.as_ref().and_then(VecDeque::front).filter(|deep| by_age && key(&deep.job) < first);
        Some(if oldest.is_some() { Offer::Aged } else { Offer::Job(index) })
    }

    /// The offered job.
    fn peek(&self, offer: &Offer) -> Option<&Candidate> {
        match offer {
            Offer::Job(index) => self.streams.get(*index)?.jobs.front(),
            Offer::Aged => Some(&self.old.as_ref()?.front()?.job),
            _ => None,
        }
    }

    /// Takes the offered job out, with its lane.
    fn pop(&mut self, offer: &Offer) -> Option<(i64, Candidate)> {
        let (stream, job) = match offer {
            Offer::Job(index) => (*index, self.streams.get_mut(*index)?.jobs.pop_front()?),
            Offer::Aged => self.old.as_mut()?.pop_front().map(|deep| (deep.stream, deep.job))?,
            _ => return None,
        };
        self.gone.insert(job.seq);
        Some((self.streams.get(stream)?.lane, job))
    }
}

/// A job that is given out.
#[derive(Debug)]
pub(super) struct Taken {
    pub job: Candidate,
    pub turn: usize,
    pub lane: i64,
    /// Half-open gates that it went through.
    pub probes: Vec<String>,
}

/// A job that a gate holds back.
#[derive(Debug)]
pub(super) struct Parked {
    pub seq: i64,
    pub sort: i64,
    pub turn: usize,
    pub from: i64,
    pub gate: String,
}

/// What a tenant has to offer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Offer {
    /// The job at the head of this stream.
    Job(usize),
    /// The oldest job, which is at the head of none.
    Aged,
    /// Read more first.
    Unread,
    /// Read the oldest jobs first.
    UnreadOld,
    Nothing,
}

/// One claim's rounds.
#[derive(Debug, Default)]
pub(super) struct Share {
    pub gates: Gates,
    pub turns: Vec<Turn>,
    pub taken: Vec<Taken>,
    pub parked: Vec<Parked>,
    /// The turn of the tenant served last, before it was.
    pub last: f64,
    /// Of so many jobs of a tenant one is the oldest.
    pub ageing: u32,
}

impl Share {
    /// What `turn` has to offer now. Steps over jobs that are held back.
    pub(super) fn offer(&mut self, turn: usize) -> Offer {
        let Self { gates, turns, parked, ageing, .. } = self;
        let Some(whose) = turns.get_mut(turn).filter(|whose| whose.done.is_none()) else { return Offer::Nothing };
        loop {
            whose.close_streams(gates);
            whose.drop_gone();
            if whose.streams.iter().any(Stream::wants_more) {
                return Offer::Unread;
            }
            let by_age = aged_of(whose.aged + whose.taken, 1, *ageing) == 1;
            if by_age && whose.old.is_none() {
                return Offer::UnreadOld;
            }
            let Some(offer) = whose.first(by_age) else {
                // With lanes left unread nothing is known of what is in them.
                whose.done = Some(if whose.has_more_lanes { 0 } else { super::gate::NEVER });
                return Offer::Nothing;
            };
            let Some(gate) = whose.peek(&offer).and_then(|job| held_at(job, gates)) else { return offer };
            if let Some((lane, job)) = whose.pop(&offer) {
                parked.push(Parked { seq: job.seq, sort: job.sort, turn, from: lane, gate });
            }
        }
    }

    /// Gives out the job that was offered.
    pub(super) fn give(&mut self, turn: usize, offer: &Offer) {
        let Some(whose) = self.turns.get_mut(turn) else { return };
        let Some((lane, job)) = whose.pop(offer) else { return };
        self.last = whose.at + f64::from(whose.taken) / f64::from(whose.weight);
        whose.taken += 1;
        let tenant = whose.subject();
        let mut probes = Vec::new();
        for subject in subjects_of(&job).chain(tenant.clone()).chain(["queue".to_owned()]) {
            if let Some(gate) = self.gates.get_mut(&subject) {
                gate.pass();
                if gate.probes {
                    probes.push(subject);
                }
            }
        }
        if let Some(tenant) = tenant
            && self.gates.room(&tenant, false) == 0
        {
            whose.done = Some(self.gates.again(&tenant));
        }
        self.taken.push(Taken { job, turn, lane, probes });
    }

    /// A tenant that may not have anything is done before it begins.
    pub(super) fn close_tenants(&mut self) {
        for turn in &mut self.turns {
            if let Some(subject) = turn.subject()
                && let Some(gate) = self.gates.get(&subject)
            {
                turn.weight = gate.rule.limits.weight.unwrap_or(1);
                if gate.room(false) == 0 {
                    turn.done = Some(gate.again());
                }
            }
        }
    }

    /// The subjects of all jobs that were read.
    pub(super) fn subjects(&self) -> BTreeSet<String> {
        let streams = self.turns.iter().flat_map(|turn| &turn.streams);
        let old = self.turns.iter().flat_map(|turn| &turn.old).flatten().map(|deep| &deep.job);
        streams.flat_map(|stream| &stream.jobs).chain(old).flat_map(subjects_of).collect()
    }

    /// The streams that have to be read on.
    pub(super) fn unread(&mut self) -> Vec<&mut Stream> {
        let turns = self.turns.iter_mut().filter(|turn| turn.done.is_none());
        turns.flat_map(|turn| &mut turn.streams).filter(|stream| stream.wants_more()).collect()
    }
}

fn subjects_of(job: &Candidate) -> impl Iterator<Item = String> {
    let kind = job.kind.as_ref().map(|kind| format!("kind:{kind}"));
    kind.into_iter().chain(job.key.as_ref().map(|key| format!("key:{key}")))
}

/// The gate that holds a job back.
fn held_at(job: &Candidate, gates: &Gates) -> Option<String> {
    let holds = job.slot != 0;
    let closed = subjects_of(job).find(|subject| gates.room(subject, holds) == 0)?;
    Some(if holds { own_gate(&closed) } else { closed })
}
