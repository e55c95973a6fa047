-- Schedules: what is enqueued when (docs/guide/schedules.md). Times are milliseconds since 1970, so that both databases are asked
-- with the same words.

CREATE TABLE lovage.schedules (
    name text PRIMARY KEY,
    -- All of it as JSON (crates/core/src/schedule/spec.rs).
    spec text NOT NULL,
    -- `code` stands in the configuration of the schedulers and is changed there; `operator` was made here.
    managed_by text NOT NULL CHECK (managed_by IN ('code', 'operator')),
    -- Grows with every change of what it is.
    revision bigint NOT NULL,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL,
    paused_by text,
    paused_why text,
    paused_since bigint,
    -- Ticks up to here are dealt with.
    last_tick bigint NOT NULL,
    -- When it is looked at next; never again without.
    next_at bigint,
    -- The tick that waits until the run before has ended.
    waiting_tick bigint,
    -- The job of the run before.
    last_queue text,
    last_job text,
    last_success_at bigint,
    -- Without success for so many milliseconds it is overdue.
    success_within bigint,
    -- Counted from here at the earliest: when it was made, changed or resumed, or when it starts.
    watched_since bigint NOT NULL,
    overdue_since bigint
);

CREATE INDEX schedules_next ON lovage.schedules (next_at) WHERE paused_since IS NULL AND next_at IS NOT NULL;
CREATE INDEX schedules_deadline ON lovage.schedules (name) WHERE success_within IS NOT NULL;
CREATE INDEX schedules_waiting ON lovage.schedules (name) WHERE waiting_tick IS NOT NULL;

-- What became of ticks.
CREATE TABLE lovage.schedule_runs (
    schedule text NOT NULL,
    tick bigint NOT NULL,
    -- enqueued, manual (somebody asked for it), skipped (the run before had not ended), missed (nobody was there), refused (the
    -- queue would not have it), overdue (no success for too long)
    outcome text NOT NULL,
    at bigint NOT NULL,
    queue text,
    job text,
    -- More about it, in words.
    note text,
    -- How the job ended, and when.
    state text,
    ended_at bigint,
    PRIMARY KEY (schedule, tick, outcome)
);

CREATE INDEX schedule_runs_at ON lovage.schedule_runs (at);
CREATE INDEX schedule_runs_open ON lovage.schedule_runs (at, schedule, tick) WHERE job IS NOT NULL AND state IS NULL;
