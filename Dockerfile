# Both programs of Swath in one small image: `swath` (the command line) and `swath-worker`.
#
#   docker build -t swath .                                   builds from source
#   docker build -t swath --build-arg BINARIES=prebuilt .     takes deploy/prebuilt/{swath,swath-worker}
#
# The base images are arguments, for mirrors and for machines without a registry.
ARG RUST_IMAGE=rust:1.95-slim-bookworm
ARG RUNTIME_IMAGE=debian:bookworm-slim
ARG BINARIES=build

# The caches outlive the layer: a second build compiles only what changed. They need BuildKit, Docker's default.
FROM ${RUST_IMAGE} AS build
WORKDIR /swath
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/swath/target \
    cargo build --release --locked -p swath-worker -p swath-producer \
    && mkdir /out \
    && cp target/release/swath target/release/swath-worker /out/ \
    && strip /out/swath /out/swath-worker

FROM ${RUNTIME_IMAGE} AS prebuilt
COPY deploy/prebuilt/swath deploy/prebuilt/swath-worker /out/

FROM ${BINARIES} AS binaries

FROM ${RUNTIME_IMAGE}
RUN useradd --uid 1000 --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin swath \
    && install -d -o swath -g swath /data \
    # Any user may store partitions here: compose runs the worker as the owner of ./data.
    && install -d -m 1777 /var/lib/swath
COPY --from=binaries /out/swath /out/swath-worker /usr/local/bin/
USER swath
# Paths of a job mean the same to whoever submits it and to every worker.
WORKDIR /data
EXPOSE 8790
CMD ["swath-worker"]
