"""Celery's side of `cargo xtask bench queue --peers`: one verb a run, its result as a line of JSON.

    celery_peer.py fill|single|drain|latency REDIS_URL JOBS

POOL says how the worker runs: `prefork` (one worker, two processes) or `solo` (two workers). All else is Celery's default.
Every job marks its number in a file that all processes map, so each of them is counted once, by whoever ran it.
"""

import json
import mmap
import os
import struct
import subprocess
import sys
import time

from celery import Celery
from redis import Redis

URL = os.environ.get("PEER_URL") or sys.argv[2]
MARKS = os.environ.get("PEER_MARKS")

app = Celery("celery_peer", broker=URL)
app.conf.update(task_ignore_result=True)
marks = None


def mapped(path):
    with open(path, "r+b") as file:
        return mmap.mmap(file.fileno(), 0)


@app.task(name="note")
def note(n, pad):
    """Counts the run (first byte of the job's nine) and notes when it began."""
    global marks
    began = time.monotonic_ns()
    marks = marks or mapped(MARKS)
    struct.pack_into("<Bq", marks, 9 * n, marks[9 * n] + 1, began)


def arguments(n):
    """Keyword arguments of 200 bytes of JSON."""
    bare = len(json.dumps({"n": n, "pad": ""}, separators=(",", ":")))
    return {"n": n, "pad": "x" * (200 - bare)}


def fill(jobs):
    start = time.monotonic()
    with app.producer_or_acquire() as producer:
        for n in range(jobs):
            note.apply_async(kwargs=arguments(n), producer=producer)
    return {"seconds": time.monotonic() - start}


def single(jobs):
    start = time.monotonic()
    for n in range(jobs):
        note.delay(**arguments(n))
    return {"seconds": time.monotonic() - start}


def workers(path):
    """Starts the workers; their logs are dropped."""
    pool = os.environ["POOL"]
    common = [sys.executable, "-m", "celery", "-A", "celery_peer", "worker", "--loglevel", "WARNING"]
    shapes = [["-P", "prefork", "-c", "2"]] if pool == "prefork" else [["-P", "solo"], ["-P", "solo"]]
    env = dict(os.environ, PEER_URL=URL, PEER_MARKS=path)
    here = os.path.dirname(os.path.abspath(__file__))
    return [
        subprocess.Popen(
            common + shape + ["-n", f"peer{number}@%h"], env=env, cwd=here,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        for number, shape in enumerate(shapes)
    ]


def stop(processes):
    for process in processes:
        process.terminate()
    for process in processes:
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()


def cpu_seconds(roots):
    """Processor time of these processes and their children."""
    total = 0
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/stat") as file:
                fields = file.read().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(entry) in roots or int(fields[1]) in roots:
            total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def fresh_marks(jobs):
    path = MARKS or f"/tmp/celery-peer-{os.getpid()}"
    with open(path, "wb") as file:
        file.truncate(9 * jobs)
    return path, mapped(path)


def drain(jobs):
    redis = Redis.from_url(URL)
    path, seen = fresh_marks(jobs)
    ran = lambda: jobs - seen[:: 9].count(0)
    left = lambda: redis.llen("celery") + redis.hlen("unacked")
    processes = workers(path)
    roots = {process.pid for process in processes}
    try:
        while (before := ran()) == 0:
            time.sleep(0.002)
        start, cpu = time.monotonic(), cpu_seconds(roots)
        while ran() < jobs or left() > 0:
            time.sleep(0.005)
        seconds, cpu = time.monotonic() - start, cpu_seconds(roots) - cpu
    finally:
        stop(processes)
        os.unlink(path)
    counts = seen[:: 9]
    return {
        "rate": (jobs - before) / seconds,
        "cpu_seconds": cpu,
        "ran": ran(),
        "twice": sum(count - 1 for count in counts if count > 1),
        "left": left(),
    }


def latency(jobs):
    warm = 20
    path, seen = fresh_marks(jobs + warm)
    processes = workers(path)
    sent = []
    try:
        for n in range(warm):
            note.delay(**arguments(n))
            while seen[9 * n] == 0:
                time.sleep(0.001)
        begin = time.monotonic()
        for n in range(jobs):
            time.sleep(max(0, begin + n * 0.01 - time.monotonic()))
            sent.append(time.monotonic_ns())
            note.delay(**arguments(warm + n))
        while seen[:: 9].count(0) > 0:
            time.sleep(0.005)
    finally:
        stop(processes)
        os.unlink(path)
    began = [struct.unpack_from("<q", seen, 9 * (warm + n) + 1)[0] for n in range(jobs)]
    waits = sorted((at - before) / 1e6 for at, before in zip(began, sent))
    return {"p50_ms": waits[jobs // 2], "p99_ms": waits[jobs * 99 // 100]}


if __name__ == "__main__":
    verbs = {"fill": fill, "single": single, "drain": drain, "latency": latency}
    print(json.dumps(verbs[sys.argv[1]](int(sys.argv[3]))))
