#!/usr/bin/env python3
"""Tables ten times larger than the workers' limit: every job ends well, and no worker passes its limit by 10 %.

Tables are made and results are checked with DuckDB, order with pyarrow. The peak of a worker is the kernel's own
(`VmHWM`), set back before each job. `--list` names the jobs. Workers tell glibc's
allocator to give memory back (`worker/src/allocator.rs`); they have the script's environment, so that `GLIBC_TUNABLES=` with
nothing behind it shows what that is worth.
"""

import argparse
import os
import re
import shutil
import tempfile
import threading
import time
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from cluster import Cluster, check, find_binaries, main

UNITS = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
# Bytes of a row of `facts` in memory: four columns of 8, a text of 88 with its offset.
FACT_BYTES = 4 * 8 + 4 + 88
# More than the limit allows by this is a failure.
TOLERANCE = 1.1


class Job:
    """A job: its arguments after the inputs, and statements that DuckDB must answer alike on `out` and `expected`."""

    def __init__(self, about, arguments, expected, facts, order=None):
        self.about, self.arguments, self.expected, self.facts, self.order = about, arguments, expected, facts, order


FACTS_OF_ROWS = "count(*), sum(id), sum(value), sum(hash(text) >> 32)"
JOINED = "count(*), sum(id), sum(value), sum(hash(note) >> 32)"

JOBS = {
    "sort": Job(
        "all rows by a random key",
        ["sort", "--by", "r", "{facts}"],
        "facts", FACTS_OF_ROWS, order="r",
    ),
    "sort-big-groups": Job(
        "the same, of a file with row groups of a million rows",
        ["sort", "--by", "r desc", "{coarse}"],
        "facts", FACTS_OF_ROWS, order="-r",
    ),
    "sort-csv": Job(
        "the same, to CSV",
        ["sort", "--by", "r", "{facts}", "--output-format", "csv"],
        "facts", FACTS_OF_ROWS, order="r",
    ),
    "join": Job(
        "both sides larger than a worker",
        ["sql", "SELECT f.id, f.value, d.note FROM facts f JOIN dims d ON f.key = d.key",
         "--table", "facts={facts}", "--table", "dims={dims}"],
        "facts JOIN dims USING (key)", JOINED,
    ),
    "join-full": Job(
        "half of the keys of each side without a partner, all columns",
        ["join", "--left", "{facts}", "--right", "{dims}", "--on", "key=other", "--how", "full"],
        "facts f FULL JOIN dims d ON f.key = d.other", JOINED,
    ),
    "join-broadcast": Job(
        "a right side that is small as stored, and larger than a task in memory",
        ["sql", "SELECT f.id, f.value, w.note FROM facts f JOIN words w ON f.key = w.key",
         "--table", "facts={facts}", "--table", "words={words}"],
        "facts JOIN words USING (key)", JOINED,
    ),
    "group": Job(
        "a tenth as many groups as rows",
        ["group-by", "--by", "key", "--agg", "sum(value) as value, count(*) as n, max(text) as text", "{facts}"],
        "(SELECT key, sum(value) AS value, count(*) AS n, max(text) AS text FROM facts GROUP BY key)",
        "count(*), sum(key), sum(value), sum(n), sum(hash(text) >> 32)",
    ),
    "group-rows": Job(
        "as many groups as rows",
        ["group-by", "--by", "id,text", "--agg", "sum(value) as value", "{facts}"],
        "facts", FACTS_OF_ROWS,
    ),
    "skew-window": Job(
        "rows numbered within keys, one of which has four of five rows",
        ["sql", "SELECT id, value, key, text, row_number() OVER (PARTITION BY key ORDER BY r) AS n FROM skewed",
         "--table", "skewed={skewed}"],
        "(SELECT *, row_number() OVER (PARTITION BY key ORDER BY r) AS n FROM skewed)",
        "count(*), sum(id), sum(value), sum(hash(text) >> 32), sum((id % 1009) * n)",
    ),
    "skew-join": Job(
        "a join on that key",
        ["sql", "SELECT s.id, s.value, d.note FROM skewed s JOIN dims d ON s.key = d.key",
         "--table", "skewed={skewed}", "--table", "dims={dims}"],
        "skewed JOIN dims USING (key)", JOINED,
    ),
    "skew-build": Job(
        "a join that collects rows of one key: the side of that key is the smaller one",
        ["sql", "SELECT s.id, s.value, f.text AS note FROM skewed s JOIN facts f ON s.key = f.id + {heavy}",
         "--table", "facts={facts}", "--table", "skewed={tail}"],
        "(SELECT s.id, s.value, f.text AS note FROM tail s JOIN facts f ON s.key = f.id + {heavy})", JOINED,
    ),
    "skew-group": Job(
        "a group of four of five rows, counted by distinct texts",
        ["group-by", "--by", "key", "--agg", "count(distinct text) as texts, sum(value) as value", "{skewed}"],
        "(SELECT key, count(DISTINCT text) AS texts, sum(value) AS value FROM skewed GROUP BY key)",
        "count(*), sum(key), sum(texts), sum(value)",
    ),
}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", help="folder of swath and swath-worker [default: the newest build]")
    parser.add_argument("--limit", default="256MiB", help="--memory of each worker [default: %(default)s]")
    parser.add_argument("--times", type=int, default=10, help="bytes of the table, in limits [default: %(default)s]")
    parser.add_argument("--workers", type=int, default=2, help="[default: %(default)s]")
    parser.add_argument("--slots", type=int, default=1, help="of each worker [default: %(default)s]")
    parser.add_argument("--only", action="append", choices=JOBS, help="run this job; may be repeated")
    parser.add_argument("--folder", help="where tables and results go; tables there are used again")
    parser.add_argument("--list", action="store_true", help="name the jobs and end")
    return parser.parse_args()


