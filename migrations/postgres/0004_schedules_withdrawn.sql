-- A schedule that the configuration of whoever leads does not have is withdrawn: it does not run, and is kept for a while as it
-- was, because the next leader's configuration may have it again (a deployment under way, a scheduler without its file).

ALTER TABLE lovage.schedules ADD COLUMN withdrawn_at bigint;
-- Changes when its ticks begin anew, not when only its jobs are others: what a leader has decided of ticks still holds then.
ALTER TABLE lovage.schedules ADD COLUMN edition bigint NOT NULL DEFAULT 0;

DROP INDEX lovage.schedules_next;
CREATE INDEX schedules_next ON lovage.schedules (next_at) WHERE paused_since IS NULL AND withdrawn_at IS NULL AND next_at IS NOT NULL;
CREATE INDEX schedules_withdrawn ON lovage.schedules (withdrawn_at) WHERE withdrawn_at IS NOT NULL;

-- The time without success counts from the next tick, or from year 9999 when no tick is left and the last one's job has completed.
UPDATE lovage.schedules SET watched_since = 253402300799999 WHERE next_at IS NULL AND waiting_tick IS NULL;

-- Deadlines are looked at every two seconds: by when they pass, and those that have passed.
DROP INDEX lovage.schedules_deadline;
CREATE INDEX schedules_deadline ON lovage.schedules
    ((CASE WHEN last_success_at > watched_since THEN last_success_at ELSE watched_since END + success_within))
    WHERE success_within IS NOT NULL AND overdue_since IS NULL;
CREATE INDEX schedules_overdue ON lovage.schedules (name) WHERE overdue_since IS NOT NULL;

-- Runs whose jobs have failed may still succeed: somebody redrives the job.
CREATE INDEX schedule_runs_failed ON lovage.schedule_runs (at, schedule, tick) WHERE state IN ('discarded', 'cancelled');
