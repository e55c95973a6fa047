//! Every bound on what a caller may send, in one place. The reference documentation is generated from here.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::flow::Rate;

/// Largest arguments of a job in bytes of JSON text, by default (`LOVAGE_MAX_PAYLOAD_BYTES`).
pub const MAX_PAYLOAD_BYTES: usize = 64 * 1024;
/// Largest small result that a job may return inline, in bytes of JSON text.
pub const MAX_RESULT_BYTES: usize = 64 * 1024;
/// Most jobs in one enqueue call.
pub const MAX_BATCH: usize = 10_000;
/// Bytes of all arguments in one enqueue call: what a broker takes in well within its patience for an answer.
pub const MAX_BATCH_BYTES: usize = 32 * 1024 * 1024;
/// Longest name of a queue.
pub const MAX_QUEUE_CHARS: usize = 64;
/// Longest name of a kind, a tenant or a worker.
pub const MAX_NAME_CHARS: usize = 128;
/// Longest id that a client may choose.
pub const MAX_ID_CHARS: usize = 128;
/// Most tags on a job, each at most [`MAX_TAG_CHARS`] long.
pub const MAX_TAGS: usize = 16;
/// Longest tag.
pub const MAX_TAG_CHARS: usize = 64;
/// Most entries of a job's metadata; key and value together at most [`MAX_METADATA_BYTES`].
pub const MAX_METADATA_ENTRIES: usize = 32;
/// Bytes of all metadata keys and values together.
pub const MAX_METADATA_BYTES: usize = 4 * 1024;
/// Longest unique key as the caller writes it (it is stored as a digest).
pub const MAX_UNIQUE_KEY_BYTES: usize = 1024;
/// Longest lock of a unique key.
pub const MAX_UNIQUE_TTL: Duration = Duration::from_hours(24 * 30);
/// Most attempts that a policy may allow.
pub const MAX_ATTEMPTS: u32 = 1_000;
/// Longest text of an error that is kept with an attempt, in bytes; the rest is cut with a mark.
pub const MAX_ERROR_BYTES: usize = 4 * 1024;
/// Scalars of a job's arguments by which it is found in the history, the first in the order of the text.
pub const MAX_SEARCHED_ARGUMENTS: usize = 64;
/// Log lines kept per job; older ones are dropped.
pub const MAX_LOG_LINES: usize = 500;
/// Longest log line in bytes; the rest is cut with a mark.
pub const MAX_LOG_LINE_BYTES: usize = 2 * 1024;
/// Furthest future of `run_at` and `expires_at`: 100 years.
pub const MAX_HORIZON: Duration = Duration::from_hours(24 * 365 * 100);
/// Times that a worker may die with a job before the job is discarded as `worker_lost`.
pub const MAX_LOST: u32 = 3;
/// So that no priority starves, each 16th job that a tenant (or those without one) has given out is the one that waits
/// longest there, whatever its priority; see `WorkerSide::claim` of the broker for the promise in full.
pub const AGEING: u32 = 16;
/// Most jobs that one claim, finish or renew call may carry.
pub const MAX_CLAIM: usize = 1_000;
/// Largest rate of a token bucket, and most tokens in it.
pub const MAX_RATE: u32 = 1_000_000;
/// Longest period of a rate.
pub const MAX_RATE_PERIOD: Duration = Duration::from_hours(24);
/// Largest weight of a tenant.
pub const MAX_WEIGHT: u32 = 100;
/// Longest time for which a circuit breaker stays open.
pub const MAX_COOLDOWN: Duration = Duration::from_hours(24);
/// Subjects of one queue that may have limits or pauses of their own.
pub const MAX_SUBJECTS: usize = 10_000;
/// Retryable jobs that become available per queue, unless it has a `retry_rate` of its own: a crowd that failed
/// together does not come back together.
pub const RETRY_RATE: Rate = Rate::per_second(1_000);
/// Bounds of what a refused enqueue is told to wait.
pub const RETRY_AFTER: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_mins(5);
/// The same while nothing is known about how fast jobs are claimed.
pub const RETRY_AFTER_UNKNOWN: Duration = Duration::from_secs(30);
/// Most jobs on a page of a list.
pub const MAX_PAGE: usize = 500;
/// Most jobs that one call looks at by their ids.
pub const MAX_LOOK: usize = 1_000;

/// Cuts `text` to at most `bytes` bytes at a character boundary and marks the cut.
pub fn cut(text: &str, bytes: usize) -> String {
    const MARK: &str = "… (cut)";
    if text.len() <= bytes {
        return text.to_owned();
    }
    let mut end = bytes.saturating_sub(MARK.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{MARK}", &text[..end])
}
