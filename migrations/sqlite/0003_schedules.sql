-- Schedules: what is enqueued when (docs/guide/schedules.md). Times are milliseconds since 1970, so that both databases are asked
-- with the same words.

CREATE TABLE schedules (
    name TEXT PRIMARY KEY,
    -- All of it as JSON (crates/core/src/schedule/spec.rs).
    spec TEXT NOT NULL,
    -- `code` stands in the configuration of the schedulers and is changed there; `operator` was made here.
    managed_by TEXT NOT NULL CHECK (managed_by IN ('code', 'operator')),
    -- Grows with every change of what it is.
    revision INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    paused_by TEXT,
    paused_why TEXT,
    paused_since INTEGER,
    -- Ticks up to here are dealt with.
    last_tick INTEGER NOT NULL,
    -- When it is looked at next; never again without.
    next_at INTEGER,
    -- The tick that waits until the run before has ended.
    waiting_tick INTEGER,
    -- The job of the run before.
    last_queue TEXT,
    last_job TEXT,
    last_success_at INTEGER,
    -- Without success for so many milliseconds it is overdue.
    success_within INTEGER,
    -- Counted from here at the earliest: when it was made, changed or resumed, or when it starts.
    watched_since INTEGER NOT NULL,
    overdue_since INTEGER
) STRICT;

CREATE INDEX schedules_next ON schedules (next_at) WHERE paused_since IS NULL AND next_at IS NOT NULL;
CREATE INDEX schedules_deadline ON schedules (name) WHERE success_within IS NOT NULL;
CREATE INDEX schedules_waiting ON schedules (name) WHERE waiting_tick IS NOT NULL;

-- What became of ticks.
CREATE TABLE schedule_runs (
    schedule TEXT NOT NULL,
    tick INTEGER NOT NULL,
    -- enqueued, manual (somebody asked for it), skipped (the run before had not ended), missed (nobody was there), refused (the
    -- queue would not have it), overdue (no success for too long)
    outcome TEXT NOT NULL,
    at INTEGER NOT NULL,
    queue TEXT,
    job TEXT,
    -- More about it, in words.
    note TEXT,
    -- How the job ended, and when.
    state TEXT,
    ended_at INTEGER,
    PRIMARY KEY (schedule, tick, outcome)
) STRICT;

CREATE INDEX schedule_runs_at ON schedule_runs (at);
CREATE INDEX schedule_runs_open ON schedule_runs (at, schedule, tick) WHERE job IS NOT NULL AND state IS NULL;
