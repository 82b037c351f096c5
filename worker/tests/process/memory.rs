//! How worker processes are set up, as Linux tells it of every process.

use swath::testing::nats_server::NatsServer;

use crate::cluster::{WorkerProcess, connect, wait_for_workers};

#[tokio::test]
async fn the_allocator_is_told_to_give_memory_back_unless_somebody_told_it_otherwise() {
    let server = NatsServer::start().unwrap();
    let client = connect(&server).await;
    let told = WorkerProcess::start("told", &server);
    let set = "glibc.malloc.arena_max=3";
    let own = WorkerProcess::start_tuned("own", &server, set);
    wait_for_workers(&client, 2).await;
    for (worker, expected) in [
        (&told, "GLIBC_TUNABLES=glibc.malloc.mmap_threshold=1048576"),
        (&own, "GLIBC_TUNABLES=glibc.malloc.arena_max=3"),
    ] {
        let environment = std::fs::read(format!("/proc/{}/environ", worker.pid())).unwrap();
        let environment = String::from_utf8_lossy(&environment);
        let found = environment
            .split('\0')
            .any(|line| line.starts_with(expected));
        assert!(found, "{}: {expected}", worker.id);
    }
}
