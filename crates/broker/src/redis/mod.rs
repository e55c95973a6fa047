//! `RedisBroker`.
/// Placeholder until the adapter lands.
#[derive(Debug)]
pub struct RedisBroker;
/// Placeholder until the adapter lands.
#[derive(Debug)]
pub struct RedisConfig;
