//! From a database's error to what follows: another attempt, or none because none can help.

use anyhow::anyhow;
use lovage_core::Invalid;
use lovage_worker::JobError;
use sqlx::Error;
use sqlx::postgres::PgDatabaseError;
use sqlx::sqlite::SqliteError;

/// An argument that no attempt can mend.
pub(super) fn invalid(error: Invalid) -> JobError {
    JobError::Discard(error.into())
}

/// An error of the database called `source`.
pub(super) fn database(source: &str, error: &Error) -> JobError {
    if let Error::ColumnDecode { .. } | Error::TypeNotFound { .. } = error {
        let help = "cast the column to text in the query";
        return JobError::Discard(anyhow!(
            "source {source}: a column has a type that the driver cannot describe; {help} ({error})"
        ));
    }
    let Error::Database(inner) = error else {
        let problem = match error {
            // The driver reads on after the server's last words and reports the end of the stream instead of them.
            Error::Io(error) if is_cut(error.kind()) => format!("closed the connection: {error}"),
            Error::Io(error) => format!("cannot be reached: {error}"),
            Error::Tls(error) => format!("cannot be reached over TLS: {error}"),
            other => format!("broke off: {other}"),
        };
        return JobError::Retry(anyhow!("source {source} {problem}"));
    };
    if let Some(error) = inner.try_downcast_ref::<PgDatabaseError>() {
        let text = anyhow!("source {source}: {}", describe(error));
        return if helpless(error.code()) { JobError::Discard(text) } else { JobError::Retry(text) };
    }
    if let Some(error) = inner.try_downcast_ref::<SqliteError>() {
        return sqlite(source, error);
    }
    JobError::Retry(anyhow!("source {source}: {inner}"))
}

/// Whether a connection that stood was cut.
fn is_cut(kind: std::io::ErrorKind) -> bool {
    use std::io::ErrorKind as K;
    matches!(kind, K::UnexpectedEof | K::ConnectionReset | K::ConnectionAborted | K::BrokenPipe)
}

/// The server's own words: message, detail, hint, place and code.
fn describe(error: &PgDatabaseError) -> String {
    use sqlx::postgres::PgErrorPosition;
    let mut text = error.message().to_owned();
    for (name, more) in [("", error.detail()), ("hint: ", error.hint())] {
        if let Some(more) = more {
            text = format!("{text}; {name}{more}");
        }
    }
    if let Some(PgErrorPosition::Original(at)) = error.position() {
        text = format!("{text}; at character {at}");
    }
    format!("{text} (SQLSTATE {})", error.code())
}

/// Whether the same query would meet the same error again (PostgreSQL manual, appendix A).
fn helpless(code: &str) -> bool {
    match code {
        // Time limits of the transaction: it was suspended, or the server was slow.
        "25P03" | "25P04" => false,
        // Connection, resources, shutdown, lock and time limits, serialisation; and what an operator mends: a wrong
        // password, a missing database.
        _ => matches!(
            &code[..code.len().min(2)],
            "0A" | "21" | "22" | "23" | "25" | "2F" | "34" | "38" | "42" | "44" | "54" | "P0"
        ),
    }
}

fn sqlite(source: &str, error: &SqliteError) -> JobError {
    use sqlx::error::DatabaseError as _;
    let code = error.code().and_then(|code| code.parse::<i32>().ok()).unwrap_or_default();
    let text = anyhow!("source {source}: {} (SQLite {code})", error.message());
    // The lower byte is the class: SQLITE_ERROR, PERM, READONLY, CORRUPT, TOOBIG, MISMATCH, MISUSE, AUTH, RANGE, NOTADB.
    // Everything else (busy, locked, no memory, I/O, cannot open) may pass.
    match code & 0xff {
        1 | 3 | 8 | 11 | 18 | 20 | 21 | 23 | 25 | 26 => JobError::Discard(text),
        9 => JobError::Cancelled,
        _ => JobError::Retry(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_query_are_final_and_errors_of_the_moment_are_not() {
        for code in ["42601", "42P01", "42501", "22012", "0A000", "25006", "21000", "54001"] {
            assert!(helpless(code), "{code}");
        }
        for code in [
            "08006", "57P01", "57014", "53300", "40001", "40P01", "55P03", "25P03", "25P04", "28P01", "3D000", "XX000",
            "58030", "",
        ] {
            assert!(!helpless(code), "{code}");
        }
    }

    #[test]
    fn a_lost_connection_is_tried_again_with_its_reason() {
        let error = Error::Io(std::io::Error::new(std::io::ErrorKind::ConnectionRefused, "connection refused"));
        let JobError::Retry(text) = database("shop", &error) else { panic!("it may pass") };
        assert_eq!(text.to_string(), "source shop cannot be reached: connection refused");
    }
}
