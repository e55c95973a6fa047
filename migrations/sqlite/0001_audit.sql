-- The audit trail (docs/adr/015-audit-chains.md). Rows are added and, by retention, removed; nothing is ever updated but
-- the heads of the chains. Times are milliseconds since 1970.

-- Where each tenant's chains end.
CREATE TABLE audit_chains (
    tenant TEXT PRIMARY KEY,
    seq INTEGER NOT NULL,
    record_hash BLOB NOT NULL,
    batch_hash BLOB NOT NULL,
    -- The last record that retention has removed.
    pruned_seq INTEGER NOT NULL DEFAULT 0,
    -- The last record that an anchor covers.
    anchored_seq INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

CREATE TABLE audit_events (
    tenant TEXT NOT NULL,
    seq INTEGER NOT NULL CHECK (seq > 0),
    id BLOB NOT NULL,
    time INTEGER NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    target TEXT,
    ip TEXT,
    user_agent TEXT,
    request_id TEXT,
    before TEXT,
    after TEXT,
    metadata TEXT,
    hash BLOB NOT NULL,
    PRIMARY KEY (tenant, seq)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX audit_events_id ON audit_events (tenant, id);
CREATE INDEX audit_events_time ON audit_events (tenant, time);

-- One row a commit and tenant. They stay when their records are removed, so that the chain can still be followed.
CREATE TABLE audit_batches (
    tenant TEXT NOT NULL,
    first_seq INTEGER NOT NULL,
    last_seq INTEGER NOT NULL,
    root BLOB NOT NULL,
    record_hash BLOB NOT NULL,
    batch_hash BLOB NOT NULL,
    written_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, first_seq)
) STRICT, WITHOUT ROWID;

-- What was put into object storage, so that taking it away there is noticed.
CREATE TABLE audit_anchors (
    number INTEGER PRIMARY KEY,
    digest BLOB NOT NULL,
    made_at INTEGER NOT NULL
) STRICT;
