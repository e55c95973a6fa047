//! Everything that the table of the recorder can show, in its order, with the targets that the project has set itself.

use crate::bench::samples::{Measure, Target};

pub const AT_10: &str = "jobs run at 10,000/s, longest lag, s";
pub const AT_20: &str = "jobs run at 20,000/s, longest lag, s";
pub const AT_20_RATE: &str = "jobs run at 20,000/s, recorded jobs/s up to the last one";
pub const AT_20_END: &str = "jobs run at 20,000/s, lag when the last one has ended, s";
pub const AT_30_RATE: &str = "jobs run at 30,000/s, recorded jobs/s up to the last one";
pub const BACKLOG: &str = "a backlog, jobs/s";
pub const BACKLOG_RECORDER: &str = "a backlog, recorder CPU s per 10,000 jobs";
pub const BACKLOG_POSTGRES: &str = "a backlog, PostgreSQL CPU s per 10,000 jobs";
pub const BACKLOG_REDIS: &str = "a backlog, Redis CPU s per 10,000 jobs";
pub const APART: &str = "a backlog in which all were enqueued before the first one ran, jobs/s";
pub const HOLD: &str = "at 5,000/s, each run 3 s after its enqueue, longest lag, s";
pub const LEDGER: &str = "the ledger alone, jobs/s of a year's history";

const fn more(name: &'static str, targets: &'static [Target]) -> Measure {
    Measure { name, more: true, targets }
}

const fn less(name: &'static str, targets: &'static [Target]) -> Measure {
    Measure { name, more: false, targets }
}

/// The rows of the table.
pub const MEASURES: &[Measure] = &[
    less(AT_10, &[]),
    // It looks again a second after it has recorded everything.
    less(AT_20, &[Target::AtMost(3.0)]),
    less(AT_20_END, &[]),
    more(AT_20_RATE, &[]),
    more(AT_30_RATE, &[]),
    more(BACKLOG, &[Target::AtLeast(20_000.0)]),
    less(BACKLOG_RECORDER, &[]),
    less(BACKLOG_POSTGRES, &[]),
    less(BACKLOG_REDIS, &[]),
    more(APART, &[]),
    less(HOLD, &[]),
    more(LEDGER, &[]),
];