def bytes_of(text):
    match = re.fullmatch(r"(\d+)(KiB|MiB|GiB)", text)
    check(match, f"--limit {text}: write it as 256MiB")
    return int(match[1]) * UNITS[match[2]]


def make_tables(folder, table_bytes):
    """Makes the tables that are not there; returns their paths, and the key that most rows of `skewed` have."""
    rows = table_bytes // FACT_BYTES
    keys = rows // 10
    heavy = 7
    row = f"""i AS id, (i * 7919) % {keys} AS key, (hash(i) >> 2)::BIGINT AS r, (i % 1000) / 8.0 AS value,
        md5(i::VARCHAR) || md5((i + 1)::VARCHAR) || substr(md5((i + 2)::VARCHAR), 1, 24) AS text"""
    skew = f"* REPLACE (CASE WHEN id % 5 < 4 THEN {heavy} ELSE key END AS key)"
    facts = f"SELECT {row} FROM range({rows}) t(i)"
    statements = {
        "facts": (facts, ""),
        "coarse": (facts, ", ROW_GROUP_SIZE 1048576"),
        # Notes of 256 letters: twice a worker's limit and more.
        "dims": (f"""SELECT i AS key, i + {keys // 2} AS other,
            repeat(md5(i::VARCHAR), 8) || i AS note FROM range({keys}) t(i)""", ""),
        "words": (f"""SELECT i AS key, repeat('word ', 30) || (i % 100) AS note FROM range({keys // 2}) t(i)""", ""),
        "skewed": (f"SELECT {skew} FROM ({facts})", ""),
        "tail": (f"SELECT * REPLACE ({heavy} AS key) FROM ({facts}) WHERE id % 10 < 3", ""),
    }
    database = connect(folder)
    paths = {}
    for name, (statement, options) in statements.items():
        paths[name] = folder / f"{name}-{rows}.parquet"
        if not paths[name].exists():
            part = folder / f"{name}.part"
            database.execute(f"COPY ({statement}) TO '{part}' (FORMAT parquet{options})")
            part.rename(paths[name])
    return paths, heavy


def connect(folder):
    database = duckdb.connect()
    database.execute(f"SET temp_directory = '{folder}/duckdb'; SET memory_limit = '4GB'; SET threads = 2")
    return database


class Watch:
    """The memory of processes: the kernel's peak, and what it was made of when a sample came nearest to it."""

    def __init__(self, processes):
        self.processes, self.stopped = processes, threading.Event()
        self.largest = {name: {} for name in processes}
        for process in processes.values():
            Path(f"/proc/{process.pid}/clear_refs").write_text("5")
        self.thread = threading.Thread(target=self.sample, daemon=True)
        self.thread.start()

    def sample(self):
        while not self.stopped.wait(0.02):
            for name, process in self.processes.items():
                now = memory_of(process)
                if now.get("VmRSS", 0) > self.largest[name].get("VmRSS", 0):
                    self.largest[name] = now

    def stop(self):
        self.stopped.set()
        self.thread.join()
        return {name: memory_of(process)["VmHWM"] for name, process in self.processes.items()}


