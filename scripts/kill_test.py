#!/usr/bin/env python3
"""Kills real processes in the middle of a real job and compares the pixels with an undisturbed run.

kill     three workers: SIGKILL one in mid-job, then the one that coordinates
fourth   start a fourth worker in mid-job: it must take part
nats     stop nats-server (SIGKILL with --nats-kill) in mid-job and start it again on the same store

Each fault must really fire: the job has to be running, partly done, before and after it.
"""

import argparse
import signal
import tempfile
import time
from pathlib import Path

import cluster
from cluster import check, wait_for

FAULTS = ("kill", "fourth", "nats")
# The issue allows a disturbed job this much more than an undisturbed one.
EXTRA_SECONDS_MAX = 15


def options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("faults", nargs="*", help=f"which of {', '.join(FAULTS)} [default: all]")
    parser.add_argument("--bin", help="folder of swath and swath-worker [default: the newest build]")
    parser.add_argument("--scene", help="folder with red.tif and nir.tif [default: made by swath sample]")
    parser.add_argument("--size", type=int, default=10980, help="cells along each edge of the generated scene")
    parser.add_argument("--slots", type=int, default=2, help="slots of each worker: one alone can use this machine")
    parser.add_argument("--down", type=float, default=3, help="seconds for which nats-server is down")
    parser.add_argument("--nats-kill", action="store_true", help="SIGKILL nats-server instead of SIGTERM")
    parser.add_argument("--keep", help="folder for outputs and logs [default: a temporary one]")
    args = parser.parse_args()
    unknown = set(args.faults) - set(FAULTS)
    if unknown:
        parser.error(f"unknown fault: {', '.join(sorted(unknown))}")
    return args


class Trial:
    """One job on a fresh cluster of three workers."""

    def __init__(self, args, binaries, folder, red, nir, name):
        self.args, self.name, self.red, self.nir = args, name, red, nir
        self.output = folder / f"{name}.tif"
        self.cluster = cluster.Cluster(binaries, folder / f"cluster-{name}", args.slots)
        self.job, self.started = None, 0.0

    def __enter__(self):
        self.cluster.__enter__()
        try:
            self.cluster.start_workers("w1", "w2", "w3")
            self.started = time.monotonic()
            self.job = self.cluster.swath("submit", "ndvi", "--red", self.red, "--nir", self.nir, "-o", self.output)
        except BaseException:
            self.cluster.stop()
            raise
        return self

    def __exit__(self, *_):
        self.cluster.stop()

    def say(self, text):
        print(f"    {time.monotonic() - self.started:6.1f} s  {text}", flush=True)

    def status(self):
        status = self.cluster.status(self.job)
        done, tasks = (sum(stage[key] for stage in status["stages"]) for key in ("done", "tasks"))
        return status["state"], done, tasks

    def reaches(self, share):
        """Waits until that share of the tasks is done, and the job still runs."""

        def there():
            state, done, tasks = self.status()
            check(state not in cluster.ENDED, f"{self.name}: the job {state} before the fault: give a larger --size")
            return (done, tasks) if tasks and done >= share * tasks else None

        done, tasks = wait_for(f"{self.name}: {share:.0%} of the tasks", there, 600)
        self.say(f"{done} of {tasks} tasks done")

    def still_runs(self):
        state, done, tasks = self.status()
        check(state not in cluster.ENDED, f"{self.name}: the job had {state} when the fault fired: give a larger --size")
        self.say(f"fault fired with {done} of {tasks} tasks done, job {state}")

    def ends(self, seconds):
        status = self.cluster.end_of(self.job, seconds)
        took = time.monotonic() - self.started
        failed = sum(stage["failed"] for stage in status["stages"])
        retried = sum(stage["retried"] for stage in status["stages"])
        self.say(f"succeeded; {retried} runs repeated, {failed} attempts charged")
        check(failed == 0, f"{self.name}: {failed} attempts were charged to tasks for a fault that was not theirs")
        left = sorted(p.name for p in self.output.parent.glob(f"*{self.output.name}*") if p != self.output)
        check(not left, f"{self.name}: temporary files left: {left}")
        return took

    def workers_of_job(self):
        """Returns who coordinates the job and who runs tasks of it."""
        states = self.cluster.worker_states()
        leads = [w["id"] for w in states if self.job in w["coordinates"]]
        runs = [w["id"] for w in states if any(run["job"] == self.job for run in w["running"])]
        return leads, runs


