-- From version 3 of the embedded broker's file to version 4: recorders. `schema.sql` says what the columns are.

ALTER TABLE queue ADD COLUMN recorded INTEGER;
ALTER TABLE queue ADD COLUMN recorded_at INTEGER;
ALTER TABLE queue ADD COLUMN recorded_said INTEGER;
PRAGMA user_version = 4;
