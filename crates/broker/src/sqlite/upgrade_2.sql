-- From version 1 of the embedded broker's file to version 2: flow control. `schema.sql` says what the columns are.

ALTER TABLE queue ADD COLUMN rules INTEGER NOT NULL DEFAULT 0;
ALTER TABLE queue ADD COLUMN laned INTEGER NOT NULL DEFAULT 0;
ALTER TABLE queue ADD COLUMN turn REAL NOT NULL DEFAULT 0;
ALTER TABLE queue ADD COLUMN held_until INTEGER NOT NULL DEFAULT 0;
ALTER TABLE queue ADD COLUMN recheck INTEGER;
ALTER TABLE queue ADD COLUMN retry_full REAL NOT NULL DEFAULT 0;
ALTER TABLE queue ADD COLUMN retry_opens INTEGER NOT NULL DEFAULT 0;
ALTER TABLE queue ADD COLUMN drain_since INTEGER NOT NULL DEFAULT 0;
ALTER TABLE queue ADD COLUMN drained INTEGER NOT NULL DEFAULT 0;
ALTER TABLE queue ADD COLUMN drained_before INTEGER NOT NULL DEFAULT 0;
ALTER TABLE job ADD COLUMN kind TEXT;
ALTER TABLE job ADD COLUMN tenant TEXT;
ALTER TABLE job ADD COLUMN flow_key TEXT;
ALTER TABLE job ADD COLUMN lane INTEGER NOT NULL DEFAULT 0;
ALTER TABLE job ADD COLUMN slot INTEGER NOT NULL DEFAULT 0;
DROP INDEX job_expiry;
CREATE INDEX job_expiry ON job (queue, expires_at, id) WHERE expires_at IS NOT NULL AND state IN (0, 1, 3, 7);
CREATE INDEX job_lane ON job (queue, lane, sort) WHERE state = 7;
CREATE INDEX job_tenant ON job (queue, tenant) WHERE state = 2 AND tenant IS NOT NULL;
CREATE INDEX job_slot ON job (queue, flow_key, state) WHERE slot = 1;
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
    opens_at INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE UNIQUE INDEX lane_name ON lane (queue, gate, tenant);
CREATE INDEX lane_ready ON lane (queue, turn, tenant) WHERE ready = 1;
CREATE INDEX lane_held ON lane (queue, tenant, head) WHERE gate <> '' AND jobs > 0 AND opens_at = 0;
CREATE INDEX lane_opens ON lane (queue, opens_at) WHERE opens_at > 0;
CREATE INDEX lane_waiting ON lane (queue) WHERE gate = '' AND waiting > 0;
CREATE INDEX lane_empty ON lane (queue, turn) WHERE jobs <= 0 AND waiting <= 0;
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
CREATE TABLE bucket (
    queue INTEGER NOT NULL,
    subject TEXT NOT NULL,
    full_at REAL NOT NULL,
    PRIMARY KEY (queue, subject)
) STRICT, WITHOUT ROWID;
CREATE INDEX bucket_full ON bucket (queue, full_at);

-- What the content of the jobs says; a content that cannot be read says nothing.
UPDATE job SET kind = text ->> 'kind', tenant = text ->> 'tenant', flow_key = text ->> 'key'
FROM spec WHERE spec.seq = job.seq AND json_valid(spec.text);

-- Tenants have lines of their own from now on.
INSERT INTO lane (queue, tenant, gate, jobs, waiting, ready)
SELECT queue, tenant, '', sum(state = 1), count(*), max(state = 1) FROM job
WHERE tenant IS NOT NULL AND state IN (0, 1, 3) GROUP BY queue, tenant;
UPDATE job SET state = 7, lane = lane.key FROM lane
WHERE job.state = 1 AND lane.queue = job.queue AND lane.tenant = job.tenant AND lane.gate = '';
UPDATE queue SET laned = (SELECT count(*) FROM job WHERE job.queue = queue.key AND state = 7);
UPDATE job SET slot = 1 WHERE state = 2 AND flow_key IS NOT NULL;

PRAGMA user_version = 2;
