//! The databases that jobs may read, by name. Jobs carry the name; address and password stay in the worker.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr as _;

use lovage_core::Invalid;
use sqlx::postgres::PgConnectOptions;

use crate::export::Dialect;

/// The configured databases.
#[derive(Clone, Default)]
pub struct Sources(BTreeMap<String, Source>);

/// One database.
#[derive(Clone)]
pub(crate) enum Source {
    Postgres(Box<PgConnectOptions>),
    Sqlite(PathBuf),
}

impl Sources {
    /// No database.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the database at `url`: `postgres://user@host/database` or `sqlite:path`.
    pub fn add(&mut self, name: &str, url: &str) -> Result<(), Invalid> {
        check_name("sources", name)?;
        let source = Source::parse(&format!("sources.{name}.url"), url)?;
        self.0.insert(name.to_owned(), source);
        Ok(())
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The database with this name; the error lists the names that there are.
    pub(crate) fn get(&self, name: &str) -> Result<&Source, Invalid> {
        self.0.get(name).ok_or_else(|| {
            let known: Vec<&str> = self.names().collect();
            let help = if known.is_empty() {
                "set DATABASE_URL for the source `default`, or add [sources.NAME] to lovage.toml".to_owned()
            } else {
                format!("use one of: {}", known.join(", "))
            };
            Invalid::new("source", format!("{name:?} is not configured on this worker"), help)
        })
    }
}

/// The name of a source or a dataset.
pub(crate) fn check_name(field: &str, name: &str) -> Result<(), Invalid> {
    let spelled = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-');
    if name.is_empty() || name.len() > 64 || !name.chars().all(spelled) {
        let help = "use 1 to 64 characters of a-z, 0-9, `_` and `-`";
        return Err(Invalid::new(field, format!("has the name {name:?}"), help));
    }
    Ok(())
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Names only: addresses hold passwords.
        f.debug_set().entries(self.names()).finish()
    }
}

impl Source {
    /// Whose quoting rules hold.
    pub(crate) fn dialect(&self) -> Dialect {
        match self {
            Self::Postgres(_) => Dialect::Postgres,
            Self::Sqlite(_) => Dialect::Sqlite,
        }
    }

    fn parse(field: &str, url: &str) -> Result<Self, Invalid> {
        let refuse = |problem: String| {
            Err(Invalid::new(field, problem, "use postgres://user:password@host/database or sqlite:path/to/file.db"))
        };
        match url.split_once(':') {
            Some(("postgres" | "postgresql", _)) => match PgConnectOptions::from_str(url) {
                Ok(options) => Ok(Self::Postgres(Box::new(options.application_name("lovage")))),
                // The parser's text may quote what stands where a password belongs.
                Err(_) => refuse("is not a valid Postgres address".to_owned()),
            },
            Some(("sqlite" | "sqlite3", rest)) => {
                let path = rest.strip_prefix("//").unwrap_or(rest);
                let path = path.split_once('?').map_or(path, |(path, _)| path);
                if path.is_empty() || path == ":memory:" {
                    return refuse("names no file".to_owned());
                }
                Ok(Self::Sqlite(PathBuf::from(path)))
            }
            _ => refuse("has an unknown scheme".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_source_names_those_that_there_are() {
        let mut sources = Sources::new();
        let error = sources.get("default").err().unwrap();
        assert!(error.help.contains("DATABASE_URL"), "{error}");
        sources.add("shop", "sqlite:shop.db").unwrap();
        sources.add("crm", "postgres://u:hunter2@db/crm").unwrap();
        let error = sources.get("default").err().unwrap();
        assert_eq!((error.field.as_str(), error.help.as_str()), ("source", "use one of: crm, shop"));
        assert!(!format!("{sources:?}").contains("hunter2"));
    }

    #[test]
    fn a_wrong_address_is_refused_without_showing_its_password() {
        for (name, url) in [
            ("a", "mysql://u:hunter2@db/x"),
            ("a", "sqlite::memory:"),
            ("a", "sqlite:"),
            ("a", "postgres://u:hunter2@db:port/x"),
            ("a", "hunter2"),
            ("A b", "sqlite:x.db"),
        ] {
            let error = Sources::new().add(name, url).unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn sqlite_paths_are_taken_from_every_spelling() {
        for (url, path) in
            [("sqlite:a/b.db", "a/b.db"), ("sqlite:///a b.db", "/a b.db"), ("sqlite://x.db?mode=ro", "x.db")]
        {
            let Ok(Source::Sqlite(found)) = Source::parse("f", url) else { panic!("{url}") };
            assert_eq!(found, PathBuf::from(path));
        }
    }
}
