//! A PostgreSQL that keeps what it has confirmed, and crashes.

use std::process::Command;

use lovage_testkit::{PostgresServer, eventually};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, Executor as _, PgConnection};

use crate::stage::PATIENCE;

/// Has the server wait for its log, which a test's does not by default; with this it is about what it has confirmed.
pub async fn durable(server: &PostgresServer) -> PgConnectOptions {
    let options: PgConnectOptions = server.url().parse().expect("an address");
    let mut connection = options.connect().await.expect("it answers");
    connection.execute("ALTER ROLE postgres SET synchronous_commit = on").await.expect("it is set");
    connection.close().await.expect("it closes");
    options
}

/// Kills the process of the server that works on this table: the server ends all others and recovers from its log, as after a
/// crash.
pub async fn crash(options: &PgConnectOptions, table: &str) {
    let pid = eventually("something is being written", PATIENCE, async || {
        let mut connection = options.connect().await.ok()?;
        let sql = "SELECT pid FROM pg_stat_activity
                   WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND state <> 'idle' AND query LIKE $1 LIMIT 1";
        let writer = sqlx::query_scalar::<_, i32>(sql).bind(format!("%INSERT INTO lovage.{table} %"));
        writer.fetch_optional(&mut connection).await.ok()?
    })
    .await;
    let killed = Command::new("kill").args(["-9", &pid.to_string()]).status().expect("kill runs");
    assert!(killed.success());
    eventually("the server is back", PATIENCE, async || {
        let mut connection: PgConnection = options.connect().await.ok()?;
        connection.execute("SELECT 1").await.ok()
    })
    .await;
}
