-- The schema that builds before recorders wrote: version 3. Kept to prove that its files are still read; never edited.

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
    paused_until INTEGER,
    -- Rows of `flow`; jobs in lanes; the turn of the tenant served last.
    rules INTEGER NOT NULL DEFAULT 0,
    laned INTEGER NOT NULL DEFAULT 0,
    turn REAL NOT NULL DEFAULT 0,
    -- Until then all available jobs are known to be held back; 0 when that is not known.
    held_until INTEGER NOT NULL DEFAULT 0,
    -- Lanes up to this key were looked at again since a limit for all was edited; absent when nothing is left to do.
    recheck INTEGER,
    -- When the bucket of retries is full again, and when the next one may come back.
    retry_full REAL NOT NULL DEFAULT 0,
    retry_opens INTEGER NOT NULL DEFAULT 0,
    -- Claimed jobs since an instant, and in the window before it.
    drain_since INTEGER NOT NULL DEFAULT 0,
    drained INTEGER NOT NULL DEFAULT 0,
    drained_before INTEGER NOT NULL DEFAULT 0,
    -- Jobs without a tenant that were given out since one was because of its age.
    aged INTEGER NOT NULL DEFAULT 0
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
    result TEXT,
    kind TEXT,
    tenant TEXT,
    flow_key TEXT,
    lane INTEGER NOT NULL DEFAULT 0,
    slot INTEGER NOT NULL DEFAULT 0
) STRICT;
-- The id first: a job is found without knowing its queue.
CREATE UNIQUE INDEX job_id ON job (id, queue);
-- Every claim, promotion, reaping, page and purge walks this one. The id breaks ties between equal instants.
CREATE INDEX job_line ON job (queue, state, sort, id);
CREATE INDEX job_expiry ON job (queue, expires_at, id) WHERE expires_at IS NOT NULL AND state IN (0, 1, 3, 7);
-- Available jobs of tenants, and those that are held back. Other jobs do not pay for this index, nor for the next two.
CREATE INDEX job_lane ON job (queue, lane, sort) WHERE state = 7;
-- Slots are not counted up and down: they are the rows of jobs that run. `slot` marks a job with a key from its first
-- claim to its end.
CREATE INDEX job_tenant ON job (queue, tenant) WHERE state = 2 AND tenant IS NOT NULL;
CREATE INDEX job_slot ON job (queue, flow_key, state) WHERE slot = 1;

-- The lines of a queue beside the plain one. With an empty gate it is the line of a tenant (the empty tenant: of those
-- without one), with its share: `turn` grows by 1/weight with each job given out, `ready` says whether there may be
-- something to give out, `waiting` counts its scheduled, available and retryable jobs. With a gate (`kind:x`, `key:x`,
-- `own:x` for the holder of an ordered key) it has the tenant's jobs that were held back there, so that no claim looks
-- at them again before `opens_at` (0: open). `head` is a lower bound of its first job's order. `aged`
-- counts a tenant's jobs that were given out since one was because of its age.
CREATE TABLE lane (
    key INTEGER PRIMARY KEY,
    queue INTEGER NOT NULL,
    tenant TEXT NOT NULL,
    gate TEXT NOT NULL,
    jobs INTEGER NOT NULL DEFAULT 0,
    waiting INTEGER NOT NULL DEFAULT 0,
    ready INTEGER NOT NULL DEFAULT 0,
    turn REAL NOT NULL DEFAULT 0,
    head INTEGER NOT NULL DEFAULT 0,
    opens_at INTEGER NOT NULL DEFAULT 0,
    aged INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE UNIQUE INDEX lane_name ON lane (queue, gate, tenant);
CREATE INDEX lane_ready ON lane (queue, turn, tenant) WHERE ready = 1;
CREATE INDEX lane_held ON lane (queue, tenant, head) WHERE gate <> '' AND jobs > 0 AND opens_at = 0;
CREATE INDEX lane_opens ON lane (queue, opens_at) WHERE opens_at > 0;
CREATE INDEX lane_waiting ON lane (queue) WHERE gate = '' AND waiting > 0;
CREATE INDEX lane_empty ON lane (queue, turn) WHERE jobs <= 0 AND waiting <= 0;

-- What is limited or paused, and the breakers. `probe` is the token of the job that is let through half open.
CREATE TABLE flow (
    queue INTEGER NOT NULL,
    subject TEXT NOT NULL,
    limits TEXT NOT NULL DEFAULT '{}',
    paused_by TEXT,
    paused_why TEXT,
    paused_since INTEGER,
    paused_until INTEGER,
    failures INTEGER NOT NULL DEFAULT 0,
    open_until INTEGER,
    probe INTEGER,
    PRIMARY KEY (queue, subject)
) STRICT, WITHOUT ROWID;

-- Token buckets that are not full: when they will be.
CREATE TABLE bucket (
    queue INTEGER NOT NULL,
    subject TEXT NOT NULL,
    full_at REAL NOT NULL,
    PRIMARY KEY (queue, subject)
) STRICT, WITHOUT ROWID;
CREATE INDEX bucket_full ON bucket (queue, full_at);

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
PRAGMA user_version = 3;
