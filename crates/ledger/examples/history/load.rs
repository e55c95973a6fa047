//! Writing the jobs as the recorder does: queue by queue, in pages, a few queues at a time.

use std::collections::HashMap;

use lovage_core::QueueName;
use lovage_core::history::JobRecord;
use lovage_ledger::{Ledger, Page};
use sqlx::postgres::PgPool;
use tokio::sync::mpsc::{Receiver, channel};
use tokio::time::Instant;

use crate::jobs::{Jobs, QUEUES};

type Failed = Box<dyn std::error::Error + Send + Sync>;

/// Jobs of one commit, as in a page of the recorder.
const PAGE: usize = 2_000;

/// Writes `count` jobs; answers jobs a second.
pub async fn load(ledger: &Ledger, count: u64) -> Result<f64, Failed> {
    let jobs = Jobs::new(count)?;
    let term = ledger.begin_term().await?;
    let began = Instant::now();
    let mut queues = HashMap::new();
    let mut writers = tokio::task::JoinSet::new();
    for name in QUEUES {
        let queue: QueueName = name.parse()?;
        let (sender, pages) = channel(1);
        queues.insert(queue.clone(), (sender, Vec::with_capacity(PAGE)));
        writers.spawn(write(ledger.clone(), queue, term, pages));
    }
    for number in 0..count {
        let record = jobs.job(number)?;
        let (sender, page) = queues.get_mut(&record.job.queue).ok_or("a job of another queue")?;
        page.push(record);
        if page.len() == PAGE {
            sender.send(std::mem::replace(page, Vec::with_capacity(PAGE))).await?;
        }
        if number > 0 && number % 1_000_000 == 0 {
            println!("{number} jobs, {:.0} s", began.elapsed().as_secs_f64());
        }
    }
    for (_, (sender, page)) in queues {
        sender.send(page).await?;
    }
    while let Some(written) = writers.join_next().await {
        written??;
    }
    Ok(count as f64 / began.elapsed().as_secs_f64())
}

async fn write(ledger: Ledger, queue: QueueName, term: u64, mut pages: Receiver<Vec<JobRecord>>) -> Result<(), Failed> {
    while let Some(jobs) = pages.recv().await {
        ledger.record(&Page { queue: &queue, term, position: None, jobs: &jobs }).await?;
    }
    Ok(())
}

/// Does what the server's own housekeeping has done in a production of a year: months that are over are vacuumed, all are
/// analyzed. The divided tables themselves are not, for autovacuum passes them over.
pub async fn keep_house(pool: &PgPool) -> Result<f64, Failed> {
    let began = Instant::now();
    let sql = "SELECT inhrelid::regclass::text FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
               WHERE relname ~ '^job.*_\\d{4}_\\d\\d$' AND relkind = 'r' ORDER BY right(relname, 7), relname";
    let tables: Vec<String> = sqlx::query_scalar(sql).fetch_all(pool).await?;
    let newest: String = tables.last().map(|name| name[name.len() - 7..].to_owned()).unwrap_or_default();
    for table in tables {
        let verb = if table.ends_with(&newest) { "ANALYZE" } else { "VACUUM (ANALYZE)" };
        sqlx::query(sqlx::AssertSqlSafe(format!("{verb} {table}"))).execute(pool).await?;
    }
    Ok(began.elapsed().as_secs_f64())
}
