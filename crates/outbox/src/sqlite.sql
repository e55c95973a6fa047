-- Jobs that wait for the relay (`lovage outbox relay`). Times are milliseconds since 1970.
CREATE TABLE IF NOT EXISTS lovage_outbox (
    -- Only an order to read in. AUTOINCREMENT: a number that was deleted never comes back, so a slow relay cannot delete
    -- a row that it has not seen.
    seq        integer PRIMARY KEY AUTOINCREMENT,
    -- The job's id: choose it, or leave it to the table. The same id twice in a queue is one job.
    id         text NOT NULL DEFAULT (lower(hex(randomblob(16)))) CHECK (length(id) BETWEEN 1 AND 128),
    queue      text NOT NULL DEFAULT 'default' CHECK (queue NOT GLOB '*[^a-z0-9_-]*' AND length(queue) BETWEEN 1 AND 64),
    kind       text NOT NULL CHECK (length(kind) BETWEEN 1 AND 128),
    args       text NOT NULL DEFAULT '{}' CHECK (json_valid(args)),
    -- The other fields of a job, as `lovage job enqueue --ndjson` takes them: priority, delay_ms, run_at, unique, ...
    options    text NOT NULL DEFAULT '{}' CHECK (json_valid(options)),
    created_at integer NOT NULL DEFAULT (CAST(round((julianday('now') - 2440587.5) * 86400000) AS integer)),
    -- The relay's: when it looks at the row again (empty: now), and since when the broker has had the job.
    due_at     integer,
    sent_at    integer,
    -- The relay's: the row cannot become a job, and why. `lovage outbox retry` clears both.
    failed_at  integer,
    error      text
);
CREATE INDEX IF NOT EXISTS lovage_outbox_fresh ON lovage_outbox (queue, seq)
    WHERE due_at IS NULL AND failed_at IS NULL;
CREATE INDEX IF NOT EXISTS lovage_outbox_due ON lovage_outbox (due_at)
    WHERE due_at IS NOT NULL AND failed_at IS NULL;
CREATE INDEX IF NOT EXISTS lovage_outbox_failed ON lovage_outbox (seq)
    WHERE failed_at IS NOT NULL;
