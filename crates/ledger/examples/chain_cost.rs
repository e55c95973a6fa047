//! What a chain costs: rows a second of `append`, by one writer and by four, into one trail and into four, beside the same
//! rows inserted without lock, hash and batch. ADR 015 has the numbers.
//!
//!     cargo run --release -p lovage-ledger --example chain_cost -- postgres://postgres@127.0.0.1/scratch 200000
//!
//! The database is one to throw away: its ledger is emptied before each line. Each line stands for `ROWS` rows (200,000 when
//! absent) in commits of 1,000, shared among the writers.

#![expect(clippy::print_stdout, reason = "a tool for a terminal speaks on standard output")]

use std::error::Error;
use std::time::Duration;

use lovage_core::audit::AuditEvent;
use lovage_ledger::{Ledger, LedgerAddress, migrate};
use sqlx::postgres::{PgPool, PgPoolOptions};
use sqlx::types::Uuid;

type Failed = Box<dyn Error + Send + Sync>;

/// Rows of one commit.
const BATCH: u64 = 1_000;
/// How often each line is measured; odd, so that there is a middle.
const RUNS: usize = 3;

/// The statement of `append` with neither lock nor chain before it nor batch behind it. Numbers are the caller's.
const BARE: &str = "INSERT INTO lovage.audit_events (tenant, seq, hash, id, time, actor, action, target, ip, user_agent,
         request_id, before, after, metadata)
     SELECT tenant, seq, hash, id, to_timestamp(time / 1000.0::float8), actor, action, target, ip, user_agent,
         request_id, before::json, after::json, metadata::json
     FROM unnest($1::text[], $2::bigint[], $3::bytea[], $4::uuid[], $5::bigint[], $6::text[], $7::text[], $8::text[],
         $9::text[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[])
         AS new (tenant, seq, hash, id, time, actor, action, target, ip, user_agent, request_id, before, after, metadata)";
/// The same, leaving out what is there already.
const CAREFUL: &str = " ON CONFLICT (tenant, id) DO NOTHING";

/// What writes a batch.
#[derive(Clone, Copy)]
enum Way {
    Append,
    Bare,
    BareOnConflict,
}

#[tokio::main]
async fn main() -> Result<(), Failed> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().ok_or("name a PostgreSQL database to throw away, e.g. postgres://USER@HOST/scratch")?;
    let rows: u64 = arguments.next().map_or(Ok(200_000), |text| text.parse())?;
    let address: LedgerAddress = url.parse()?;
    migrate(&address).await?;
    let ledger = Ledger::open(&address).await?;
    let pool = PgPoolOptions::new().max_connections(8).connect(&url).await?;
    let shapes =
        [("append", Way::Append), ("INSERT, ON CONFLICT DO NOTHING", Way::BareOnConflict), ("INSERT", Way::Bare)];
    println!("rows a second, commits of {BATCH}, middle of {RUNS} interleaved runs of {rows} rows");
    let mut rates = vec![Vec::new(); shapes.len() * 3];
    for _ in 0..RUNS {
        for (at, (writers, tenants)) in [(1, 1), (4, 1), (4, 4)].into_iter().enumerate() {
            for (column, (_, way)) in shapes.into_iter().enumerate() {
                let took = measure(&ledger, &pool, way, rows, (writers, tenants)).await?;
                rates[at * shapes.len() + column].push(rows as f64 / took.as_secs_f64());
            }
        }
    }
    for (at, name) in ["1 writer, 1 trail", "4 writers, 1 trail", "4 writers, 4 trails"].into_iter().enumerate() {
        for (column, (way, _)) in shapes.into_iter().enumerate() {
            let rates = &mut rates[at * shapes.len() + column];
            rates.sort_by(f64::total_cmp);
            println!("{name:<20} {way:<32} {:>8.0}  ({:.0} to {:.0})", rates[RUNS / 2], rates[0], rates[RUNS - 1]);
        }
    }
    Ok(())
}

