-- From version 2 of the embedded broker's file to version 3: ageing. `schema.sql` says what the columns are.

ALTER TABLE queue ADD COLUMN aged INTEGER NOT NULL DEFAULT 0;
ALTER TABLE lane ADD COLUMN aged INTEGER NOT NULL DEFAULT 0;
PRAGMA user_version = 3;
