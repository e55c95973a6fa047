-- What a spool holds, counted as rows come and go: it is asked at every insert. Run once, in a transaction.
CREATE TABLE IF NOT EXISTS lovage_spool (
    one   integer PRIMARY KEY CHECK (one = 1),
    jobs  integer NOT NULL,
    -- Of arguments and options.
    bytes integer NOT NULL
);
CREATE TRIGGER IF NOT EXISTS lovage_spool_insert AFTER INSERT ON lovage_outbox BEGIN
    UPDATE lovage_spool SET jobs = jobs + 1,
           bytes = bytes + length(CAST(new.args AS blob)) + length(CAST(new.options AS blob));
END;
CREATE TRIGGER IF NOT EXISTS lovage_spool_delete AFTER DELETE ON lovage_outbox BEGIN
    UPDATE lovage_spool SET jobs = jobs - 1,
           bytes = bytes - length(CAST(old.args AS blob)) - length(CAST(old.options AS blob));
END;
-- Somebody mended a row that cannot become a job.
CREATE TRIGGER IF NOT EXISTS lovage_spool_update AFTER UPDATE OF args, options ON lovage_outbox BEGIN
    UPDATE lovage_spool SET bytes = bytes + length(CAST(new.args AS blob)) + length(CAST(new.options AS blob))
           - length(CAST(old.args AS blob)) - length(CAST(old.options AS blob));
END;
INSERT OR IGNORE INTO lovage_spool (one, jobs, bytes)
    SELECT 1, count(*), coalesce(sum(length(CAST(args AS blob)) + length(CAST(options AS blob))), 0) FROM lovage_outbox;
