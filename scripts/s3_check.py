#!/usr/bin/env python3
"""Runs jobs from and to a bucket, over a server that fails now and then.

    scripts/s3_check.py SWATH

SWATH is the binary. Starts moto (pip install 'moto[server]' boto3 pyarrow) and, before it, a proxy that answers every fifth
request with 503, 429 or a closed connection. Checks: pixels equal to the same job on disk; an existing object is refused without
--overwrite and replaced with it; nothing is left of an upload; a wrong key and a missing object are named. A folder of parts has
the bytes of the one on disk, also when its commit breaks off in the middle and is run again; it is refused and replaced whole.
"""

import itertools
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import boto3
import pyarrow.dataset
import rasterio
from pyarrow.fs import S3FileSystem

FAULTS = itertools.cycle(["503", "429", "close"])
COUNT = itertools.count(1)
FIRED = []
# Ends of uploads, as they were asked for: method and path; one that has the first words in its path fails as if it were lost.
COMPLETED = []
LOSE = []


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def proxy(target):
    """Makes a server that passes requests on, and fails every fifth of them first."""

    class Handler(BaseHTTPRequestHandler):
        def forward(self):
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length)
            ends_upload = self.command == "POST" and "uploadId=" in self.path
            if ends_upload and LOSE and LOSE[0] in self.path:
                LOSE.pop()
                self.send_response(404)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            if next(COUNT) % 5 == 0:
                fault = next(FAULTS)
                FIRED.append((fault, self.command))
                if fault == "close":
                    self.connection.shutdown(socket.SHUT_RDWR)
                    self.close_connection = True
                    return
                self.send_response(int(fault))
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            onward = HTTPConnection("127.0.0.1", target)
            # The host is part of the signature: moto does not check it, and the path says which bucket.
            onward.request(self.command, self.path, body, dict(self.headers))
            answer = onward.getresponse()
            data = answer.read()
            if ends_upload:
                COMPLETED.append((answer.status, self.path.split("?")[0]))
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in ("transfer-encoding", "connection", "content-length"):
                    self.send_header(name, value)
            length = answer.getheader("Content-Length") if self.command == "HEAD" else len(data)
            self.send_header("Content-Length", str(length or 0))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = forward

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


def check(condition, message):
    if not condition:
        raise SystemExit(f"WRONG: {message}")


