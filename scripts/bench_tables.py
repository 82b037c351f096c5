#!/usr/bin/env python3
"""A group-by, a sort and a join on two workers of one slot, against DataFusion alone and against Dask.

Facts (id, v, q): ROWS rows in eight Parquet files, ids at random out of a tenth as many. Dimensions (id, w, name): one row an id.
Every system reads the same files and writes Parquet with Snappy; runs alternate, medians count. What is measured: Swath, from the
start of `swath run --nats` to its end, on workers that run already; DataFusion, a process with two threads from start to end; Dask,
a query on two worker processes of one thread that run already. CPU time is of all processes that took part (but nats-server).
The outputs must hold the same rows. Prints a Markdown table.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cluster
from cluster import check

SQL = {
    "group-by": "SELECT id, count(*) AS n, sum(v) AS v, max(q) AS q FROM facts GROUP BY id",
    "sort": "SELECT * FROM facts ORDER BY v, id",
    "join": "SELECT facts.id AS id, v, q, w, name FROM facts JOIN dims ON facts.id = dims.id",
}
TICK = os.sysconf("SC_CLK_TCK")


def options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", help="folder of swath, swath-worker and datafusion-alone [default: the newest build]")
    parser.add_argument("--rows", type=int, default=20_000_000, help="rows of the facts; a tenth as many ids and dimensions")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--dask-runs", type=int, default=1, help="0 leaves Dask out")
    parser.add_argument("--partitions", type=int, help="of swath's exchanges [default: as swath chooses]")
    parser.add_argument("--swath-only", action="store_true", help="neither DataFusion nor Dask: for profiles")
    parser.add_argument("--only", choices=list(SQL), action="append", help="only this operation")
    parser.add_argument("--data", help="where the tables are kept between runs [default: made anew in the scratch folder]")
    parser.add_argument("--folder", help="where scratch files go [default: a temporary folder]")
    parser.add_argument("--worker-log", help="what the workers log, as RUST_LOG says; printed when they end")
    parser.add_argument("--dask-child", nargs=4, metavar=("FACTS", "DIMS", "FOLDER", "OPERATION"), help=argparse.SUPPRESS)
    return parser.parse_args()


def make_tables(folder, rows):
    """Writes both tables in a process of its own, so that numpy's memory is gone when the race begins."""
    code = (
        "import sys, numpy as np, pyarrow as pa, pyarrow.parquet as pq; from pathlib import Path\n"
        "folder, rows = Path(sys.argv[1]), int(sys.argv[2]); ids = rows // 10; r = np.random.default_rng(7)\n"
        "(folder / 'facts').mkdir(parents=True); (folder / 'dims').mkdir()\n"
        "for n in range(8):\n"
        "    c = rows * (n + 1) // 8 - rows * n // 8\n"
        "    t = pa.table({'id': r.integers(0, ids, c), 'v': r.random(c), 'q': r.integers(0, 1000, c, dtype=np.int32)})\n"
        "    pq.write_table(t, folder / 'facts' / f'part-{n}.parquet', row_group_size=1 << 18)\n"
        "p = r.permutation(ids); t = pa.table({'id': p, 'w': r.random(ids), 'name': [f'name_{i}' for i in p]})\n"
        "pq.write_table(t, folder / 'dims' / 'part-0.parquet', row_group_size=1 << 18)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, folder, str(rows)], capture_output=True, text=True, check=False)
    check(done.returncode == 0, f"the tables cannot be made; numpy and pyarrow are needed:\n{done.stderr.strip()}")


class Cost:
    def __init__(self, wall, cpu):
        self.wall, self.cpu = wall, cpu


def cpu_of(pids):
    """CPU seconds of processes so far: fields 14 and 15 of their stat, counted behind the name in parentheses."""
    total = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICK


def measured(command):
    started = time.monotonic()
    with tempfile.TemporaryFile() as errors:
        child = subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL, stderr=errors)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        wall = time.monotonic() - started
        errors.seek(0)
        text = errors.read().decode(errors="replace").strip()
        check(child.returncode == 0, f"{' '.join(map(str, command))}: exit code {child.returncode}\n{text}")
    return Cost(wall, usage.ru_utime + usage.ru_stime)


