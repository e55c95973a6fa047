-- The schema that release 0.1.0 wrote: version 1. Kept to prove that its files are still read; never edited.

-- A queue with its counters. `place` is the last place given out (milliseconds since 2024 times 512, at least one more
-- than the one before), `token` the last fencing number, `event` the number of the last event. The seven counts change
-- in the transaction that changes the jobs, so that nobody ever counts rows.
CREATE TABLE queue (
    key INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    place INTEGER NOT NULL DEFAULT 0,
    token INTEGER NOT NULL DEFAULT 0,
    event INTEGER NOT NULL DEFAULT 0,
    scheduled INTEGER NOT NULL DEFAULT 0,
    available INTEGER NOT NULL DEFAULT 0,
    running INTEGER NOT NULL DEFAULT 0,
    retryable INTEGER NOT NULL DEFAULT 0,
    completed INTEGER NOT NULL DEFAULT 0,
    cancelled INTEGER NOT NULL DEFAULT 0,
    discarded INTEGER NOT NULL DEFAULT 0,
    paused_by TEXT,
    paused_why TEXT,
    paused_since INTEGER,
    paused_until INTEGER
) STRICT;

-- The part of a job that changes by running it. `sort` orders the jobs of one state: priority * 2^49 + place while
-- available, the due time while scheduled or retryable, the end of the lease while running, the place of its end after.
CREATE TABLE job (
    seq INTEGER PRIMARY KEY,
    queue INTEGER NOT NULL,
    id TEXT NOT NULL,
    state INTEGER NOT NULL,
    sort INTEGER NOT NULL,
    place INTEGER NOT NULL,
    priority INTEGER NOT NULL,
    attempt INTEGER NOT NULL DEFAULT 0,
    failed INTEGER NOT NULL DEFAULT 0,
    lost INTEGER NOT NULL DEFAULT 0,
    token INTEGER NOT NULL DEFAULT 0,
    enqueued_at INTEGER NOT NULL,
    since INTEGER NOT NULL,
    expires_at INTEGER,
    started_at INTEGER,
    worker TEXT,
    cancel_requested INTEGER NOT NULL DEFAULT 0,
    reason TEXT,
    digest TEXT,
    unique_ttl INTEGER NOT NULL DEFAULT 0,
    hold_ttl INTEGER NOT NULL DEFAULT 0,
    progress TEXT,
    result TEXT
) STRICT;
-- The id first: a job is found without knowing its queue.
CREATE UNIQUE INDEX job_id ON job (id, queue);
-- Every claim, promotion, reaping, page and purge walks this one. The id breaks ties between equal instants.
CREATE INDEX job_line ON job (queue, state, sort, id);
CREATE INDEX job_expiry ON job (queue, expires_at, id) WHERE expires_at IS NOT NULL AND state IN (0, 1, 3);

-- The part that running does not change, in the wire format. Apart, so that a change of state does not rewrite it.
CREATE TABLE spec (
    seq INTEGER PRIMARY KEY,
    text TEXT NOT NULL
) STRICT;

-- At most one error an attempt, as JSON.
CREATE TABLE error (
    job INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (job, attempt)
) STRICT, WITHOUT ROWID;

CREATE TABLE log (
    job INTEGER NOT NULL,
    n INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (job, n)
) STRICT, WITHOUT ROWID;

-- Who holds a unique key and until when. A lock whose time is over is as good as gone; a sweep removes it.
CREATE TABLE unique_lock (
    queue INTEGER NOT NULL,
    digest TEXT NOT NULL,
    job TEXT NOT NULL,
    until INTEGER NOT NULL,
    PRIMARY KEY (queue, digest)
) STRICT, WITHOUT ROWID;
CREATE INDEX unique_lock_until ON unique_lock (queue, until);

-- Events, many to a row: `last` is the number of the row's last event in its queue, `body` a JSON array of them.
CREATE TABLE event (
    queue INTEGER NOT NULL,
    last INTEGER NOT NULL,
    count INTEGER NOT NULL,
    at INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (queue, last)
) STRICT;

CREATE TABLE worker (
    id TEXT PRIMARY KEY,
    seen_at INTEGER NOT NULL,
    body TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX worker_seen ON worker (seen_at);

-- Messages to workers, each read once.
CREATE TABLE control (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    worker TEXT NOT NULL,
    at INTEGER NOT NULL,
    body TEXT NOT NULL
) STRICT;
CREATE INDEX control_worker ON control (worker, seq);

-- An empty holder is nobody; the term stays, so that it grows with every change of holder.
CREATE TABLE leader (
    name TEXT PRIMARY KEY,
    holder TEXT NOT NULL,
    term INTEGER NOT NULL,
    until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

PRAGMA application_id = 0x4c6f7661;
PRAGMA user_version = 1;