def main():
    swath = sys.argv[1]
    moto_port = free_port()
    moto = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(moto_port)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.time() + 60
        while socket.socket().connect_ex(("127.0.0.1", moto_port)):
            check(moto.poll() is None and time.time() < deadline, "moto does not start")
            time.sleep(0.05)
        endpoint = f"http://127.0.0.1:{proxy(moto_port)}"
        keys = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "eu-central-1"}
        environment = {**os.environ, **keys, "AWS_ENDPOINT_URL": endpoint}
        s3 = boto3.client(
            "s3", endpoint_url=f"http://127.0.0.1:{moto_port}", region_name="eu-central-1",
            aws_access_key_id="key", aws_secret_access_key="secret",
        )
        s3.create_bucket(Bucket="scenes", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
        with tempfile.TemporaryDirectory() as folder:
            run_all(swath, Path(folder), environment, s3)
    finally:
        moto.kill()
        moto.wait()


def run_all(swath, folder, environment, s3):
    def run(*arguments, code=0, words=()):
        ran = subprocess.run([swath, *arguments], cwd=folder, env=environment, capture_output=True, text=True)
        check(ran.returncode == code, f"{arguments}: {ran.returncode}: {ran.stderr}")
        for word in words:
            check(word in ran.stderr, f"{word!r} is not in {ran.stderr}")

    # Noise over 2,600 cells a side is more than one part of an upload.
    run("sample", "s", "--size", "2600")
    for name in ("red", "nir"):
        s3.upload_file(str(folder / f"s/{name}.tif"), "scenes", f"a b/{name}.tif")
    run("run", "ndvi", "--red", "s/red.tif", "--nir", "s/nir.tif", "-o", "disk.tif", "--compress", "none")
    job = ["run", "ndvi", "--red", "s3://scenes/a b/red.tif", "--nir", "s3://scenes/a b/nir.tif", "--compress", "none"]
    job += ["-o", "s3://scenes/out/ndvi.tif"]
    run(*job)
    check(FIRED, "no fault fired")
    print(f"ok  from and to the bucket, {len(FIRED)} faults: {sorted(set(FIRED))}")

    def equal():
        s3.download_file("scenes", "out/ndvi.tif", str(folder / "bucket.tif"))
        with rasterio.open(folder / "disk.tif") as a, rasterio.open(folder / "bucket.tif") as b:
            return a.read().tobytes() == b.read().tobytes() and a.overviews(1) == b.overviews(1)

    check(equal(), "pixels differ")
    size = s3.head_object(Bucket="scenes", Key="out/ndvi.tif")["ContentLength"]
    check(size > 16 << 20, f"only {size} bytes: one part proves little")
    run(*job, code=2, words=["s3://scenes/out/ndvi.tif", "--overwrite"])
    run(*job, "--overwrite")
    check(equal(), "pixels differ after --overwrite")
    print(f"ok  an object of {size} bytes is refused, and replaced with --overwrite")
    run("run", "convert", "s3://scenes/none.tif", "-o", "x.tif", code=1, words=["s3://scenes/none.tif", "does not exist"])
    run("run", "convert", "s/red.tif", "-o", "gs://b/x.tif", code=2, words=["gs://", "s3://"])
    run("run", "convert", "s/red.tif", "-o", "s3://nowhere/x.tif", code=1, words=["s3://nowhere/x.tif"])
    left = s3.list_multipart_uploads(Bucket="scenes").get("Uploads", [])
    check(not left, f"left behind: {left}")
    print("ok  errors name the object; no upload is left behind")
    folder_of_parts(run, folder, s3)


def folder_of_parts(run, folder, s3):
    bucket = S3FileSystem(endpoint_override=s3.meta.endpoint_url, access_key="key", secret_key="secret", region="eu-central-1")

    def objects():
        listed = s3.list_objects_v2(Bucket="scenes", Prefix="tables/sorted/").get("Contents", [])
        return {o["Key"].split("/")[-1]: s3.get_object(Bucket="scenes", Key=o["Key"])["Body"].read() for o in listed}

    def equal(there, name):
        here = {path.name: path.read_bytes() for path in (folder / name).iterdir()}
        success = [json.loads(files.pop("_SUCCESS")) for files in (there, here)]
        for manifest in success:
            del manifest["job"]
        return there == here and success[0] == success[1]

    rows = [f"{n},{(n * 7919) % 10007}" for n in range(10007)]
    (folder / "rows.csv").write_text("\n".join(["n,x", *rows, ""]))
    sort = ["run", "sort", "rows.csv", "--partitions", "4", "--by"]
    url = "s3://scenes/tables/sorted/"
    run(*sort, "x", "-o", "sorted/")
    # The first execution breaks off when one part of four has appeared.
    LOSE.append("sorted/part-00001")
    run(*sort, "x", "-o", url)
    check(not LOSE, "no end of an upload was lost")
    ends = [(status, path.split("/")[-1]) for status, path in COMPLETED if "sorted" in path]
    first = [status for status, name in ends if name == "part-00000.parquet"]
    check(first[:2] == [200, 412] and first[-1] == 200, f"the first part did not appear twice: {ends}")
    check(ends[-1] == (200, "_SUCCESS"), f"the manifest is not last: {ends}")
    there = objects()
    check(len(there) == 5 and equal(there, "sorted"), f"other parts than on disk: {sorted(there)}")
    table = pyarrow.dataset.dataset("scenes/tables/sorted", filesystem=bucket).to_table()
    check(table["x"].to_pylist() == list(range(10007)), "pyarrow reads other rows")
    run("run", "sort", url, "--by", "n", "-o", "back.csv")
    check((folder / "back.csv").read_text().splitlines()[1:] == rows, "read back, there are other rows")
    print(f"ok  a folder whose commit broke off and was run again: {ends}")
    run(*sort, "x", "-o", url, code=2, words=["s3://scenes/tables/sorted", "--overwrite"])
    s3.put_object(Bucket="scenes", Key="tables/sorted/part-00099.parquet", Body=b"old")
    s3.put_object(Bucket="scenes", Key="tables/sorted-not/part-00000.parquet", Body=b"beside")
    run(*sort, "x desc", "-o", "descending/")
    run(*sort, "x desc", "-o", url, "--overwrite")
    check(equal(objects(), "descending"), "other parts than on disk after --overwrite")
    s3.delete_object(Bucket="scenes", Key="tables/sorted/_SUCCESS")
    run(*sort, "x", "-o", url, code=2, words=["s3://scenes/tables/sorted", "--overwrite"])
    run(*sort, "x", "-o", "s3://scenes/", "--overwrite", code=2, words=["s3://BUCKET/KEY"])
    s3.head_object(Bucket="scenes", Key="tables/sorted-not/part-00000.parquet")
    left = s3.list_multipart_uploads(Bucket="scenes").get("Uploads", [])
    check(not left, f"left behind: {left}")
    print("ok  a folder is refused, and replaced whole with --overwrite")


if __name__ == "__main__":
    main()