def kill(trial):
    trial.reaches(0.15)

    def victim():
        leads, runs = trial.workers_of_job()
        return next((w for w in runs if w not in leads and w in trial.cluster.workers), None)

    name = wait_for("a worker that runs a task and does not coordinate", victim, 20)
    trial.cluster.kill_worker(name)
    trial.say(f"SIGKILL {name}, which ran a task")
    trial.still_runs()
    lead = wait_for(
        "the worker that coordinates",
        lambda: next((w for w in trial.workers_of_job()[0] if w in trial.cluster.workers), None),
        20,
    )
    trial.cluster.kill_worker(lead)
    trial.say(f"SIGKILL {lead}, which coordinated")
    trial.still_runs()


def fourth(trial):
    trial.reaches(0.1)
    trial.cluster.start_workers("w4")
    trial.still_runs()

    def takes_part():
        state = next((w for w in trial.cluster.worker_states() if w["id"] == "w4"), None)
        return state and (state["running"] or state["succeeded"])

    wait_for("w4 runs a task", takes_part, 30)
    trial.say("w4 runs tasks")


def nats(trial):
    trial.reaches(0.15)
    how = signal.SIGKILL if trial.args.nats_kill else signal.SIGTERM
    trial.cluster.stop_server(how)
    trial.say(f"nats-server stopped by {how.name}")
    time.sleep(trial.args.down)
    trial.cluster.start_server()
    trial.say("nats-server started again")
    trial.still_runs()


def main():
    args = options()
    binaries = cluster.find_binaries(args.bin)
    with tempfile.TemporaryDirectory(prefix="swath-kill-") as temporary:
        folder = Path(args.keep or temporary).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        scene = Path(args.scene or folder / "scene").resolve()
        if not args.scene:
            cluster.swath(binaries, "sample", scene, "--size", args.size, timeout=1800)
        red, nir = cluster.named(scene, "red"), cluster.named(scene, "nir")
        # numpy is needed only here; a missing one must show before minutes are spent.
        from rasters import check_is_cog, check_is_ndvi_of, file_sha256_f32

        print(f"binaries: {binaries}\nundisturbed", flush=True)
        with Trial(args, binaries, folder, red, nir, "undisturbed") as trial:
            plain = trial.ends(1800)
            reference = trial.output
        cells = check_is_ndvi_of(reference, red, nir)
        pixels = file_sha256_f32(reference)
        print(f"    {cells} cells equal numpy's")
        slow = []
        for name in args.faults or FAULTS:
            print(name, flush=True)
            with Trial(args, binaries, folder, red, nir, name) as trial:
                {"kill": kill, "fourth": fourth, "nats": nats}[name](trial)
                took = trial.ends(plain + 300)
                check(file_sha256_f32(trial.output) == pixels, f"{name}: the pixels differ from the undisturbed run's")
                check_is_cog(trial.output)
            allowed = plain + EXTRA_SECONDS_MAX + (args.down if name == "nats" else 0)
            print(f"    same pixels; {took:.1f} s, undisturbed {plain:.1f} s, extra {took - plain:+.1f} s (allowed {allowed - plain:.0f})")
            if took > allowed:
                slow.append(f"{name} took {took:.1f} s")
        check(not slow, f"too slow against {plain:.1f} s + {EXTRA_SECONDS_MAX} s: {'; '.join(slow)}")
    print("every fault survived, pixels identical")


if __name__ == "__main__":
    cluster.main(main)
