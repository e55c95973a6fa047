//! The gauges of queues and workers, with every name and help text on this one screen. Made anew from each snapshot, so
//! that what is gone leaves nothing behind. While the broker is away there is only `lovage_broker_up 0`: a number that
//! is not known is not shown.

use std::collections::BTreeMap;

use lovage_core::{QueueName, State, WorkerState};
use prometheus::core::Collector as _;
use prometheus::proto::MetricFamily;
use prometheus::{GaugeVec, IntGauge, IntGaugeVec, Opts};

use crate::snapshot::Seen;

const UP: (&str, &str) = ("lovage_broker_up", "Whether the broker answered the last look, 1 or 0.");
const JOBS: (&str, &str) =
    ("lovage_queue_jobs", "Jobs by state: available, scheduled, running, retryable, discarded (and kept).");
const OLDEST: (&str, &str) =
    ("lovage_queue_oldest_available_seconds", "How long the oldest available job has been waiting; 0 without one.");
const PAUSED: (&str, &str) = ("lovage_queue_paused", "Whether the whole queue is paused, 1 or 0.");
const CAPACITY: (&str, &str) = (
    "lovage_queue_capacity_slots",
    "Slots of the workers that claim from the queue; what they use for their other queues is not free for this one.",
);
const WORKERS: (&str, &str) =
    ("lovage_workers", "Workers heard of within the last minute, by release and state: running, quiet, stopping.");
const HIDDEN: (&str, &str) = ("lovage_queues_hidden", "Queues beyond the 500 that are shown.");

/// Names of queues come from whoever enqueues: beyond so many there are no labels any more.
const MOST_QUEUES: usize = 500;
/// The same for what workers say of their release.
const MOST_VERSIONS: usize = 20;
const OTHER: &str = "other";

const STATES: [State; 5] = [State::Available, State::Scheduled, State::Running, State::Retryable, State::Discarded];

/// The families of what was seen; of nothing while the broker is away.
pub(crate) fn families(seen: Option<&Seen>) -> Vec<MetricFamily> {
    // The names are constants that a test has seen: what cannot be built is left out rather than panicked about.
    build(seen).unwrap_or_else(|error| {
        tracing::error!(error.message = %error, "the gauges of the queues cannot be built");
        Vec::new()
    })
}

fn build(seen: Option<&Seen>) -> prometheus::Result<Vec<MetricFamily>> {
    let up = IntGauge::new(UP.0, UP.1)?;
    up.set(i64::from(seen.is_some()));
    let Some(seen) = seen else { return Ok(up.collect()) };
    let gauge = |(name, help): (&str, &str), labels: &[&str]| IntGaugeVec::new(Opts::new(name, help), labels);
    let jobs = gauge(JOBS, &["queue", "state"])?;
    let oldest = GaugeVec::new(Opts::new(OLDEST.0, OLDEST.1), &["queue"])?;
    let paused = gauge(PAUSED, &["queue"])?;
    let capacity = gauge(CAPACITY, &["queue"])?;
    let hidden = IntGauge::new(HIDDEN.0, HIDDEN.1)?;
    hidden.set(seen.queues.len().saturating_sub(MOST_QUEUES) as i64);
    for queue in seen.queues.iter().take(MOST_QUEUES) {
        let name = queue.name.as_str();
        for state in STATES {
            jobs.with_label_values(&[name, &state.to_string()]).set(queue.counts.of(state) as i64);
        }
        oldest.with_label_values(&[name]).set(queue.oldest_available_ms.unwrap_or(0) as f64 / 1_000.0);
        paused.with_label_values(&[name]).set(i64::from(queue.paused.is_some()));
        capacity.with_label_values(&[name]).set(slots(&queue.name, seen) as i64);
    }
    let workers = gauge(WORKERS, &["version", "state"])?;
    for ((version, state), count) in count_workers(seen) {
        workers.with_label_values(&[version, state]).set(count);
    }
    let parts = [up.collect(), hidden.collect(), jobs.collect(), oldest.collect(), paused.collect()];
    let all = parts.into_iter().chain([capacity.collect(), workers.collect()]).flatten();
    // A family without a row spoils the whole page.
    Ok(all.filter(|family| !family.get_metric().is_empty()).collect())
}

/// Slots of the workers that claim from a queue.
pub(crate) fn slots(queue: &QueueName, seen: &Seen) -> u64 {
    let claiming = seen.workers.iter().filter(|worker| worker.state == WorkerState::Running);
    claiming.filter(|worker| worker.queues.contains_key(queue)).map(|worker| u64::from(worker.slots)).sum()
}

fn count_workers(seen: &Seen) -> BTreeMap<(&str, &'static str), i64> {
    let mut versions: Vec<&str> = Vec::new();
    let mut counts = BTreeMap::new();
    for worker in &seen.workers {
        let mut version = worker.version.as_str();
        if !versions.contains(&version) {
            if versions.len() < MOST_VERSIONS { versions.push(version) } else { version = OTHER }
        }
        let state = match worker.state {
            WorkerState::Running => "running",
            WorkerState::Quiet => "quiet",
            WorkerState::Stopping => "stopping",
        };
        *counts.entry((version, state)).or_default() += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use lovage_core::{Counts, QueueView};
    use prometheus::TextEncoder;

    use super::*;

    fn page(seen: Option<&Seen>) -> String {
        TextEncoder::new().encode_to_string(&build(seen).unwrap()).unwrap()
    }

    fn queue(name: &str) -> QueueView {
        let counts = Counts { available: 3, running: 2, completed: 9, ..Counts::default() };
        QueueView {
            name: name.parse().unwrap(),
            counts,
            oldest_available_ms: Some(1_500),
            paused: None,
            flow: Vec::new(),
        }
    }

    #[test]
    fn what_is_seen_is_shown_in_base_units() {
        let page = page(Some(&Seen { queues: vec![queue("mail")], workers: Vec::new() }));
        for line in [
            "lovage_broker_up 1",
            r#"lovage_queue_jobs{queue="mail",state="available"} 3"#,
            r#"lovage_queue_jobs{queue="mail",state="discarded"} 0"#,
            r#"lovage_queue_oldest_available_seconds{queue="mail"} 1.5"#,
            r#"lovage_queue_paused{queue="mail"} 0"#,
            r#"lovage_queue_capacity_slots{queue="mail"} 0"#,
            "lovage_queues_hidden 0",
        ] {
            assert!(page.lines().any(|found| found == line), "{line} is missing: {page}");
        }
        assert!(!page.contains("completed"), "kept jobs are bounded by retention, not by load");
    }

    #[test]
    fn without_the_broker_no_old_number_is_shown() {
        let page = page(None);
        assert!(page.contains("lovage_broker_up 0") && !page.contains("queue"), "{page}");
    }

    #[test]
    fn names_that_others_choose_do_not_grow_the_page_without_end() {
        let queues = (0..MOST_QUEUES + 7).map(|n| queue(&format!("q{n}"))).collect();
        let page = page(Some(&Seen { queues, workers: Vec::new() }));
        assert_eq!(page.lines().filter(|line| line.starts_with("lovage_queue_paused{")).count(), MOST_QUEUES);
        assert!(page.contains("lovage_queues_hidden 7"), "{page}");
    }
}
