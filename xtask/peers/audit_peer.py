"""The peers' side of `cargo xtask bench audit --peers`: events of a file into the table `peer_events`.

    audit_peer.py celery|copy|rows DATABASE_URL FILE EVENTS REDIS_URL

`celery` is an event a task: one prefork worker with two processes, each of which keeps its connection open; its time runs
from the first enqueue until all rows are committed, with the worker ready before. `copy` writes 2,000 rows a commit with
COPY, `rows` one row a commit (autocommit, as Celery's tasks: one round trip a row); their `seconds` begin when all rows lie ready in memory, hash included, and those of
`copy` that are called `all_seconds` when the program does.
"""

import hashlib
import json
import os
import subprocess
import sys
import time

BEGAN = time.monotonic()
URL = os.environ.get("PEER_DATABASE") or sys.argv[2]
BROKER = os.environ.get("PEER_BROKER") or sys.argv[5]
BATCH = 2_000
COLUMNS = (
    "tenant", "seq", "id", "time", "actor", "action", "target", "ip", "user_agent", "request_id", "before", "after",
    "metadata", "hash",
)
NAMES = ", ".join(COLUMNS)
INSERT = f"INSERT INTO peer_events ({NAMES}) VALUES ({', '.join(['%s'] * len(COLUMNS))})"


def json_text(value):
    return None if value is None else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def row(seq, event, line):
    """A row as the table has it. The hash is one of the line: no chain, only as many bytes."""
    from datetime import datetime, timezone

    time = datetime.fromtimestamp(event["time"] / 1000, timezone.utc)
    texts = [event.get(name) for name in ("actor", "action", "target", "ip", "user_agent", "request_id")]
    jsons = [json_text(event.get(name)) for name in ("before", "after", "metadata")]
    return ("", seq, event["id"], time, *texts, *jsons, hashlib.sha256(line.encode()).digest())


def rows_of(file, count):
    with open(file, encoding="utf-8") as lines:
        return [row(seq, json.loads(line), line) for seq, line in zip(range(1, count + 1), lines)]


def copy(file, count, batch=BATCH):
    import psycopg

    with psycopg.connect(URL) as connection:
        rows = rows_of(file, count)
        start = time.monotonic()
        for first in range(0, count, batch):
            with connection.cursor().copy(f"COPY peer_events ({NAMES}) FROM STDIN") as into:
                for values in rows[first : first + batch]:
                    into.write_row(values)
            connection.commit()
        end = time.monotonic()
    return {"seconds": end - start, "all_seconds": end - BEGAN, "cpu_seconds": time.process_time(), "rows": count}


def one_by_one(file, count):
    import psycopg

    with psycopg.connect(URL, autocommit=True) as connection, connection.cursor() as cursor:
        rows = rows_of(file, count)
        start = time.monotonic()
        for values in rows:
            cursor.execute(INSERT, values)
        return {"seconds": time.monotonic() - start, "rows": count}


def application():
    import psycopg
    from celery import Celery

    app = Celery("audit_peer", broker=BROKER)
    app.conf.update(task_ignore_result=True)
    open_connections = {}

    @app.task(name="write")
    def write(seq, event, line_hash):
        connection = open_connections.get("one") or open_connections.setdefault("one", psycopg.connect(URL, autocommit=True))
        values = row(seq, event, "")
        connection.execute(INSERT, (*values[:-1], bytes.fromhex(line_hash)))

    return app, write


def celery(file, count):
    """The first row goes in before the clock starts: then the worker is there."""
    import psycopg
    from redis import Redis

    redis = Redis.from_url(BROKER)
    app, write = application()
    with open(file, encoding="utf-8") as lines:
        events = [(seq, json.loads(line), hashlib.sha256(line.encode()).hexdigest())
                  for seq, line in zip(range(1, count + 1), lines)]
    worker = subprocess.Popen(
        [sys.executable, "-m", "celery", "-A", "audit_peer", "worker", "-P", "prefork", "-c", "2", "--loglevel", "WARNING"],
        env=dict(os.environ, PEER_DATABASE=URL, PEER_BROKER=BROKER), cwd=os.path.dirname(os.path.abspath(__file__)),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    try:
        with psycopg.connect(URL, autocommit=True) as connection, app.producer_or_acquire() as producer:
            def wait_for(rows):
                # The table is counted only when no task waits: counting it takes of the cores that are measured.
                while redis.llen("celery") > 0:
                    time.sleep(0.005)
                while connection.execute("SELECT count(*) FROM peer_events").fetchone()[0] < rows:
                    time.sleep(0.005)

            write.apply_async(args=events[0], producer=producer)
            wait_for(1)
            start = time.monotonic()
            for event in events[1:]:
                write.apply_async(args=event, producer=producer)
            wait_for(count)
            seconds = time.monotonic() - start
    finally:
        worker.terminate()
        worker.wait()
    return {"seconds": seconds, "rows": count}


if __name__ == "__main__":
    verbs = {"celery": celery, "copy": copy, "rows": one_by_one}
    print(json.dumps(verbs[sys.argv[1]](sys.argv[3], int(sys.argv[4]))))
else:
    app, _ = application()
