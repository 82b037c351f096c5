//! Real worker processes on a real `nats-server`, killed, drained, joined by others in mid-job.

#[cfg(test)]
mod process {
    use std::path::Path;
    use std::process::{Child, Command, ExitStatus, Stdio};
    use std::time::Duration;

    use serde_json::json;
    use swath::Client;
    use swath::broker::{NatsBroker, NatsConfig};
    use swath::client::{JobProgress, SubmitOptions};
    use swath::ids::{JobId, OperationName};
    use swath::io::sample::{SampleOptions, write_sample};
    use swath::spec::{JobOptions, NamedInput, RasterOutput, SPEC_VERSION, TaskList};
    use swath::testing::nats_server::NatsServer;
    use swath::{JobSpec, TaskOperation};

    /// A worker process; killed when dropped.
    struct WorkerProcess {
        id: &'static str,
        child: Child,
    }

    impl WorkerProcess {
        fn start(id: &'static str, server: &NatsServer) -> Self {
            let child = Command::new(env!("CARGO_BIN_EXE_swath-worker"))
                .args(["--nats", &server.url(), "--id", id, "--slots", "1"])
                .args(["--flight-listen", "127.0.0.1:0"])
                .env("RUST_LOG", "warn")
                .stdin(Stdio::null())
                .spawn()
                .unwrap();
            Self { id, child }
        }

        fn kill(&mut self) {
            self.child.kill().unwrap();
            self.child.wait().unwrap();
        }

        fn terminate(&mut self) -> ExitStatus {
            let pid = self.child.id().to_string();
            assert!(
                Command::new("kill")
                    .args(["-TERM", &pid])
                    .status()
                    .unwrap()
                    .success()
            );
            self.child.wait().unwrap()
        }
    }