/// How long it takes `writers` to write `rows` into an empty ledger, writer `w` into trail `w % tenants`.
#[expect(clippy::disallowed_methods, reason = "measuring time is what this is for")]
async fn measure(
    ledger: &Ledger,
    pool: &PgPool,
    way: Way,
    rows: u64,
    (writers, tenants): (u64, u64),
) -> Result<Duration, Failed> {
    sqlx::query("TRUNCATE lovage.audit_events, lovage.audit_batches, lovage.audit_chains").execute(pool).await?;
    sqlx::query("CHECKPOINT").execute(pool).await?;
    let each = rows / writers;
    let batches: Vec<Vec<Vec<AuditEvent>>> = (0..writers)
        .map(|writer| {
            let tenant = format!("tenant-{}", writer % tenants);
            let starts = (writer * each..(writer + 1) * each).step_by(BATCH as usize);
            starts.map(|first| (first..first + BATCH).map(|n| event(n, &tenant)).collect()).collect()
        })
        .collect();
    let began = std::time::Instant::now();
    let tasks: Vec<_> = batches
        .into_iter()
        .zip(0..)
        .map(|(batches, writer)| {
            let (ledger, pool) = (ledger.clone(), pool.clone());
            tokio::spawn(async move {
                for (batch, number) in batches.iter().zip(0..) {
                    match way {
                        Way::Append => drop(ledger.append(batch).await?),
                        Way::Bare => insert(&pool, BARE.to_owned(), batch, writer * each + number * BATCH).await?,
                        Way::BareOnConflict => {
                            insert(&pool, format!("{BARE}{CAREFUL}"), batch, writer * each + number * BATCH).await?;
                        }
                    }
                }
                Ok::<_, Failed>(())
            })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    Ok(began.elapsed())
}

async fn insert(pool: &PgPool, sql: String, events: &[AuditEvent], first: u64) -> Result<(), Failed> {
    fn all<'a, T>(events: &'a [AuditEvent], of: impl Fn(&'a AuditEvent) -> T) -> Vec<T> {
        events.iter().map(of).collect()
    }
    let hash = [7_u8; 32];
    sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(all(events, |event| event.tenant.as_str()))
        .bind((first..).take(events.len()).map(|seq| seq as i64 + 1).collect::<Vec<_>>())
        .bind(vec![hash.as_slice(); events.len()])
        .bind(all(events, |event| event.id))
        .bind(all(events, |event| event.time_ms))
        .bind(all(events, |event| event.actor.as_str()))
        .bind(all(events, |event| event.action.as_str()))
        .bind(all(events, |event| event.target.as_deref()))
        .bind(all(events, |event| event.ip.as_deref()))
        .bind(all(events, |event| event.user_agent.as_deref()))
        .bind(all(events, |event| event.request_id.as_deref()))
        .bind(all(events, |event| event.before.as_deref()))
        .bind(all(events, |event| event.after.as_deref()))
        .bind(all(events, |event| event.metadata.as_deref()))
        .execute(pool)
        .await?;
    Ok(())
}

/// An event of about 300 bytes of JSON, its id of version 7 with `n` for the time.
fn event(n: u64, tenant: &str) -> AuditEvent {
    let time_ms = 1_767_225_600_000 + n as i64;
    let scattered = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    AuditEvent {
        id: Uuid::from_u128((time_ms as u128) << 80 | 7 << 76 | 2 << 62 | u128::from(scattered >> 2)),
        time_ms,
        tenant: tenant.to_owned(),
        actor: format!("user:{}", scattered % 9_973),
        action: "order.refund".to_owned(),
        target: Some(format!("order:{}", scattered % 899_981)),
        ip: Some("203.0.113.7".to_owned()),
        user_agent: None,
        request_id: Some(format!("req-{n:08x}")),
        before: Some(r#"{"total":1250.00,"status":"paid"}"#.to_owned()),
        after: Some(r#"{"total":0,"status":"refunded","city":"上海"}"#.to_owned()),
        metadata: None,
    }
}
