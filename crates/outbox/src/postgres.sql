-- Jobs that wait for the relay (`lovage outbox relay`). A service needs INSERT, and SELECT on id for `RETURNING id`; the
-- relay SELECT, UPDATE and DELETE.
CREATE TABLE IF NOT EXISTS lovage_outbox (
    -- Only an order to read in; never a mark up to which everything was read, for transactions commit in any order.
    seq        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- The job's id: choose it, or leave it to the table. The same id twice in a queue is one job.
    id         text NOT NULL DEFAULT gen_random_uuid()::text CHECK (id ~ '^[A-Za-z0-9_.:-]{1,128}$'),
    queue      text COLLATE "C" NOT NULL DEFAULT 'default' CHECK (queue ~ '^[a-z0-9_-]{1,64}$'),
    kind       text NOT NULL CHECK (kind ~ '^[A-Za-z0-9_.:-]{1,128}$'),
    -- json and not jsonb: arguments are kept byte for byte.
    args       json NOT NULL DEFAULT '{}',
    -- The other fields of a job, as `lovage job enqueue --ndjson` takes them: priority, delay_ms, run_at, unique, ...
    options    jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(options) = 'object'),
    created_at timestamptz NOT NULL DEFAULT now(),
    -- The relay's: when it looks at the row again (empty: now), and since when the broker has had the job.
    due_at     timestamptz,
    sent_at    timestamptz,
    -- The relay's: the row cannot become a job, and why. `lovage outbox retry` clears both.
    failed_at  timestamptz,
    error      text
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
CREATE INDEX IF NOT EXISTS lovage_outbox_fresh ON lovage_outbox (queue, seq)
    WHERE due_at IS NULL AND failed_at IS NULL;
CREATE INDEX IF NOT EXISTS lovage_outbox_due ON lovage_outbox (due_at)
    WHERE due_at IS NOT NULL AND failed_at IS NULL;
CREATE INDEX IF NOT EXISTS lovage_outbox_failed ON lovage_outbox (seq)
    WHERE failed_at IS NOT NULL;
