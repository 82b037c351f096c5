#!/usr/bin/env python3
"""TPC-H's 22 queries: three `swath-worker` processes on a nats-server against DataFusion alone in one process.

Same Parquet files, same machine, one after the other. The time of swath is that of the whole command `swath run sql`, from its start
until the output is committed; that of DataFusion is from the statement to the written result, in a process that runs already.
Every answer must be the same. Prints a Markdown table; exits with 1 when an answer differs.
"""

import argparse
import csv
import os
import platform
import subprocess
import tempfile
import time
from pathlib import Path

import cluster
from cluster import check

TABLES = ("nation", "region", "part", "supplier", "customer", "partsupp", "orders", "lineitem")


def options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", help="folder of swath, swath-worker and examples/tpch [default: the newest build; measure a release build]")
    parser.add_argument("--scale", type=float, default=1, help="1 makes 6 million rows of lineitem")
    parser.add_argument("--tables", help="folder of tables [default: they are made in the scratch folder]; made there when it has none")
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--slots", type=int, default=1, help="of each worker")
    parser.add_argument("--threads", type=int, default=2, help="of DataFusion alone")
    parser.add_argument("--queries", help="only these, such as 1,6,21")
    parser.add_argument("--folder", help="where scratch files go [default: a temporary folder]")
    return parser.parse_args()


def tpch(binaries, *arguments):
    program = binaries / "examples" / "tpch"
    check(program.is_file(), f"no {program}: run `cargo build --release --workspace --bins --example tpch`")
    command = [str(program), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    check(done.returncode == 0, f"{' '.join(command)}: exit code {done.returncode}\n{done.stderr.strip()}")
    return done.stdout


def rows_of(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def alike(ours, theirs):
    """The same text, or numbers that differ in their last digits: sums of parts are rounded elsewhere."""
    if ours == theirs:
        return True
    try:
        a, b = float(ours), float(theirs)
    except ValueError:
        return False
    return abs(a - b) <= 1e-9 * max(abs(b), 1)


def difference(ours, theirs):
    """Says where two results differ, or returns None. The order counts: 21 of the queries state one, the other has one row."""
    if len(ours) != len(theirs):
        return f"{len(ours) - 1} rows instead of {len(theirs) - 1}"
    for number, (a, b) in enumerate(zip(ours, theirs)):
        if len(a) != len(b) or not all(map(alike, a, b)):
            return f"row {number}: {a} instead of {b}"
    return None


def machine():
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    return f"{os.cpu_count()} × {model}, {time.strftime('%Y-%m-%d')}, load before {os.getloadavg()[0]:.1f}"


def prepare(binaries, args, folder):
    tables = Path(args.tables) if args.tables else folder / "tables"
    if not (tables / "lineitem.parquet").is_file():
        started = time.monotonic()
        tpch(binaries, "generate", tables, args.scale)
        size = sum(file.stat().st_size for file in tables.iterdir())
        print(f"tables of scale {args.scale:g} made in {time.monotonic() - started:.0f} s: {size / 1e6:.0f} MB of Parquet")
    return tables


def statement_of(path):
    """Leaves out the lines of comment: an argument that begins with dashes would be taken for an option."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return "\n".join(line for line in lines if not line.startswith("--"))


def by_datafusion(binaries, tables, threads, output):
    lines = tpch(binaries, "alone", tables, threads, output).splitlines()
    return {int(number): float(seconds) for number, seconds, _ in (line.split() for line in lines)}


def by_swath(nats, statement, tables, output):
    named = [word for name in TABLES for word in ("--table", f"{name}={tables / name}.parquet")]
    started = time.monotonic()
    nats.swath("--quiet", "run", "sql", statement, *named, "-o", output)
    return time.monotonic() - started


def main():
    args = options()
    binaries = cluster.find_binaries(args.bin)
    with tempfile.TemporaryDirectory(prefix="swath-tpch-", dir=args.folder) as temporary:
        folder = Path(temporary)
        print(f"{machine()}; binaries: {binaries}")
        tables = prepare(binaries, args, folder)
        queries = folder / "queries"
        tpch(binaries, "queries", queries)
        numbers = [int(n) for n in args.queries.split(",")] if args.queries else range(1, 23)
        alone = by_datafusion(binaries, tables, args.threads, folder / "alone")
        print(f"\n| query | DataFusion alone, {args.threads} threads, s | {args.workers} workers of {args.slots} slot, s | ratio | rows | answer |")
        print("|---|---|---|---|---|---|", flush=True)
        wrong, ours_total, alone_total = [], 0, 0
        with cluster.Cluster(binaries, folder / "cluster", args.slots) as nats:
            nats.start_workers(*(f"worker-{number}" for number in range(args.workers)))
            for number in numbers:
                statement = statement_of(queries / f"{number}.sql")
                output = folder / f"{number}.csv"
                seconds = by_swath(nats, statement, tables, output)
                ours, theirs = rows_of(output), rows_of(folder / "alone" / f"{number}.csv")
                differs = difference(ours, theirs)
                if differs:
                    wrong.append(f"q{number}: {differs}")
                ours_total, alone_total = ours_total + seconds, alone_total + alone[number]
                word = "DIFFERENT" if differs else "equal"
                ratio = seconds / alone[number]
                print(f"| {number} | {alone[number]:.2f} | {seconds:.2f} | {ratio:.1f} | {len(theirs) - 1} | {word} |", flush=True)
        print(f"| all | {alone_total:.2f} | {ours_total:.2f} | {ours_total / alone_total:.1f} | | |")
        check(not wrong, "\n".join(["answers differ:", *wrong]))


if __name__ == "__main__":
    cluster.main(main)
