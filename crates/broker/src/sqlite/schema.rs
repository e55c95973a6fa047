//! Opens the file: creates it or checks that it is ours, and sets every connection up. Runs once, before anything else
//! of the embedded broker.

use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{ConnectOptions, Connection as _, Row as _};
use tokio::time::Instant;

use super::SqliteConfig;
use super::fault::{Fault, is_busy, is_damaged};
use crate::error::BrokerError;

/// The version of `schema.sql`.
const VERSION: i64 = 4;
/// `application_id` of our files: "Lova" in ASCII.
const APPLICATION: i64 = 0x4c6f_7661;
/// SQLite's default.
const PAGE_BYTES: u64 = 4096;
/// How long to wait for another process that holds the lock.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks at a lock. SQLite's own handler sleeps up to 100 ms a turn, which starves whoever competes with a
/// busy writer.
pub(super) const BETWEEN_TRIES: Duration = Duration::from_millis(1);
/// Connections that read at the same time.
const READERS: u32 = 4;

fn options(config: &SqliteConfig) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(&config.path)
        .foreign_keys(false)
        .command_buffer_size(64)
        .row_buffer_size(1_024)
        .thread_name(|id| format!("lovage-sqlite-{id}"))
        .disable_statement_logging()
}

/// The one connection that writes, on a file that is there and ours.
pub(super) async fn open_writer(config: &SqliteConfig) -> Result<SqliteConnection, BrokerError> {
    create_file(&config.path)?;
    let synchronous = if config.synchronous_full { SqliteSynchronous::Full } else { SqliteSynchronous::Normal };
    let mut options = options(config)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(synchronous)
        .busy_timeout(BETWEEN_TRIES)
        // Checkpoints of 16 MiB: a quarter of the fsyncs of the default, and the log stays small.
        .pragma("wal_autocheckpoint", "4000")
        .pragma("journal_size_limit", "67108864")
        // SQLite walks the table of cached pages at most commits (a rebalanced tree leaves a high page number behind),
        // so a larger cache makes every commit slower.
        .pragma("cache_size", "-16384")
        .pragma("temp_store", "MEMORY");
    if let Some(bytes) = config.max_bytes {
        options = options.pragma("max_page_count", (bytes / PAGE_BYTES).max(1).to_string());
    }
    let give_up = Instant::now() + PATIENCE;
    loop {
        // Two processes that open a new file at once meet at the switch to WAL and at the creation of the tables.
        match connect(&options, &config.path).await {
            Err(Fault::Store(error)) if is_busy(&error) && Instant::now() < give_up => {
                tokio::time::sleep(BETWEEN_TRIES).await;
            }
            Err(Fault::Store(error)) if is_damaged(&error) => {
                return Err(BrokerError::Misconfigured(format!(
                    "{} is not a SQLite database, or it is damaged ({error}); move it away, restore it from a backup \
                     or choose another path",
                    config.path.display()
                )));
            }
            other => return other.map_err(BrokerError::from),
        }
    }
}

/// Connections that only read; WAL lets them see a settled state while the writer works.
pub(super) fn open_readers(config: &SqliteConfig) -> SqlitePool {
    let options = options(config).read_only(true).busy_timeout(PATIENCE).pragma("cache_size", "-16384");
    SqlitePoolOptions::new().max_connections(READERS).acquire_timeout(PATIENCE).connect_lazy_with(options)
}

async fn connect(options: &SqliteConnectOptions, path: &Path) -> Result<SqliteConnection, Fault> {
    let mut conn = options.connect().await?;
    // The schema is looked at and made under the write lock: the second of two processes finds it made.
    let checked = if found(&mut conn, path).await? == VERSION { Ok(()) } else { make(&mut conn, path).await };
    if let Err(fault) = checked {
        conn.close().await.ok();
        return Err(fault);
    }
    Ok(conn)
}

async fn make(conn: &mut SqliteConnection, path: &Path) -> Result<(), Fault> {
    sqlx::query("BEGIN IMMEDIATE").execute(&mut *conn).await?;
    let made = async {
        let upgrades = [include_str!("upgrade_2.sql"), include_str!("upgrade_3.sql"), include_str!("upgrade_4.sql")];
        let steps: &[&str] = match found(conn, path).await? {
            0 => &[include_str!("schema.sql")],
            version => upgrades.get(version as usize - 1..).unwrap_or_default(),
        };
        for sql in steps {
            sqlx::raw_sql(*sql).execute(&mut *conn).await?;
        }
        sqlx::query("COMMIT").execute(&mut *conn).await?;
        Ok(())
    };
    let made = made.await;
    if made.is_err() {
        sqlx::query("ROLLBACK").execute(&mut *conn).await.ok();
    }
    made
}

/// The version of the tables that are there; 0 if there are none. An error if the file is somebody else's or a newer
/// release's.
async fn found(conn: &mut SqliteConnection, path: &Path) -> Result<i64, Fault> {
    let sql = "SELECT (SELECT user_version FROM pragma_user_version), \
               (SELECT application_id FROM pragma_application_id), (SELECT count(*) FROM sqlite_schema)";
    let row = sqlx::query(sql).fetch_one(conn).await?;
    let (version, application, tables): (i64, i64, i64) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    let path = path.display();
    if version == 0 && tables == 0 {
        Ok(0)
    } else if application != APPLICATION {
        let text =
            format!("{path} belongs to another program (its application_id is {application}); choose another path");
        Err(BrokerError::Misconfigured(text).into())
    } else if version > VERSION {
        let text = format!(
            "{path} has file version {version}; this release reads up to {VERSION}: start the newer release again, or \
             choose another path"
        );
        Err(BrokerError::Misconfigured(text).into())
    } else {
        Ok(version)
    }
}

/// Creates the folder and an empty file that only its owner may read: arguments of jobs are nobody else's business.
/// SQLite gives its side files the same permissions.
fn create_file(path: &Path) -> Result<(), BrokerError> {
    let failed = |error: std::io::Error| {
        let text = format!("{} cannot be opened: {error}; create its folder or choose another path", path.display());
        BrokerError::Unavailable(text)
    };
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    if path.exists() {
        return Ok(());
    }
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map_err(failed)?;
    Ok(())
}
