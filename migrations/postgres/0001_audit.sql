-- The audit trail (docs/adr/015-audit-chains.md). Rows are added and, by retention, removed; nothing is ever updated but
-- the heads of the chains.

-- Where each tenant's chains end. The row is locked while a batch is added.
CREATE TABLE lovage.audit_chains (
    tenant text PRIMARY KEY,
    seq bigint NOT NULL,
    record_hash bytea NOT NULL,
    batch_hash bytea NOT NULL,
    -- The last record that retention has removed.
    pruned_seq bigint NOT NULL DEFAULT 0,
    -- The last record that an anchor covers.
    anchored_seq bigint NOT NULL DEFAULT 0
);

-- JSON is json and not jsonb: it is hashed as it was sent, and jsonb would change it.
CREATE TABLE lovage.audit_events (
    tenant text NOT NULL,
    seq bigint NOT NULL CHECK (seq > 0),
    id uuid NOT NULL,
    time timestamptz NOT NULL,
    actor text NOT NULL,
    action text NOT NULL,
    target text,
    ip text,
    user_agent text,
    request_id text,
    before json,
    after json,
    metadata json,
    hash bytea NOT NULL,
    PRIMARY KEY (tenant, seq),
    UNIQUE (tenant, id)
);

CREATE INDEX audit_events_time ON lovage.audit_events (tenant, time);

-- One row a commit and tenant. They stay when their records are removed, so that the chain can still be followed.
CREATE TABLE lovage.audit_batches (
    tenant text NOT NULL,
    first_seq bigint NOT NULL,
    last_seq bigint NOT NULL,
    root bytea NOT NULL,
    record_hash bytea NOT NULL,
    batch_hash bytea NOT NULL,
    written_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, first_seq)
);

-- What was put into object storage, so that taking it away there is noticed.
CREATE TABLE lovage.audit_anchors (
    number bigint PRIMARY KEY,
    digest bytea NOT NULL,
    made_at timestamptz NOT NULL
);
