#!/usr/bin/env bash
# Tries Dockerfile and docker-compose.yml with a real engine, on a machine that can pull no base image:
# stand-ins for debian, nats and (with --from-source) rust are built from Debian packages and local programs.
#
#   scripts/compose_trial.sh [--bin DIR] [--size N] [--from-source] [--keep]
#
# --bin DIR       programs to put into the image [default: $CARGO_TARGET_DIR/release]
# --from-source   let the image compile Swath itself, by the local Rust toolchain in a stand-in image
# --keep          leave the cluster up at the end
#
# Needs root, dockerd, the compose plugin (v2), debootstrap, nats-server on PATH. Starts dockerd when it is not
# running, and stops it again. Everything it makes is named swath-trial or swath-standin.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

bin=${CARGO_TARGET_DIR:-target}/release size=2048 source=no keep=no
while (($#)); do
    case $1 in
        --bin) bin=$2 && shift ;;
        --size) size=$2 && shift ;;
        --from-source) source=yes ;;
        --keep) keep=yes ;;
        *) sed -n '2,14s/^# \{0,1\}//p' "$0" >&2 && exit 2 ;;
    esac
    shift
done

say() { printf '\n==> %3d s  %s\n' "$SECONDS" "$*"; }
fail() { printf 'FAILED: %s\n' "$*" >&2 && exit 1; }

work=$(mktemp -d /tmp/swath-trial.XXXXXX)
started_dockerd=
export COMPOSE_PROJECT_NAME=swath-trial SWATH_IMAGE=swath-trial SWATH_DATA=$work/data
export RUNTIME_IMAGE=swath-standin/debian:bookworm-slim NATS_IMAGE=swath-standin/nats RUST_IMAGE=swath-standin/rust
compose() { docker compose "$@"; }

finish() {
    local code=$?
    if ((code)); then compose logs --tail 30 || echo 'no logs'; fi
    if [[ $keep == no ]]; then
        compose --profile producer down --volumes --timeout 20 || echo 'compose down failed' >&2
        if [[ -n $started_dockerd ]]; then kill "$started_dockerd"; fi
        rm -rf "$work"
    else
        echo "kept: $work; COMPOSE_PROJECT_NAME=swath-trial docker compose down -v ends it"
    fi
    rm -f deploy/prebuilt/swath deploy/prebuilt/swath-worker
    if ((code)); then echo "compose trial FAILED with code $code"; fi
}
trap finish EXIT

engine() {
    if docker info >/dev/null 2>&1; then return; fi
    dockerd >"$work/dockerd.log" 2>&1 &
    started_dockerd=$!
    for _ in {1..60}; do
        if docker info >/dev/null 2>&1; then return; fi
        sleep 0.5
    done
    fail "dockerd does not answer; see $work/dockerd.log"
}

have() { docker image inspect "$1" >/dev/null 2>&1; }

stand_ins() {
    if ! have "$RUNTIME_IMAGE"; then
        say 'stand-in for debian:bookworm-slim'
        # busybox gives the nats stand-in the wget that the real nats:alpine has.
        debootstrap --variant=minbase --include=ca-certificates,busybox bookworm "$work/debian" \
            http://deb.debian.org/debian >"$work/debootstrap.log" || fail "debootstrap; see $work/debootstrap.log"
        tar -C "$work/debian" -c . | docker import - "$RUNTIME_IMAGE" >/dev/null
    fi
    if ! have "$NATS_IMAGE"; then
        say 'stand-in for nats'
        mkdir -p "$work/nats"
        cp "$(command -v nats-server)" "$work/nats/nats-server"
        image_from nats <<DOCKERFILE
FROM $RUNTIME_IMAGE
COPY nats-server /usr/local/bin/
RUN ln -s /bin/busybox /usr/local/bin/wget
ENTRYPOINT ["nats-server"]
DOCKERFILE
    fi
    if [[ $source == yes ]] && ! have "$RUST_IMAGE"; then
        say 'stand-in for rust (the local toolchain)'
        mkdir -p "$work/rust"
        cp -r "$(rustc --print sysroot)" "$work/rust/toolchain"
        rm -rf "$work/rust/toolchain/share/doc"
        # Trusts what this machine trusts, which may reach crates.io through a gateway of its own.
        cp /etc/ssl/certs/ca-certificates.crt "$work/rust/"
        image_from rust <<DOCKERFILE
FROM $RUNTIME_IMAGE
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev binutils
COPY toolchain /usr/local/rust
COPY ca-certificates.crt /etc/ssl/certs/
ENV PATH=/usr/local/rust/bin:/usr/bin:/bin CARGO_HOME=/usr/local/cargo
DOCKERFILE
    fi
}

