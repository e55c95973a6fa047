-- The history of jobs (docs/adr/016-history.md): what the queues had, written by the recorder from their events. A job is
-- what it was when it was last looked at. `key` is a hash of queue and id, so (enqueued_at, key) is a job and the order in
-- which jobs are listed. Tables are divided by the month in which a job was enqueued; lovage.add_month() adds a month.

CREATE TABLE lovage.jobs (
    enqueued_at timestamptz NOT NULL,
    key bigint NOT NULL,
    queue text NOT NULL,
    id text NOT NULL,
    kind text,
    tenant text,
    state text NOT NULL,
    reason text,
    attempt integer NOT NULL,
    failed integer NOT NULL,
    lost integer NOT NULL,
    -- When it came into its state.
    since timestamptz NOT NULL,
    started_at timestamptz,
    due_at timestamptz,
    -- When it was seen that the queue has it no more although it had not come to an end, or that it was deleted.
    gone_at timestamptz,
    worker text,
    tags text[] NOT NULL,
    args text,
    result text,
    -- What is not searched, as JSON: priority, key, metadata, retry, timeout_ms, expires_at, progress.
    more text NOT NULL,
    -- What it is found by: hashes of `state=completed`, `tag=x`, ... (crates/ledger/src/history/terms.rs); and those of them
    -- that stay whatever becomes of the job: its workers, its errors.
    terms bigint[] NOT NULL,
    kept bigint[] NOT NULL,
    PRIMARY KEY (enqueued_at, key)
) PARTITION BY RANGE (enqueued_at);

CREATE INDEX jobs_id ON lovage.jobs (id);
CREATE INDEX jobs_terms ON lovage.jobs USING gin (terms);
CREATE INDEX jobs_ended ON lovage.jobs (since) WHERE state IN ('completed', 'cancelled', 'discarded');
CREATE INDEX jobs_unfinished ON lovage.jobs (queue, enqueued_at, key)
    WHERE gone_at IS NULL AND state IN ('scheduled', 'available', 'running', 'retryable');

-- The kinds that there ever were.
CREATE TABLE lovage.job_kinds (
    kind text PRIMARY KEY
);

CREATE TABLE lovage.job_attempts (
    enqueued_at timestamptz NOT NULL,
    key bigint NOT NULL,
    attempt integer NOT NULL,
    worker text,
    -- The release that the worker ran.
    version text,
    started_at timestamptz,
    ended_at timestamptz,
    outcome text,
    PRIMARY KEY (enqueued_at, key, attempt)
) PARTITION BY RANGE (enqueued_at);

CREATE TABLE lovage.job_failures (
    enqueued_at timestamptz NOT NULL,
    key bigint NOT NULL,
    attempt integer NOT NULL,
    at timestamptz NOT NULL,
    class text NOT NULL,
    message text NOT NULL,
    fingerprint bigint NOT NULL,
    PRIMARY KEY (enqueued_at, key, attempt)
) PARTITION BY RANGE (enqueued_at);

CREATE INDEX job_failures_fingerprint ON lovage.job_failures (fingerprint, at);

CREATE TABLE lovage.job_artifacts (
    enqueued_at timestamptz NOT NULL,
    key bigint NOT NULL,
    -- Its key in the store; of a chunked export that of its manifest.
    object_key text NOT NULL,
    attempt integer NOT NULL,
    name text NOT NULL,
    files integer NOT NULL,
    rows bigint,
    bytes bigint NOT NULL,
    sha256 text NOT NULL,
    PRIMARY KEY (enqueued_at, key, object_key)
) PARTITION BY RANGE (enqueued_at);

-- Failures that are alike. They are counted by day and release when they are written, each attempt once.
CREATE TABLE lovage.failure_groups (
    fingerprint bigint PRIMARY KEY,
    kind text NOT NULL,
    class text NOT NULL,
    title text NOT NULL,
    first_seen timestamptz NOT NULL,
    last_seen timestamptz NOT NULL
);

CREATE INDEX failure_groups_last_seen ON lovage.failure_groups (last_seen);

CREATE TABLE lovage.failure_counts (
    fingerprint bigint NOT NULL,
    day date NOT NULL,
    version text NOT NULL,
    count bigint NOT NULL,
    PRIMARY KEY (fingerprint, day, version)
);

-- The number of the latest term of a leader. Who begins one takes the next number, whatever the queues have forgotten.
CREATE TABLE lovage.leader (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    term bigint NOT NULL
);

INSERT INTO lovage.leader (term) VALUES (0);

-- How far the events of a queue are recorded. Who leads with an older term than the one that stands here writes nothing.
CREATE TABLE lovage.recorder_positions (
    queue text PRIMARY KEY,
    cursor text,
    term bigint NOT NULL,
    -- Whether events were missed and the state of the queue is not read to its end yet.
    healing boolean NOT NULL DEFAULT false
);

-- The first list with those of the second that it has not, two thousand in all: a job that fails in ever other words is found by
-- the first of them.
CREATE FUNCTION lovage.with_all(bigint[], bigint[]) RETURNS bigint[] LANGUAGE sql IMMUTABLE AS $$
    SELECT ($1 || ARRAY(SELECT unnest($2) EXCEPT SELECT unnest($1)))[1:2000]
$$;

-- Adds the month of an instant, unless it is there, and answers its bounds.
CREATE FUNCTION lovage.add_month(instant timestamptz, OUT first timestamptz, OUT next timestamptz)
LANGUAGE plpgsql AS $$
DECLARE
    part text;
    month text;
BEGIN
    first := date_trunc('month', instant, 'UTC');
    next := (first AT TIME ZONE 'UTC' + interval '1 month') AT TIME ZONE 'UTC';
    FOREACH part IN ARRAY ARRAY['jobs', 'job_attempts', 'job_failures', 'job_artifacts'] LOOP
        month := part || to_char(first AT TIME ZONE 'UTC', '_YYYY_MM');
        CONTINUE WHEN to_regclass('lovage.' || month) IS NOT NULL;
        -- Made apart and attached: CREATE ... PARTITION OF would wait for all who read, and have all others wait.
        EXECUTE format('CREATE TABLE lovage.%I (LIKE lovage.%I INCLUDING DEFAULTS)', month, part);
        EXECUTE format(
            'ALTER TABLE lovage.%I ATTACH PARTITION lovage.%I FOR VALUES FROM (%L) TO (%L)', part, month, first, next
        );
    END LOOP;
END $$;
