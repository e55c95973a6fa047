//! The keys of an apalis queue, and the two of ours beside them. `tests/adopting` compares them with what apalis-redis
//! says itself.

/// Names of keys.
#[derive(Debug)]
pub(crate) struct Keys {
    source: String,
    /// Which adopter owns the queue (ours; has a time to live).
    pub owner: String,
    /// Tasks that were taken and are not settled, by when they are due (ours; at most a batch and what orphans add).
    pub taken: String,
    /// Ids that wait (list).
    pub active: String,
    /// Ids by when they are due, in seconds (sorted set). Every push goes here first.
    pub scheduled: String,
    /// Id to payload (hash).
    pub data: String,
    /// Ids that will not run again (set).
    pub dead: String,
    /// Workers by when they were last heard of, in seconds (sorted set).
    pub workers: String,
}

impl Keys {
    pub(crate) fn new(source: &str) -> Self {
        let key = |name: &str| format!("{source}:{name}");
        Self {
            source: source.to_owned(),
            owner: key("lovage:owner"),
            taken: key("lovage:taken"),
            active: key("active"),
            scheduled: key("scheduled"),
            data: key("data"),
            dead: key("dead"),
            workers: key("workers"),
        }
    }

    /// What is known about a task (hash).
    pub(crate) fn meta(&self, id: &str) -> String {
        format!("{}:meta:{id}", self.source)
    }

    /// The tasks that a worker holds (set).
    pub(crate) fn inflight(&self, worker: &str) -> String {
        format!("{}:inflight:{worker}", self.source)
    }
}
