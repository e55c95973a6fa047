//! `SqliteBroker`.
/// Placeholder until the adapter lands.
#[derive(Debug)]
pub struct SqliteBroker;
/// Placeholder until the adapter lands.
#[derive(Debug)]
pub struct SqliteConfig;