image_from() {
    cat >"$work/$1/Dockerfile"
    DOCKER_BUILDKIT=0 docker build -q --network host -t "swath-standin/$1" "$work/$1" >/dev/null
}

# Counts the workers that the cluster itself sees, until there are as many as wanted.
await_workers() {
    local seen=
    for _ in {1..60}; do
        seen=$(compose run --rm -T producer workers --json | awk -F '"flight":' '{ n += NF - 1 } END { print n + 0 }')
        if ((seen == $1)); then echo "$seen workers" && return; fi
        sleep 0.5
    done
    fail "$seen workers in \`swath workers\`, wanted $1"
}

say 'docker engine and compose'
engine
docker version --format 'engine {{.Server.Version}}'
compose version
stand_ins

say 'compose build'
if [[ $source == yes ]]; then
    export SWATH_BINARIES=build
else
    [[ -x $bin/swath && -x $bin/swath-worker ]] || fail "no swath and swath-worker in $bin: cargo build --release --workspace"
    export SWATH_BINARIES=prebuilt
    cp "$bin/swath" "$bin/swath-worker" deploy/prebuilt/
fi
compose build --quiet worker
docker image ls --format 'image {{.Repository}} {{.Size}}' swath-trial

say 'compose up, three workers'
compose up -d --scale worker=3 --wait
compose ps
await_workers 3

say 'sample and NDVI through the producer'
compose run --rm -T producer sample scene --size "$size"
compose run --rm -T producer run ndvi --red scene/red.tif --nir scene/nir.tif -o three.tif
[[ $(stat -c %u "$work/data/three.tif") == 1000 ]] || fail 'the output is not owned by user 1000'

say 'scale to five, and again'
compose up -d --scale worker=5 --no-recreate --wait
await_workers 5
job=$(compose run --rm -T producer submit ndvi --red scene/red.tif --nir scene/nir.tif -o five.tif)
echo "job $job"
compose run --rm -T producer status "$job" --watch
compose run --rm -T producer workers
# The bytes of a COG follow from its pixels alone, whoever compressed its tiles.
cmp "$work/data/three.tif" "$work/data/five.tif" || fail 'three and five workers gave different files'
ls -l "$work/data"

say 'scale down to one: workers drain and leave'
compose up -d --scale worker=1 --no-recreate --wait
await_workers 1

say 'the server is replaced, its volume stays'
compose restart nats
await_workers 1
compose run --rm -T producer status "$job"

if [[ -n ${SWATH_PYTHON:-} ]]; then
    say 'pixels against numpy, and a valid COG'
    (cd scripts && "$SWATH_PYTHON" -c '
import sys; from rasters import check_is_cog, check_is_ndvi_of
out, red, nir = sys.argv[1:]; check_is_cog(out); print(check_is_ndvi_of(out, red, nir), "cells equal numpy")
' "$work/data/five.tif" "$work/data/scene/red.tif" "$work/data/scene/nir.tif")
else
    echo 'LEFT OUT: pixels against numpy (set SWATH_PYTHON)'
fi
say 'compose trial passed'
