//! What readers see of flow control.

use lovage_core::limits::MAX_PAGE;
use lovage_core::{BreakerState, BreakerView, FlowView, Limits, QueueName, Subject, Timestamp};
use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnection, SqlitePool, SqliteRow};

use super::fault::Fault;
use super::line::read_pause;

/// A page of a queue's subjects.
pub(super) async fn flow(
    readers: &SqlitePool,
    queue: &QueueName,
    after: Option<&Subject>,
    limit: usize,
    now: Timestamp,
) -> Result<Vec<FlowView>, Fault> {
    let mut tx = readers.begin().await?;
    let key = sqlx::query_scalar("SELECT key FROM queue WHERE name = ?1").bind(queue.as_str());
    let Some(key) = key.fetch_optional(&mut *tx).await? else { return Ok(Vec::new()) };
    let after = after.map(Subject::to_string).unwrap_or_default();
    flow_views(&mut tx, key, &after, limit.min(MAX_PAGE), now).await
}

/// The subjects of a queue after one, by their texts.
pub(super) async fn flow_views(
    conn: &mut SqliteConnection,
    queue: i64,
    after: &str,
    limit: usize,
    now: Timestamp,
) -> Result<Vec<FlowView>, Fault> {
    // A queue's own pause stands in its row.
    let sql = "SELECT subject, limits, by, why, since, until, failures, open_until, \
               CASE WHEN subject = 'queue' THEN (SELECT running FROM queue WHERE key = ?1) \
               WHEN subject LIKE 'tenant:%' THEN (SELECT count(*) FROM job INDEXED BY job_tenant \
               WHERE job.queue = ?1 AND state = 2 AND tenant = substr(subject, 8)) \
               WHEN subject LIKE 'key:%' THEN (SELECT count(*) FROM job INDEXED BY job_slot WHERE job.queue = ?1 \
               AND slot = 1 AND flow_key = substr(subject, 5) AND (state = 2 OR limits ->> 'ordered')) END, \
               CASE WHEN subject = 'queue' THEN (SELECT scheduled + available + retryable FROM queue WHERE key = ?1) \
               ELSE coalesce((SELECT waiting FROM lane WHERE lane.queue = ?1 AND gate = '' \
               AND subject LIKE 'tenant:%' AND tenant = substr(subject, 8)), 0) END FROM \
               (SELECT * FROM (SELECT subject, limits, paused_by AS by, paused_why AS why, paused_since AS since, \
               paused_until AS until, failures, open_until FROM flow WHERE queue = ?1 AND subject > ?2 \
               AND subject <> 'queue' AND (limits <> '{}' OR (paused_since IS NOT NULL \
               AND (paused_until IS NULL OR paused_until > ?4))) ORDER BY subject LIMIT ?3 + 0) \
               UNION ALL SELECT 'queue', coalesce(limits, '{}') AS l, queue.paused_by, queue.paused_why, \
               queue.paused_since, queue.paused_until, coalesce(failures, 0), open_until FROM queue \
               LEFT JOIN flow ON flow.queue = ?1 AND flow.subject = 'queue' WHERE queue.key = ?1 AND 'queue' > ?2 \
               AND (l <> '{}' OR (queue.paused_since IS NOT NULL \
               AND (queue.paused_until IS NULL OR queue.paused_until > ?4))) ORDER BY subject LIMIT ?3 + 0) ORDER BY subject";
    let now_ms = now.as_millis() as i64;
    let query = sqlx::query(sql).bind(queue).bind(after).bind(limit as i64).bind(now_ms);
    let rows = query.fetch_all(conn).await?;
    rows.iter().map(|row| view(row, now)).collect()
}

fn view(row: &SqliteRow, now: Timestamp) -> Result<FlowView, Fault> {
    let text: String = row.try_get(0)?;
    let subject: Subject = text.parse()?;
    let limits: Limits = serde_json::from_str(row.try_get(1)?)?;
    let open_until: Option<i64> = row.try_get(7)?;
    let breaker = limits.breaker.map(|_| row.try_get::<u32, _>(6)).transpose()?.map(|failures| {
        let open_until = open_until.map(|until| Timestamp::from_millis(until as u64));
        let state = match open_until {
            None => BreakerState::Closed,
            Some(until) if until > now => BreakerState::Open,
            Some(_) => BreakerState::HalfOpen,
        };
        BreakerView { state, failures, until: open_until.filter(|until| *until > now) }
    });
    let number =
        |column: usize| row.try_get::<Option<i64>, _>(column).map(|count| count.map(|count| count.max(0) as u64));
    let is_tenant = matches!(subject, Subject::Tenant(_));
    let (has_slots, waits) =
        (is_tenant || matches!(subject, Subject::Queue | Subject::Key(_)), is_tenant || subject == Subject::Queue);
    Ok(FlowView {
        limits,
        paused: read_pause(row, 2)?.filter(|pause| pause.until.is_none_or(|until| until > now)),
        breaker,
        used: if has_slots { number(8)? } else { None },
        waiting: if waits { number(9)? } else { None },
        subject,
    })
}
