//! Everything that the table can show, in its order, with the targets that the project has set itself.

use super::samples::{Measure, Target};

pub const DRAIN: &str = "drain, jobs/s";
pub const DRAIN_CPU: &str = "drain, worker CPU s per 10,000 jobs";
pub const DRAIN_REDIS: &str = "drain, Redis CPU s per 10,000 jobs";
pub const DRAIN_CALLS: &str = "drain, Redis commands per 1,000 jobs, scripts' own included";
pub const DRAIN_SCRIPTS: &str = "drain, script calls per 1,000 jobs";
pub const DRAIN_MICROS: &str = "drain, µs inside scripts per job";
pub const DRAIN_50: &str = "drain with 50 slots, jobs/s";
pub const LOOPS: &str = "claim and finish without a worker, jobs/s";
pub const SQLITE: &str = "drain on SQLite, synchronous=FULL, jobs/s";
pub const BULK: &str = "bulk enqueue, jobs/s";
pub const SINGLE: &str = "single awaited enqueue, jobs/s";
pub const START_50: &str = "start at 100 jobs/s, ms, p50";
pub const START_99: &str = "start at 100 jobs/s, ms, p99";
pub const LATE_50: &str = "delayed job late, ms, p50";
pub const LATE_99: &str = "delayed job late, ms, p99";
pub const LATE_LEAST: &str = "delayed job late, ms, least (below 0: early)";
pub const WAITING: &str = "Redis bytes per waiting job";
pub const IDLE_MEMORY: &str = "idle worker, MiB";
pub const IDLE_CPU: &str = "idle worker, % of a core";
pub const IDLE_CALLS: &str = "idle worker, Redis commands a second";
pub const NETWORK: &str = "drain with 2 ms added to each round trip, jobs/s";
pub const KILLED: &str = "SIGKILL with 100 one-second jobs running: all done after s";
pub const KEPT: &str = "Redis memory after a drain and retention, % of before";
pub const LASTING: &str = "keys without time to live outside the list";
pub const BACKLOG_SMALL: &str = "drain, a twentieth as backlog, jobs/s";
pub const BACKLOG_LARGE: &str = "drain, backlog x 5, jobs/s";
pub const BACKLOG_HUGE: &str = "drain, backlog x 25, jobs/s";
pub const PROCESSES_2: &str = "drain, 2 worker processes, jobs/s";
pub const PROCESSES_4: &str = "drain, 4 worker processes, jobs/s";
pub const QUEUES_10: &str = "drain, 10 queues, jobs/s";
pub const QUEUES_100: &str = "drain, 100 queues, jobs/s";
pub const TENANTS_1: &str = "drain, 1 tenant, jobs/s";
pub const TENANTS: &str = "drain, 10,000 tenants, jobs/s";

pub const PREFORK: &str = "Celery prefork 2";
pub const SOLO: &str = "Celery 2 x solo";
pub const BULLMQ: &str = "BullMQ";
pub const APALIS: &str = "apalis-redis";

const fn more(name: &'static str, targets: &'static [Target]) -> Measure {
    Measure { name, more: true, targets }
}

const fn less(name: &'static str, targets: &'static [Target]) -> Measure {
    Measure { name, more: false, targets }
}

/// The rows of the table.
pub const MEASURES: &[Measure] = &[
    more(DRAIN, &[Target::AtLeast(100_000.0), Target::Times(BULLMQ, 4.0), Target::Times(PREFORK, 60.0)]),
    less(DRAIN_CPU, &[]),
    less(DRAIN_REDIS, &[]),
    less(DRAIN_CALLS, &[]),
    less(DRAIN_SCRIPTS, &[]),
    less(DRAIN_MICROS, &[]),
    more(DRAIN_50, &[]),
    more(LOOPS, &[]),
    more(SQLITE, &[Target::AtLeast(20_000.0)]),
    more(BULK, &[Target::AtLeast(200_000.0)]),
    more(SINGLE, &[Target::AtLeast(8_000.0), Target::Times(BULLMQ, 2.0)]),
    less(START_50, &[Target::AtMost(1.0)]),
    less(START_99, &[Target::AtMost(3.0)]),
    less(LATE_50, &[]),
    less(LATE_99, &[Target::AtMost(10.0)]),
    less(LATE_LEAST, &[Target::AtLeast(0.0)]),
    less(WAITING, &[Target::AtMost(450.0)]),
    less(IDLE_MEMORY, &[Target::AtMost(40.0)]),
    less(IDLE_CPU, &[Target::AtMost(1.0)]),
    less(IDLE_CALLS, &[]),
    more(NETWORK, &[Target::PartOf(DRAIN, 0.5)]),
    less(KILLED, &[Target::AtMost(45.0)]),
    less(KEPT, &[Target::AtMost(101.0)]),
    less(LASTING, &[Target::AtMost(0.0)]),
    more(BACKLOG_SMALL, &[Target::Near(BACKLOG_LARGE, 0.1)]),
    more(BACKLOG_LARGE, &[]),
    more(BACKLOG_HUGE, &[Target::Near(BACKLOG_LARGE, 0.1)]),
    more(PROCESSES_2, &[]),
    more(PROCESSES_4, &[]),
    more(QUEUES_10, &[]),
    more(QUEUES_100, &[]),
    more(TENANTS_1, &[]),
    more(TENANTS, &[]),
];