def by_swath(args, workers, binaries, tables, operation, output):
    facts, dims = tables / "facts", tables / "dims"
    job = {
        "group-by": ["group-by", "--by", "id", "--agg", "count(*) as n,sum(v) as v,max(q) as q", facts],
        "sort": ["sort", "--by", "v, id", facts],
        "join": ["join", "--left", facts, "--right", dims, "--on", "id"],
    }[operation]
    if args.partitions:
        job += ["--partitions", args.partitions]
    pids = [worker.pid for worker in workers.workers.values()]
    before = cpu_of(pids)
    cost = measured([binaries / "swath", "--quiet", "run", "--nats", workers.url, *job, "-o", output, "--overwrite"])
    cost.cpu += cpu_of(pids) - before
    return cost


def by_datafusion(binaries, tables, operation, output):
    return measured([
        binaries / "datafusion-alone", 2, output, SQL[operation],
        f"facts={tables / 'facts'}", f"dims={tables / 'dims'}",
    ])


def dask_child(facts, dims, folder, operation):
    """One query of Dask, in a process of its own; prints its cost."""
    import dask
    import dask.dataframe as dd
    from distributed import Client, LocalCluster

    dask.config.set({"distributed.logging.distributed": "error"})
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, memory_limit="10GB") as local:
        with Client(local) as client:
            pids = [*client.run(os.getpid).values(), os.getpid()]
            before, started = cpu_of(pids), time.monotonic()
            rows = dd.read_parquet(facts)
            if operation == "group-by":
                groups = rows.assign(n=1).groupby("id").agg({"n": "sum", "v": "sum", "q": "max"}, split_out=4)
                rows = groups.reset_index()
            elif operation == "sort":
                rows = rows.sort_values(["v", "id"])
            else:
                rows = rows.merge(dd.read_parquet(dims), on="id")
            rows.to_parquet(folder, write_index=False, compression="snappy")
            print(json.dumps({"wall": time.monotonic() - started, "cpu": cpu_of(pids) - before}))


def by_dask(tables, operation, output):
    command = [sys.executable, __file__, "--dask-child", tables / "facts", tables / "dims", output, operation]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    check(done.returncode == 0, f"Dask, {operation}:\n{done.stderr.strip()[-2000:]}")
    cost = json.loads(done.stdout.strip().splitlines()[-1])
    return Cost(cost["wall"], cost["cpu"])


def facts_of(operation, output):
    """What must be equal in all outputs; in a process of its own, for its memory."""
    code = (
        "import sys, json, numpy as np, pyarrow.compute as pc, pyarrow.dataset as ds\n"
        "operation, data = sys.argv[1], ds.dataset(sys.argv[2], format='parquet')\n"
        "column = lambda name: data.to_table(columns=[name]).column(0)\n"
        "facts = {'rows': data.count_rows(), 'columns': sorted(data.schema.names)}\n"
        "for name in data.schema.names:\n"
        "    values = column(name)\n"
        "    if name == 'name': facts[name] = pc.sum(pc.binary_length(pc.cast(values, 'string'))).as_py()\n"
        "    else: facts[name] = round(float(pc.sum(values).as_py()), 3)\n"
        "    facts[name + ' nulls'] = values.null_count\n"
        "if operation == 'sort': facts['sorted'] = bool((np.diff(column('v').to_numpy()) >= 0).all())\n"
        "if operation == 'group-by': facts['ids'] = len(pc.unique(column('id')))\n"
        "if operation == 'join':\n"
        "    t = data.to_table(columns=['id', 'name'])\n"
        "    facts['named'] = pc.all(pc.equal(pc.cast(pc.utf8_slice_codeunits(pc.cast(t['name'], 'string'), 5), 'int64'), t['id'])).as_py()\n"
        "print(json.dumps(facts))\n"
    )
    done = subprocess.run([sys.executable, "-c", code, operation, str(output)], capture_output=True, text=True, check=False)
    check(done.returncode == 0, f"{output} cannot be read:\n{done.stderr.strip()[-2000:]}")
    facts = json.loads(done.stdout)
    check(facts.get("sorted", True) and facts.get("named", True), f"{output} is wrong: {facts}")
    return facts