    impl Drop for WorkerProcess {
        fn drop(&mut self) {
            // One that has been waited for is not there any more.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }

    async fn connect(server: &NatsServer) -> Client {
        Client::new(
            NatsBroker::connect(NatsConfig::for_url(server.url()))
                .await
                .unwrap(),
        )
    }

    /// Waits until `found` finds something; fails after a minute.
    async fn wait_for<T>(what: &str, found: impl AsyncFn() -> Option<T>) -> T {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
        loop {
            if let Some(found) = found().await {
                return found;
            }
            assert!(
                tokio::time::Instant::now() < deadline,
                "{what}: not within a minute"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn wait_for_workers(client: &Client, count: usize) {
        wait_for("workers are up", async || {
            let workers = client.workers().await.ok()?;
            (workers.len() == count).then_some(())
        })
        .await;
    }

    async fn wait_for_done(client: &Client, job: &JobId, tasks: u64) {
        wait_for("tasks are done", async || {
            let progress = client.status(job).await.ok()?;
            assert!(
                !progress.is_complete(),
                "the job ended before the fault: make it longer"
            );
            (progress.progress.done() >= tasks).then_some(())
        })
        .await;
    }

    async fn end(client: &Client, job: &JobId) -> JobProgress {
        let ended = tokio::time::timeout(Duration::from_secs(120), client.wait(job)).await;
        let ended = ended.expect("the job ends within two minutes").unwrap();
        assert!(ended.succeeded(), "{}", ended.sentence());
        assert_eq!(
            ended.progress.failed(),
            0,
            "a task was charged for what was not its fault"
        );
        ended
    }

    fn queue(count: usize, ms: u64) -> JobSpec {
        let params = vec![json!({ "ms": ms }); count];
        JobSpec {
            version: SPEC_VERSION,
            operation: TaskOperation::Custom {
                operation: OperationName::new("sleep").unwrap(),
                tasks: TaskList::new(&params),
            },
            output: None,
            options: JobOptions::default(),
        }
    }

    fn slow_ndvi(dir: &Path, output: &Path) -> JobSpec {
        let band = |name: &str, file: &str| NamedInput {
            name: name.to_owned(),
            path: dir.join(file).display().to_string(),
            band: 1,
        };
        JobSpec {
            version: SPEC_VERSION,
            operation: TaskOperation::Calc {
                inputs: vec![band("N", "nir.tif"), band("R", "red.tif")],
                expression: SLOW_NDVI.to_owned(),
            },
            output: Some(RasterOutput::new(output.display().to_string()).into()),
            options: JobOptions::default(),
        }
    }

    /// NDVI, and work that changes nothing: the job must last until it has been disturbed.
    const SLOW_NDVI: &str = "(N - R) / (N + R) + 0 * (sin(N) + cos(R) + exp(N / 10000) + sin(R) + cos(N) \
        + exp(R / 10000) + log(R + 1) + log(N + 1) + sin(N * R) + cos(N * R) + atan2(N, R) + atan2(R, N))";

    async fn submit(client: &Client, spec: &JobSpec) -> JobId {
        client.submit(spec, SubmitOptions::default()).await.unwrap()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_raster_survives_the_death_of_a_worker_with_its_partitions_and_of_the_coordinator() {
        let dir = tempfile::tempdir().unwrap();
        let sample = SampleOptions {
            size: 3000,
            seed: 3,
            overwrite: false,
        };
        write_sample(dir.path(), &sample, &mut |_, _| {}).unwrap();
        let server = NatsServer::start().unwrap();
        let client = connect(&server).await;
        let mut workers: Vec<_> = ["a", "b", "c"]
            .map(|id| WorkerProcess::start(id, &server))
            .into();
        wait_for_workers(&client, 3).await;

        let calm = dir.path().join("calm.tif");
        let job = submit(&client, &slow_ndvi(dir.path(), &calm)).await;
        end(&client, &job).await;

        let stormy = dir.path().join("stormy.tif");
        let job = submit(&client, &slow_ndvi(dir.path(), &stormy)).await;
        wait_for_done(&client, &job, 1).await;
        let coordinator = wait_for("somebody coordinates", async || {
            let workers = client.workers().await.ok()?;
            workers
                .iter()
                .find(|worker| worker.coordinates.contains(&job))
                .map(|w| w.id.clone())
        })
        .await;
        let other = workers
            .iter_mut()
            .find(|worker| worker.id != coordinator.as_str())
            .unwrap();
        other.kill();
        let first = workers
            .iter_mut()
            .find(|worker| worker.id == coordinator.as_str())
            .unwrap();
        first.kill();
        let disturbed = client.status(&job).await.unwrap();
        assert!(
            !disturbed.is_complete(),
            "the job ended before the faults: make it longer"
        );
        end(&client, &job).await;
        let (calm, stormy) = (
            std::fs::read(&calm).unwrap(),
            std::fs::read(&stormy).unwrap(),
        );
        assert!(calm == stormy, "the disturbed job gave other bytes");
        let hidden = std::fs::read_dir(dir.path()).unwrap().filter(|entry| {
            entry
                .as_ref()
                .unwrap()
                .file_name()
                .to_string_lossy()
                .starts_with('.')
        });
        assert_eq!(hidden.count(), 0, "something was left behind");
    }

    /// Rows `n, n % 5000, ...` in files of their own.
    #[cfg(feature = "tables")]
    fn write_rows(dir: &Path, files: u32) -> Vec<String> {
        let path = |file: u32| dir.join(format!("rows-{file}.csv"));
        for file in 0..files {
            let mut text = String::from("n,k\n");
            for n in file * 20_000..(file + 1) * 20_000 {
                text.push_str(&format!("{n},{}\n", n % 5000));
            }
            std::fs::write(path(file), text).unwrap();
        }
        (0..files)
            .map(|file| path(file).display().to_string())
            .collect()
    }

    #[cfg(feature = "tables")]
    #[tokio::test(flavor = "multi_thread")]
    async fn a_query_that_loses_a_worker_between_map_and_reduce_reruns_only_what_it_held() {
        use std::collections::BTreeMap;

        use swath::broker::Broker;
        use swath::job::Event;
        use swath::spec::{TableInput, TableOutput, TableSettings};
        use swath::wire::{self, LogEntry};

        let dir = tempfile::tempdir().unwrap();
        let server = NatsServer::start().unwrap();
        let broker = NatsBroker::connect(NatsConfig::for_url(server.url()))
            .await
            .unwrap();
        let client = Client::new(broker.clone());
        let mut workers: Vec<_> = ["a", "b", "c"]
            .map(|id| WorkerProcess::start(id, &server))
            .into();
        wait_for_workers(&client, 3).await;
        let output = dir.path().join("groups.csv");
        let spec = JobSpec {
            version: SPEC_VERSION,
            operation: TaskOperation::GroupBy {
                input: TableInput {
                    paths: write_rows(dir.path(), 12),
                    format: None,
                },
                by: vec!["k".to_owned()],
                aggregates: vec!["count(*) as rows".to_owned(), "sum(n) as total".to_owned()],
                settings: TableSettings {
                    partitions: Some(60),
                    ..TableSettings::default()
                },
            },
            output: Some(TableOutput::new(output.display().to_string()).into()),
            options: JobOptions::default(),
        };
        let job = submit(&client, &spec).await;
        wait_for("the map is done", async || {
            let progress = client.status(&job).await.ok()?.progress;
            let map = progress.stages.first()?;
            (map.tasks > 1 && map.done == map.tasks).then_some(())
        })
        .await;
        let coordinator = client.workers().await.unwrap().into_iter();
        let coordinator = coordinator
            .filter(|worker| worker.coordinates.contains(&job))
            .map(|worker| worker.id)
            .next();
        let victim = workers
            .iter_mut()
            .find(|worker| {
                coordinator
                    .as_ref()
                    .is_none_or(|id| worker.id != id.as_str())
            })
            .unwrap();
        victim.kill();
        let victim = victim.id;
        assert!(
            !client.status(&job).await.unwrap().is_complete(),
            "the job ended before the fault: make it longer"
        );
        end(&client, &job).await;

        // By hand: 240,000 rows in 5000 groups of 48; group k holds k, k + 5000, ..., k + 47 * 5000.
        let text = std::fs::read_to_string(&output).unwrap();
        let mut found: Vec<&str> = text.lines().skip(1).collect();
        found.sort_unstable();
        let mut expected: Vec<String> = (0..5000_u64)
            .map(|k| format!("{k},48,{}", 48 * k + 5000 * (47 * 48 / 2)))
            .collect();
        expected.sort_unstable();
        assert_eq!(found, expected);

        let mut runs: BTreeMap<u32, Vec<String>> = BTreeMap::new();
        for record in broker.read_log(&job).await.unwrap() {
            for event in wire::decode::<LogEntry>(&record.payload).unwrap().events {
                if let Event::TaskSucceeded(success) = event
                    && success.task.stage.0 == 0
                {
                    let worker = success.worker.id.to_string();
                    runs.entry(success.task.index).or_default().push(worker);
                }
            }
        }
        let again: Vec<_> = runs.values().filter(|workers| workers.len() > 1).collect();
        assert!(!again.is_empty(), "nothing was lost");
        for workers in &again {
            assert_eq!(workers[0], victim, "{runs:?}");
        }
        let held = runs.values().filter(|workers| workers[0] == victim).count();
        assert!(held < runs.len() && again.len() <= held, "{runs:?}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_worker_that_joins_in_mid_job_takes_part_and_one_that_drains_finishes_its_task() {
        let server = NatsServer::start().unwrap();
        let client = connect(&server).await;
        let mut first = WorkerProcess::start("first", &server);
        wait_for_workers(&client, 1).await;
        let job = submit(&client, &queue(60, 200)).await;
        wait_for_done(&client, &job, 3).await;
        let _second = WorkerProcess::start("second", &server);
        wait_for("the second worker takes part", async || {
            let workers = client.workers().await.ok()?;
            let second = workers
                .iter()
                .find(|worker| worker.id.as_str() == "second")?;
            (second.succeeded > 0).then_some(())
        })
        .await;
        assert!(
            first.terminate().success(),
            "a drained worker ends with success"
        );
        assert!(
            !client.status(&job).await.unwrap().is_complete(),
            "the drain came too late"
        );
        let ended = end(&client, &job).await;
        assert_eq!(
            ended.progress.retried(),
            0,
            "a drain makes no task run again"
        );
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_job_survives_the_death_of_the_nats_server() {
        let mut server = NatsServer::start().unwrap();
        let client = connect(&server).await;
        let _workers = ["a", "b"].map(|id| WorkerProcess::start(id, &server));
        wait_for_workers(&client, 2).await;
        let job = submit(&client, &queue(60, 100)).await;
        wait_for_done(&client, &job, 10).await;
        server.kill().unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        server.restart().unwrap();
        end(&client, &job).await;
    }
}
