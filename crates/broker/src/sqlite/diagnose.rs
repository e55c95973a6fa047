//! What `lovage doctor` shows of the file.

use async_trait::async_trait;
use sqlx::Row as _;
use tokio::time::Instant;

use super::SqliteBroker;
use super::fault::Fault;
use super::step::Step;
use super::writer::Command;
use crate::error::BrokerError;

/// Pages up to which the file is read whole to look for damage: 256 MiB take about a second.
const CHECKED_PAGES: i64 = 65_536;
/// A commit slower than this bounds everything: the disk or somebody else's lock is slow.
const SLOW_COMMIT_MS: u128 = 100;

/// Writes something and takes it back: proves that the file can be written to.
#[derive(Debug)]
struct Touch;

#[async_trait]
impl Command for Touch {
    type Answer = ();

    async fn run(&self, step: &mut Step<'_>) -> Result<(), Fault> {
        for sql in [
            "INSERT INTO leader (name, holder, term, until) VALUES (' doctor', '', 0, 0) ON CONFLICT DO NOTHING",
            "DELETE FROM leader WHERE name = ' doctor'",
        ] {
            sqlx::query(sql).execute(&mut *step.conn).await?;
        }
        Ok(())
    }
}

pub(super) async fn diagnose(broker: &SqliteBroker) -> Result<Vec<(String, String, bool)>, Fault> {
    let mut findings = Vec::new();
    let mut add = |name: &str, finding: String, is_fine: bool| findings.push((name.to_owned(), finding, is_fine));
    let sql = "SELECT sqlite_version(), (SELECT journal_mode FROM pragma_journal_mode), \
               (SELECT page_count FROM pragma_page_count), (SELECT page_size FROM pragma_page_size), \
               (SELECT freelist_count FROM pragma_freelist_count), (SELECT user_version FROM pragma_user_version)";
    let mut conn = broker.readers.acquire().await?;
    let row = sqlx::query(sql).fetch_one(&mut *conn).await?;
    let (sqlite, journal): (String, String) = (row.try_get(0)?, row.try_get(1)?);
    let (pages, page_size, free): (i64, i64, i64) = (row.try_get(2)?, row.try_get(3)?, row.try_get(4)?);
    let version: i64 = row.try_get(5)?;
    let mib = |pages: i64| pages * page_size / (1024 * 1024);
    add("file", format!("{}, version {version}, SQLite {sqlite}", broker.config.path.display()), true);
    add("size", format!("{} MiB, {} MiB of them free for reuse", mib(pages), mib(free)), true);
    add("journal", journal.clone(), journal == "wal");
    let durable = broker.config.synchronous_full;
    let synchronous = if durable { "full: a commit survives a loss of power" } else { "normal" };
    add("synchronous", synchronous.to_owned(), true);
    if pages <= CHECKED_PAGES {
        let check = sqlx::query_scalar::<_, String>("PRAGMA quick_check(1)").fetch_one(&mut *conn).await;
        // What cannot be looked at is a finding, too, and keeps nobody from the others.
        let check = check.unwrap_or_else(|error| error.to_string());
        add("integrity", check.clone(), check == "ok");
    } else {
        add("integrity", "not checked: the file is large; run `PRAGMA quick_check` when it is idle".to_owned(), true);
    }
    drop(conn);
    let begun = Instant::now();
    match broker.writer.run(Touch).await {
        Ok(()) => {
            let took = begun.elapsed().as_millis();
            add("commit", format!("{took} ms"), took < SLOW_COMMIT_MS);
        }
        Err(BrokerError::Unavailable(why)) => add("commit", why, false),
        Err(error) => add("commit", error.to_string(), false),
    }
    Ok(findings)
}