def same(ours, theirs):
    """Sums of floats depend on their order in the last digits."""
    close = lambda a, b: a == b or (isinstance(a, float) and abs(a - b) <= 1e-9 * abs(a) + 2e-3)
    return ours.keys() == theirs.keys() and all(close(ours[key], theirs[key]) for key in ours)


def remove(path):
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def machine():
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    return f"{os.cpu_count()} × {model}, {time.strftime('%Y-%m-%d')}, load before {os.getloadavg()[0]:.1f}"


def race(args, workers, binaries, tables, folder, operation):
    """Runs the systems by turns; returns the costs of each, and the facts of each one's last output."""
    systems = {"swath": (args.runs, lambda out: by_swath(args, workers, binaries, tables, operation, out))}
    if not args.swath_only:
        systems["datafusion"] = (args.runs, lambda out: by_datafusion(binaries, tables, operation, out))
        if args.dask_runs:
            systems["dask"] = (args.dask_runs, lambda out: by_dask(tables, operation, out))
    costs, facts = {name: [] for name in systems}, {}
    for turn in range(max(runs for runs, _ in systems.values())):
        for name, (runs, run) in systems.items():
            if turn >= runs:
                continue
            output = folder / (f"{name}-out" if name == "dask" else f"{name}.parquet")
            remove(output)
            costs[name].append(run(output))
            if turn + 1 == runs:
                facts[name] = facts_of(operation, output)
                remove(output)
    for name, found in facts.items():
        check(same(facts["swath"], found), f"{operation}: swath and {name} differ: {facts['swath']} and {found}")
    return costs, facts


def middle(costs, key):
    return statistics.median(getattr(cost, key) for cost in costs)


def row(operation, costs, facts):
    wall = {name: middle(of, "wall") for name, of in costs.items()}
    cells = [operation, f"{facts['swath']['rows']:,}"]
    for name in ("swath", "datafusion", "dask"):
        cells.append(f"{wall[name]:.2f} ({middle(costs[name], 'cpu'):.2f})" if name in wall else "")
    cells.append(f"{wall['swath'] / wall['datafusion']:.2f}" if "datafusion" in wall else "")
    cells.append(f"{wall['dask'] / wall['swath']:.1f}" if "dask" in wall else "")
    print("| " + " | ".join(cells) + " |", flush=True)
    for name, of in costs.items():
        print(f"<!-- {operation}, {name}: {', '.join(f'{cost.wall:.2f}' for cost in of)} -->", flush=True)


def main():
    args = options()
    if args.dask_child:
        dask_child(*args.dask_child)
        return
    binaries = cluster.find_binaries(args.bin)
    alone = binaries / "datafusion-alone"
    check(args.swath_only or alone.is_file(), f"no {alone}: run `cargo build --release --workspace --features datafusion-alone/program`")
    if args.worker_log:
        os.environ["RUST_LOG"] = args.worker_log
    with tempfile.TemporaryDirectory(prefix="swath-bench-", dir=args.folder) as temporary:
        folder = Path(temporary)
        tables = Path(args.data) / str(args.rows) if args.data else folder / "tables"
        if not (tables / "dims" / "part-0.parquet").is_file():
            make_tables(tables, args.rows)
        print(f"{machine()}\n{args.rows:,} rows, {args.rows // 10:,} ids, {args.runs} runs each, alternating; binaries: {binaries}\n")
        print("| | rows out | swath s (CPU s) | DataFusion s (CPU s) | Dask s (CPU s) | swath / DataFusion | Dask / swath |")
        print("|---|---|---|---|---|---|---|", flush=True)
        with cluster.Cluster(binaries, folder / "cluster") as workers:
            workers.start_workers("w1", "w2")
            for operation in args.only or SQL:
                costs, facts = race(args, workers, binaries, tables, folder, operation)
                row(operation, costs, facts)
        if args.worker_log:
            for log in sorted((folder / "cluster").glob("w*.log")):
                print(f"\n{log.name}\n{log.read_text(encoding='utf-8', errors='replace')}")


if __name__ == "__main__":
    cluster.main(main)
