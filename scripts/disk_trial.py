#!/usr/bin/env python3
"""Disks that are full: the job fails and names the folder and the way out, nothing is left, the worker goes on.

Stores and outputs are on a tmpfs of a few megabytes, which only root can mount.
"""

import argparse
import contextlib
import json
import subprocess
import tempfile
import time
from pathlib import Path

import duckdb

from cluster import Cluster, Failed, check, find_binaries, main

DISK_MIB = 48
WINDOW = "SELECT id, row_number() OVER (PARTITION BY id % 2 ORDER BY text) AS n FROM t"


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", help="folder of swath and swath-worker [default: the newest build]")
    return parser.parse_args()


def make_table(path, rows):
    duckdb.execute(f"""COPY (SELECT (hash(i) >> 2)::BIGINT AS id, md5(i::VARCHAR) || md5((i + 1)::VARCHAR) AS text
        FROM range({rows}) t(i)) TO '{path}' (FORMAT parquet)""")


@contextlib.contextmanager
def small_disk(folder):
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "tmpfs", folder], check=False)
    check(mounted.returncode == 0, "a tmpfs cannot be mounted: run this as root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def files_of_rows(folder):
    return sorted(str(path) for path in folder.rglob("*") if path.is_file() and path.name != "lock")


def emptied(folder):
    """Waits until a folder holds no rows: a worker hears of the end of a job a moment after its client."""
    deadline = time.monotonic() + 20
    while files_of_rows(folder):
        check(time.monotonic() < deadline, f"left behind: {files_of_rows(folder)}")
        time.sleep(0.1)


def failing(cluster, job, *parts):
    """Runs a job that must fail with a message that has these parts; returns the message, and keeps nothing for a retry."""
    id_ = cluster.swath("submit", *job).splitlines()[-1]
    while True:
        status = json.loads(cluster.swath("status", id_, "--json"))
        if status["state"] == "failed":
            break
        check(status["state"] not in ("succeeded", "cancelled"), f"job {id_} {status['state']}")
        time.sleep(0.1)
    message = status["error"]["message"]
    for part in parts:
        check(str(part) in message, f"'{part}' is not in: {message}")
    cluster.swath("forget", id_)
    return message


def case(title, binaries, folder, job, then, parts, flags, watched):
    """One fault: a job that fails with a message, an empty disk after it, and a job that the same worker ends well."""
    with Cluster(binaries, folder, 1, flags) as cluster:
        cluster.start_workers("w")
        worker = cluster.workers["w"]
        message = failing(cluster, job, *parts)
        emptied(watched)
        cluster.end_of(cluster.swath("submit", *then).splitlines()[-1], 120)
        check(worker.poll() is None, "the worker ended")
    print(f"{title}: {message}\n", flush=True)


def trial(options):
    binaries = find_binaries(options.bin)
    with tempfile.TemporaryDirectory(prefix="swath-disk-") as folder:
        folder = Path(folder)
        large, small = folder / "large.parquet", folder / "small.parquet"
        make_table(large, 2_000_000)
        make_table(small, 10_000)
        out, small_out = folder / "out.parquet", folder / "small-out.parquet"
        sort = ["sort", "--by", "id", str(large), "-o", str(out)]
        then = ["sort", "--by", "id", str(small), "-o", str(small_out), "--overwrite"]
        window = ["sql", WINDOW, "--table", f"t={large}", "-o", str(out)]
        memory = ["--memory", "256MiB", "--store-memory", "8MiB"]

        with small_disk(folder / "a") as disk:
            case("a disk without space for partitions", binaries, folder / "ca", sort, then,
                 ["no space is left", disk, "--store-dir"], [*memory, "--store-dir", disk], disk)
        with small_disk(folder / "b") as disk:
            case("--store-disk is used up by partitions", binaries, folder / "cb", sort, then,
                 [disk, "--store-disk"], [*memory, "--store-dir", disk, "--store-disk", "16MiB"], disk)
        # Partitions fit the store's memory here, what the tasks spill does not fit the disk.
        roomy = ["--memory", "512MiB", "--store-memory", "320MiB"]
        with small_disk(folder / "c") as disk:
            case("a disk without space for what is spilled", binaries, folder / "cc", window, then,
                 ["spill", disk, "--store-dir"], [*roomy, "--store-dir", disk], disk)
        with small_disk(folder / "d") as disk:
            case("--store-disk is used up by what is spilled", binaries, folder / "cd", window, then,
                 ["spill", disk, "--store-disk"], [*roomy, "--store-dir", disk, "--store-disk", "16MiB"], disk)
        with small_disk(folder / "e") as disk:
            onto = ["sort", "--by", "id", str(large), "-o", str(disk / "out.parquet"), "--compress", "none"]
            case("a disk without space for the output", binaries, folder / "ce", onto, then,
                 [disk / "out.parquet"], ["--memory", "512MiB"], disk)
        check(not out.exists(), f"{out} was committed by a job that failed")
    print("every full disk was a clear failure, and left nothing")


if __name__ == "__main__":
    main(lambda: trial(arguments()))
