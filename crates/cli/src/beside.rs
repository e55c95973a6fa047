//! What runs beside a worker of this process (adopters, a relay) and ends with it.

use std::future::Future;

use lovage_worker::{CancellationToken, Shutdown};
use tokio::task::JoinSet;

/// Tasks that stop when the worker is to drain.
#[derive(Debug)]
pub struct Beside {
    /// Tells them to end what they are at.
    pub stop: CancellationToken,
    /// The worker stops at once.
    now: CancellationToken,
    tasks: JoinSet<()>,
}

impl Beside {
    /// Nothing yet.
    pub fn new(shutdown: &Shutdown) -> Self {
        Self { stop: shutdown.drain.child_token(), now: shutdown.now.clone(), tasks: JoinSet::new() }
    }

    /// Does what is to be done before the worker begins, unless it is to stop at once; `first` heeds [`Self::stop`].
    pub async fn before<T>(&self, first: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            () = self.now.cancelled() => None,
            done = first => Some(done),
        }
    }

    /// Starts one.
    pub fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }

    /// Lets each end the batch that it is at, unless the worker is to stop at once: what was not settled is taken again.
    pub async fn end(mut self) {
        self.stop.cancel();
        tokio::select! {
            () = self.now.cancelled() => self.tasks.abort_all(),
            () = async { while self.tasks.join_next().await.is_some() {} } => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::time::Duration;

    use super::*;

    /// For a slow machine; nothing here waits for it.
    const PATIENCE: Duration = Duration::from_mins(1);

    #[tokio::test]
    async fn a_batch_is_waited_for_until_the_second_signal() {
        let shutdown = Shutdown::new();
        let mut beside = Beside::new(&shutdown);
        beside.spawn(pending());
        let mut end = Box::pin(beside.end());
        assert!(futures::poll!(&mut end).is_pending(), "the batch is not over");
        shutdown.now.cancel();
        // bounded wait: it ends at once
        assert!(tokio::time::timeout(PATIENCE, end).await.is_ok());
    }

    #[tokio::test]
    async fn the_second_signal_ends_what_comes_first() {
        let shutdown = Shutdown::new();
        let beside = Beside::new(&shutdown);
        assert_eq!(beside.before(ready(1)).await, Some(1));
        shutdown.drain.cancel();
        assert!(beside.stop.is_cancelled());
        shutdown.now.cancel();
        // bounded wait: it ends at once
        let ended = tokio::time::timeout(PATIENCE, beside.before(pending::<()>())).await;
        assert_eq!(ended.ok(), Some(None));
    }
}
