//! The sample database: orders, the same bytes of content on every machine.
//!
//! It holds what exports stumble over: integers beyond 2^53, Chinese text, decimals as text, timestamps, nulls, and
//! notes with commas, quotes and line breaks.

use std::path::{Path, PathBuf};

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, Executor as _};

use crate::error::{Failure, Outcome};

/// Rows of the table `orders` unless another number is asked for.
pub const ROWS: u32 = 100_000;
/// Kept in the file's `user_version`; grows whenever the content changes.
const VERSION: i64 = 1;

const SCHEMA: &str = "CREATE TABLE orders (
    id INTEGER PRIMARY KEY, customer TEXT NOT NULL, city TEXT NOT NULL, status TEXT NOT NULL, items INTEGER NOT NULL,
    amount TEXT NOT NULL, currency TEXT NOT NULL, note TEXT, created_at TEXT NOT NULL, paid_at TEXT
) STRICT";

/// Everything is computed from the row's number, so that two runs make the same rows.
const CONTENT: &str = r#"
WITH RECURSIVE
    row(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM row WHERE n + 1 < ?1),
    customer(k, v) AS (VALUES (0, '王伟'), (1, '李娜'), (2, '张敏'), (3, '刘洋'), (4, 'Zoë Müller'), (5, '陈静'),
        (6, 'Ángel Peña'), (7, '杨磊'), (8, 'Søren Ødegård'), (9, '赵秀英'), (10, '黄强'), (11, '周杰')),
    city(k, v) AS (VALUES (0, '北京'), (1, '上海'), (2, '广州'), (3, '深圳'), (4, '成都'), (5, '杭州'), (6, '西安')),
    status(k, v) AS (VALUES (0, 'paid'), (1, 'paid'), (2, 'shipped'), (3, 'open'), (4, 'returned')),
    note(k, v) AS (VALUES (0, NULL), (1, '请在周末送货'), (2, 'gift, please wrap'), (3, NULL),
        (4, 'said "no hurry"'), (5, 'first line' || char(10) || '第二行'), (6, NULL))
INSERT INTO orders
SELECT 9007199254740993 + n,
    (SELECT v FROM customer WHERE k = n * 5 % 12), (SELECT v FROM city WHERE k = n * 3 % 7),
    (SELECT v FROM status WHERE k = n * 3 % 5), 1 + n * 7 % 9,
    printf('%d.%02d', n * 7919 % 100000, n * 31 % 100), 'CNY', (SELECT v FROM note WHERE k = n * 2 % 7),
    strftime('%Y-%m-%d %H:%M:%S', 1735689600 + n * 311, 'unixepoch'),
    CASE WHEN n * 3 % 5 = 3 THEN NULL ELSE strftime('%Y-%m-%d %H:%M:%S', 1735693200 + n * 311, 'unixepoch') END
FROM row"#;

/// The path of the database; made now unless an earlier demo did.
pub async fn prepare(data_dir: &Path, rows: u32) -> Outcome<PathBuf> {
    let folder = data_dir.join("demo");
    let path = folder.join(if rows == ROWS { "orders.db".to_owned() } else { format!("orders-{rows}.db") });
    if version(&path).await == Some(VERSION) {
        return Ok(path);
    }
    let failed = |what: &str, problem: String| {
        Failure::Failed(format!("cannot make the sample database: {what} {}: {problem}", folder.display()))
    };
    std::fs::create_dir_all(&folder).map_err(|error| failed("create", error.to_string()))?;
    // Under a name of its own until it is whole: two demos may start at once, and one may be interrupted.
    let draft = folder.join(format!("orders-{}.draft", std::process::id()));
    // Left by an earlier process with the same id.
    let _ = std::fs::remove_file(&draft);
    fill(&draft, rows).await.map_err(|error| failed("write to", error.to_string()))?;
    std::fs::rename(&draft, &path).map_err(|error| failed("rename in", error.to_string()))?;
    Ok(path)
}

async fn version(path: &Path) -> Option<i64> {
    let mut connection = SqliteConnectOptions::new().filename(path).read_only(true).connect().await.ok()?;
    let version = sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut connection).await.ok();
    // Only read from: how it closes does not matter.
    let _ = connection.close().await;
    version
}

async fn fill(path: &Path, rows: u32) -> Result<(), sqlx::Error> {
    let mut connection: SqliteConnection = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Off)
        .synchronous(SqliteSynchronous::Off)
        .connect()
        .await?;
    connection.execute(SCHEMA).await?;
    sqlx::query(CONTENT).bind(rows).execute(&mut connection).await?;
    connection.execute(sqlx::AssertSqlSafe(format!("PRAGMA user_version = {VERSION}"))).await?;
    connection.close().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_sample_is_the_same_everywhere_and_made_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = prepare(folder.path(), ROWS).await.unwrap();
        let mut connection = SqliteConnectOptions::new().filename(&path).connect().await.unwrap();
        let row: (i64, i64, String, String, i64) = sqlx::query_as(
            "SELECT count(*), max(id), min(amount), group_concat(DISTINCT city), count(note) FROM orders",
        )
        .fetch_one(&mut connection)
        .await
        .unwrap();
        assert_eq!((row.0, row.1), (i64::from(ROWS), 9_007_199_254_740_993 + i64::from(ROWS) - 1));
        assert!(row.3.contains("杭州"));
        assert!(row.4 > 0 && row.4 < i64::from(ROWS), "some notes are null: {}", row.4);
        connection.execute("DELETE FROM orders WHERE id % 2 = 0").await.unwrap();
        connection.close().await.unwrap();
        let again = prepare(folder.path(), ROWS).await.unwrap();
        let mut connection = SqliteConnectOptions::new().filename(&again).connect().await.unwrap();
        let left: i64 = sqlx::query_scalar("SELECT count(*) FROM orders").fetch_one(&mut connection).await.unwrap();
        assert_eq!(left, i64::from(ROWS) / 2, "an existing sample is used as it is");
    }
}
