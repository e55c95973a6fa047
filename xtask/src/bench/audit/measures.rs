//! Everything that the table of the audit trail can show, in its order, with the targets that the project has set itself.

use crate::bench::samples::{Measure, Target};

pub const CELERY: &str = "Celery prefork 2, a row a task";
pub const COPY: &str = "psycopg COPY";
pub const ROWS: &str = "psycopg, a commit a row";

pub const QUEUE: &str = "through the queue, events/s from enqueue to commit";
pub const QUEUE_PEAK: &str = "through the queue, peak MiB of the worker";
pub const QUEUE_WORKER: &str = "through the queue, worker CPU s per 10,000 events";
pub const QUEUE_POSTGRES: &str = "through the queue, PostgreSQL CPU s per 10,000 events";
pub const QUEUE_REDIS: &str = "through the queue, Redis CPU s per 10,000 events";
pub const QUEUE_COMMITS: &str = "through the queue, events a commit";
pub const IMPORT: &str = "from a file, events/s committed";
pub const BARE: &str = "rows that lie ready in memory, rows/s committed";
pub const IMPORT_PEAK: &str = "from a file, peak MiB";
pub const IMPORT_CPU: &str = "from a file, CPU s per 10,000 events";
pub const IMPORT_POSTGRES: &str = "from a file, PostgreSQL CPU s per 10,000 events";
pub const VERIFY: &str = "verify, events/s";
pub const VERIFY_PEAK: &str = "verify, peak MiB";
pub const VERIFY_CPU: &str = "verify, CPU s per 10,000 events";
pub const VERIFY_POSTGRES: &str = "verify, PostgreSQL CPU s per 10,000 events";

const fn more(name: &'static str, targets: &'static [Target]) -> Measure {
    Measure { name, more: true, targets }
}

const fn less(name: &'static str) -> Measure {
    Measure { name, more: false, targets: &[] }
}

/// The rows of the table.
pub const MEASURES: &[Measure] = &[
    more(QUEUE, &[Target::Times(CELERY, 25.0)]),
    less(QUEUE_PEAK),
    less(QUEUE_WORKER),
    less(QUEUE_POSTGRES),
    less(QUEUE_REDIS),
    more(QUEUE_COMMITS, &[]),
    more(IMPORT, &[Target::Times(COPY, 0.6), Target::TimesOf(BARE, COPY, 0.6)]),
    more(BARE, &[]),
    less(IMPORT_PEAK),
    less(IMPORT_CPU),
    less(IMPORT_POSTGRES),
    // A million in ten seconds.
    more(VERIFY, &[Target::AtLeast(100_000.0)]),
    less(VERIFY_PEAK),
    less(VERIFY_CPU),
    less(VERIFY_POSTGRES),
];
