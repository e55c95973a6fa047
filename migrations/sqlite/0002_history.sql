-- The history of jobs (docs/adr/016-history.md): what the queues had, written by the recorder from their events. A job is
-- what it was when it was last looked at. `key` is a hash of queue and id, so (enqueued_at, key) is a job and the order in
-- which jobs are listed. Times are milliseconds since 1970.

CREATE TABLE jobs (
    enqueued_at INTEGER NOT NULL,
    key INTEGER NOT NULL,
    queue TEXT NOT NULL,
    id TEXT NOT NULL,
    kind TEXT,
    tenant TEXT,
    state TEXT NOT NULL,
    reason TEXT,
    attempt INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    lost INTEGER NOT NULL,
    -- When it came into its state.
    since INTEGER NOT NULL,
    started_at INTEGER,
    due_at INTEGER,
    -- When it was seen that the queue has it no more although it had not come to an end, or that it was deleted.
    gone_at INTEGER,
    worker TEXT,
    -- As JSON.
    tags TEXT NOT NULL,
    args TEXT,
    result TEXT,
    -- What is not searched, as JSON: priority, key, metadata, retry, timeout_ms, expires_at, progress.
    more TEXT NOT NULL,
    PRIMARY KEY (enqueued_at, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX jobs_id ON jobs (id);
CREATE INDEX jobs_unfinished ON jobs (queue, enqueued_at, key)
    WHERE gone_at IS NULL AND state IN ('scheduled', 'available', 'running', 'retryable');

CREATE TABLE job_attempts (
    enqueued_at INTEGER NOT NULL,
    key INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    worker TEXT,
    -- The release that the worker ran.
    version TEXT,
    started_at INTEGER,
    ended_at INTEGER,
    outcome TEXT,
    PRIMARY KEY (enqueued_at, key, attempt)
) STRICT, WITHOUT ROWID;

CREATE TABLE job_failures (
    enqueued_at INTEGER NOT NULL,
    key INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    at INTEGER NOT NULL,
    class TEXT NOT NULL,
    message TEXT NOT NULL,
    fingerprint INTEGER NOT NULL,
    PRIMARY KEY (enqueued_at, key, attempt)
) STRICT, WITHOUT ROWID;

CREATE INDEX job_failures_fingerprint ON job_failures (fingerprint, at);

CREATE TABLE job_artifacts (
    enqueued_at INTEGER NOT NULL,
    key INTEGER NOT NULL,
    -- Its key in the store; of a chunked export that of its manifest.
    object_key TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    name TEXT NOT NULL,
    files INTEGER NOT NULL,
    rows INTEGER,
    bytes INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    PRIMARY KEY (enqueued_at, key, object_key)
) STRICT, WITHOUT ROWID;

-- Failures that are alike. They are counted by day and release when they are written, each attempt once.
CREATE TABLE failure_groups (
    fingerprint INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    class TEXT NOT NULL,
    title TEXT NOT NULL,
    first_seen INTEGER NOT NULL,
    last_seen INTEGER NOT NULL
) STRICT;

CREATE INDEX failure_groups_last_seen ON failure_groups (last_seen);

-- A day is counted from 1970.
CREATE TABLE failure_counts (
    fingerprint INTEGER NOT NULL,
    day INTEGER NOT NULL,
    version TEXT NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (fingerprint, day, version)
) STRICT, WITHOUT ROWID;

-- The number of the latest term of a leader. Who begins one takes the next number, whatever the queues have forgotten.
CREATE TABLE leader (
    one INTEGER PRIMARY KEY DEFAULT 1 CHECK (one = 1),
    term INTEGER NOT NULL
) STRICT;

INSERT INTO leader (term) VALUES (0);

-- How far the events of a queue are recorded. Who leads with an older term than the one that stands here writes nothing.
CREATE TABLE recorder_positions (
    queue TEXT PRIMARY KEY,
    cursor TEXT,
    term INTEGER NOT NULL,
    -- Whether events were missed and the state of the queue is not read to its end yet.
    healing INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
