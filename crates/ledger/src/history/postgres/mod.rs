//! The history in PostgreSQL.

pub(super) mod failures;
mod kinds;
mod months;
pub(super) mod prune;
pub(super) mod read;
pub(super) mod search;
mod terms;
pub(super) mod write;

pub(crate) use self::months::Months;

/// A job's columns in the order of [`super::stored::job`].
const JOB: &str = "(extract(epoch FROM enqueued_at) * 1000)::bigint, key, queue, id, kind, tenant, state, reason,
    attempt::bigint, failed::bigint, lost::bigint, (extract(epoch FROM since) * 1000)::bigint,
    (extract(epoch FROM started_at) * 1000)::bigint, (extract(epoch FROM due_at) * 1000)::bigint,
    (extract(epoch FROM gone_at) * 1000)::bigint, worker, array_to_json(tags)::text, args, result, more";
