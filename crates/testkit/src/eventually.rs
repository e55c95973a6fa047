//! Waiting for what another process does. Inside one process tests await an event instead.

use std::future::Future;
use std::time::Duration;

/// Looks again and again until `look` finds something, for at most `limit`; then panics with `what` was awaited.
///
/// This is the one place where a test polls: another process gives no event to await. The limit is a bound for a
/// broken build, not a pause: a passing test goes on as soon as the condition holds.
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, limit: Duration, look: impl Fn() -> F) -> T {
    let looking = async {
        let mut pace = tokio::time::interval(Duration::from_millis(20));
        loop {
            pace.tick().await;
            if let Some(found) = look().await {
                return found;
            }
        }
    };
    let found = tokio::time::timeout(limit, looking).await;
    found.unwrap_or_else(|_| panic!("not within {limit:?}: {what}"))
}
