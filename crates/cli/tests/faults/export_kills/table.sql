-- A table that never stands still, and whose whole state follows from its version.
--
-- In the transaction of version v the rows whose id leaves the same remainder as v change, and only they: each is there or not
-- (`gone`), and if it is, all of its columns follow from its id and v. So whoever knows the version knows every row; `read.py`
-- says the same in its own words. `journal` tells which transaction made which version.

CREATE SEQUENCE versions;
CREATE TABLE journal (version bigint PRIMARY KEY, txid bigint NOT NULL);
CREATE TABLE records (
    id bigint PRIMARY KEY,
    version bigint NOT NULL,
    a bigint NOT NULL,
    b bigint NOT NULL,
    note text,
    amount numeric(12, 2) NOT NULL,
    at timestamptz NOT NULL
);

-- What cannot be made smaller by packing: 1,024 texts of 17,200 characters.
CREATE TABLE noise (n bigint PRIMARY KEY, text text NOT NULL);
ALTER TABLE noise ALTER text SET STORAGE external;
INSERT INTO noise
SELECT n, string_agg(translate(encode(sha512(convert_to(n || ':' || m, 'UTF8')), 'base64'), E'\n=', ''), '' ORDER BY m)
FROM generate_series(0, 1023) n, generate_series(0, 199) m
GROUP BY n;

CREATE FUNCTION pad(id bigint, version bigint, width bigint) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT left((SELECT text FROM noise WHERE n = (id + 7 * version) % 1024)
        || (SELECT text FROM noise WHERE n = (id + 7 * version + 512) % 1024), width::int)
$$;

CREATE FUNCTION gone(id bigint, version bigint) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT version > 0 AND (id + version / 50) % 3 = 0
$$;

CREATE FUNCTION put(version bigint, remainder bigint) RETURNS void LANGUAGE sql AS $$
    INSERT INTO records
    SELECT
        id, version,
        (id * 7919 + version * 104729) % 1000000,
        1000000 - (id * 7919 + version * 104729) % 1000000,
        CASE id % 5
            WHEN 1 THEN '' WHEN 2 THEN 'say "yes", or ' || version
            WHEN 3 THEN E'two\nlines' WHEN 4 THEN '订单 ' || id
        END,
        ((id * 31 + version * 17) % 1000000)::numeric / 100,
        timestamptz '2024-02-28 00:00:00Z' + make_interval(secs => id * 60 + version)
    FROM generate_series(1, 1500) id
    WHERE (remainder IS NULL OR id % 50 = remainder) AND NOT gone(id, version)
    ON CONFLICT (id) DO UPDATE SET
        version = excluded.version, a = excluded.a, b = excluded.b, note = excluded.note,
        amount = excluded.amount, at = excluded.at
$$;

-- One transaction; a call is one.
CREATE FUNCTION change() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v bigint := nextval('versions');
BEGIN
    INSERT INTO journal VALUES (v, txid_current());
    DELETE FROM records WHERE id % 50 = v % 50 AND gone(id, v);
    PERFORM put(v, v % 50);
    RETURN v;
END
$$;

-- Where an export waits: until nobody holds the key, for as long as that takes, and then until the table has changed under it. A
-- sequence shows its value to every snapshot.
CREATE FUNCTION gate(key bigint) RETURNS boolean LANGUAGE plpgsql SET lock_timeout = 0 AS $$
DECLARE
    seen bigint;
BEGIN
    PERFORM pg_advisory_xact_lock_shared(key);
    seen := (SELECT last_value FROM versions);
    WHILE (SELECT last_value FROM versions) < seen + 2 LOOP
        PERFORM pg_sleep(0.005);
    END LOOP;
    RETURN true;
END
$$;

SELECT put(0, NULL);
INSERT INTO journal VALUES (0, txid_current());
-- From here on about two thirds of the rows are there at any time.
SELECT change() FROM generate_series(1, 60);

-- For exports in chunks: rows that never change.
CREATE TABLE events (id bigint PRIMARY KEY, what text NOT NULL);
INSERT INTO events SELECT i, 'event ' || i FROM generate_series(1, 3000) i;
