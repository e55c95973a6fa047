//! How many slots a queue could use now: the number by which workers are scaled. Pure.

use lovage_core::{Counts, QueueName, QueueView, Subject};
use serde::Serialize;

use crate::gauges::slots;
use crate::snapshot::Seen;

/// The answer of `/api/v1/scaling/{queue}`.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Signal {
    queue: QueueName,
    /// Jobs that could run now: those that run, and those that may start.
    desired_slots: u64,
    available: u64,
    running: u64,
    /// Due later; they are not part of `desired_slots`.
    scheduled: u64,
    retryable: u64,
    /// Nothing without an available job.
    oldest_available_ms: Option<u64>,
    paused: bool,
    /// Slots of the workers that claim from the queue now.
    capacity_slots: u64,
}

/// The signal of a queue; one that nobody has used yet wants nothing.
pub(crate) fn signal(name: &QueueName, seen: &Seen) -> Signal {
    let found = seen.queues.iter().find(|queue| queue.name == *name);
    let counts = found.map_or(Counts::default(), |queue| queue.counts);
    Signal {
        queue: name.clone(),
        desired_slots: found.map_or(0, desired),
        available: counts.available,
        running: counts.running,
        scheduled: counts.scheduled,
        retryable: counts.retryable,
        oldest_available_ms: found.and_then(|queue| queue.oldest_available_ms),
        paused: found.is_some_and(|queue| queue.paused.is_some()),
        capacity_slots: slots(name, seen),
    }
}

/// Running jobs always count: whoever scales in by this number takes no slot away that is in use. Available ones count
/// as far as the queue lets them start: not while it is paused, and not beyond its limit of concurrency.
fn desired(queue: &QueueView) -> u64 {
    let Counts { available, running, .. } = queue.counts;
    if queue.paused.is_some() {
        return running;
    }
    let whole = queue.flow.iter().find(|flow| flow.subject == Subject::Queue);
    let most = whole.and_then(|flow| flow.limits.concurrency).map_or(u64::MAX, u64::from);
    running.max(running.saturating_add(available).min(most))
}

#[cfg(test)]
mod tests {
    use lovage_core::{FlowView, Limits, Pause, Timestamp};

    use super::*;

    fn queue(available: u64, running: u64) -> QueueView {
        QueueView {
            name: "mail".parse().unwrap(),
            counts: Counts { available, running, scheduled: 50, retryable: 50, discarded: 50, ..Counts::default() },
            oldest_available_ms: None,
            paused: None,
            flow: Vec::new(),
        }
    }

    #[test]
    fn what_runs_and_what_may_start_is_wanted_and_nothing_else() {
        assert_eq!(desired(&queue(0, 0)), 0);
        assert_eq!(desired(&queue(7, 0)), 7);
        assert_eq!(desired(&queue(7, 4)), 11);
        assert_eq!(desired(&queue(0, 4)), 4, "the last jobs keep their slots");
    }

    #[test]
    fn a_paused_queue_wants_only_what_runs() {
        let mut queue = queue(7, 4);
        queue.paused = Some(Pause { by: "ops".into(), why: "x".into(), since: Timestamp::default(), until: None });
        assert_eq!(desired(&queue), 4);
    }

    #[test]
    fn slots_that_a_limit_would_leave_idle_are_not_wanted() {
        let mut queue = queue(100, 4);
        let limited = |most| FlowView {
            subject: Subject::Queue,
            limits: Limits { concurrency: Some(most), ..Limits::default() },
            paused: None,
            breaker: None,
            used: None,
            waiting: None,
        };
        queue.flow = vec![limited(10)];
        assert_eq!(desired(&queue), 10);
        queue.flow = vec![limited(2)];
        assert_eq!(desired(&queue), 4, "a limit that was lowered takes no slot from a running job");
    }

    #[test]
    fn a_queue_that_nobody_used_yet_wants_nothing() {
        let signal = signal(&"new".parse().unwrap(), &Seen::default());
        assert_eq!((signal.desired_slots, signal.capacity_slots), (0, 0));
    }
}