def memory_of(process):
    """Returns the lines of /proc/PID/status that count memory, in bytes."""
    text = Path(f"/proc/{process.pid}/status").read_text()
    return {name: int(kib) << 10 for name, kib in re.findall(r"^(VmHWM|VmRSS|RssAnon|RssFile):\s+(\d+) kB", text, re.M)}


def run(job, cluster, paths, heavy, out):
    fill = {name: str(path) for name, path in paths.items()} | {"heavy": heavy}
    extra = [] if "--output-format" in job.arguments else ["--compress", "none"]
    command = [text.format(**fill) for text in job.arguments] + ["-o", out, *extra]
    verb, rest = command[0], command[1:]
    id_ = cluster.swath("submit", verb, *rest).splitlines()[-1]
    return cluster.end_of(id_, 3600)


def verify(job, database, paths, heavy, out):
    for name, path in paths.items():
        database.execute(f"CREATE OR REPLACE VIEW {name} AS SELECT * FROM '{path}'")
    source = f"read_csv('{out}')" if str(out).endswith(".csv") else f"'{out}'"
    found = database.execute(f"SELECT {job.facts} FROM {source}").fetchone()
    expected = database.execute(f"SELECT {job.facts} FROM {job.expected.format(heavy=heavy)}").fetchone()
    check(found == expected, f"found {found}, expected {expected}")
    if job.order and not str(out).endswith(".csv"):
        check_order(out, job.order)
    return expected[0]


def check_order(out, key):
    last = None
    sign, column = (-1, key[1:]) if key.startswith("-") else (1, key)
    for batch in pq.ParquetFile(out).iter_batches(columns=[column], batch_size=1 << 20):
        values = batch.column(0).to_numpy() * sign
        check((values[1:] >= values[:-1]).all(), f"{out} is not in the order of {key}")
        check(last is None or values[0] >= last, f"{out} is not in the order of {key} between row groups")
        last = values[-1]


def mib(count):
    return f"{count / (1 << 20):.0f}"


def trial(options, folder):
    binaries = find_binaries(options.bin)
    limit = bytes_of(options.limit)
    paths, heavy = make_tables(folder, limit * options.times)
    database = connect(folder)
    jobs = options.only or list(JOBS)
    names = [f"w{number}" for number in range(options.workers)]
    over, flags = [], ["--memory", options.limit]
    state = Path(tempfile.mkdtemp(prefix="cluster-", dir=folder))
    print(f"{options.workers} workers of {options.slots} slots with --memory {options.limit}; facts: "
          f"{mib(limit * options.times)} MiB in memory, {mib(paths['facts'].stat().st_size)} MiB as stored", flush=True)
    print(f"{'job':<16} {'seconds':>8} {'rows':>10}  peak of each worker in MiB (anonymous + file at a sample), peak/limit")
    with Cluster(binaries, state, options.slots, flags) as cluster:
        cluster.start_workers(*names)
        idle = ", ".join(mib(memory_of(worker)["VmRSS"]) for worker in cluster.workers.values())
        print(f"{'(idle)':<16} {'':>8} {'':>10}  {idle}", flush=True)
        for name in jobs:
            job = JOBS[name]
            out = folder / f"out-{name}{'.csv' if 'csv' in job.arguments else '.parquet'}"
            out.unlink(missing_ok=True)
            watch = Watch(cluster.workers)
            began = time.monotonic()
            try:
                run(job, cluster, paths, heavy, out)
            finally:
                peaks = watch.stop()
                took = time.monotonic() - began
                shown = ", ".join(
                    f"{mib(peak)} ({mib(watch.largest[w].get('RssAnon', 0))} + {mib(watch.largest[w].get('RssFile', 0))})"
                    for w, peak in peaks.items()
                )
                ratio = max(peaks.values()) / limit
                print(f"{name:<16} {took:>8.1f} ", end="")
            rows = verify(job, database, paths, heavy, out)
            print(f"{rows:>10}  {shown}, {ratio:.2f}", flush=True)
            out.unlink()
            if ratio > TOLERANCE:
                over.append(f"{name} ({ratio:.2f})")
    shutil.rmtree(state)
    check(not over, f"over the limit and 10 %: {', '.join(over)}")
    print(f"all {len(jobs)} jobs ended well, within the limit and 10 %")


def start():
    options = arguments()
    if options.list:
        for name, job in JOBS.items():
            print(f"{name:<16} {job.about}")
        return
    if options.folder:
        folder = Path(options.folder).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        trial(options, folder)
    else:
        with tempfile.TemporaryDirectory(prefix="swath-memory-", dir=os.environ.get("TMPDIR")) as folder:
            trial(options, Path(folder))


if __name__ == "__main__":
    main(start)
