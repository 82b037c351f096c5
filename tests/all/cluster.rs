//! A whole cluster in one process: embedded broker, real Flight on loopback.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::json;
use swath::broker::{Broker, EmbeddedBroker, EmbeddedConfig, NatsBroker, NatsConfig};
use swath::client::SubmitOptions;
use swath::cluster::{LocalCluster, LocalOptions};
use swath::grid::{DataType, Samples};
use swath::ids::JobId;
use swath::job::{Event, JobState, Outcome};
use swath::spec::{JobOptions, NamedInput, RasterOutput, RetryPolicy};
use swath::testing::nats_server::NatsServer;
use swath::time::Timestamp;
use swath::wire::{self, LogEntry};
use swath::{JobSpec, TaskOperation, WorkerConfig};

use crate::common::{assert_ndvi, leftovers, ndvi, raster_file, raster_output, read, scene, tasks};

async fn cluster(workers: u32) -> LocalCluster {
    let worker = WorkerConfig::default().with_max_concurrent_tasks(2);
    LocalCluster::start(LocalOptions {
        workers,
        worker,
        ..LocalOptions::default()
    })
    .await
    .unwrap()
}

/// Runs a job to its end.
async fn run(cluster: &LocalCluster, spec: &JobSpec) -> Outcome {
    let client = cluster.client();
    let job = client.submit(spec, SubmitOptions::default()).await.unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(120), client.wait(&job)).await;
    ended
        .expect("the job ends within two minutes")
        .unwrap()
        .outcome
        .unwrap()
}

/// Runs a job that must fail; returns code and message.
async fn fail(cluster: &LocalCluster, spec: &JobSpec) -> (String, String) {
    match run(cluster, spec).await {
        Outcome::Failed { failure, .. } => (failure.code, failure.message),
        other => panic!("the job ended as {other:?}"),
    }
}

fn quick_retries(mut spec: JobSpec, max_attempts: u32) -> JobSpec {
    spec.options.retry = Some(RetryPolicy {
        max_attempts,
        base_ms: 1,
        max_ms: 10,
    });
    spec
}

#[tokio::test(flavor = "multi_thread")]
async fn one_worker_and_three_over_flight_commit_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    scene(dir.path(), 1300);
    let mut bytes = Vec::new();
    for workers in [1, 3] {
        let output = dir.path().join(format!("ndvi-{workers}.tif"));
        let mut spec = ndvi(dir.path(), &output);
        // Tiles of 64 cells make 4 tasks of 1,024 cells, and overviews above them.
        raster_output(&mut spec).blocksize = 64;
        let cluster = cluster(workers).await;
        assert_eq!(run(&cluster, &spec).await, Outcome::Succeeded);
        cluster.stop().await;
        assert_ndvi(dir.path(), &output).await;
        bytes.push(std::fs::read(&output).unwrap());
    }
    assert!(bytes[0] == bytes[1], "the same job gave other bytes");
    assert!(leftovers(dir.path()).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn convert_keeps_every_sample_whatever_the_compression() {
    let dir = tempfile::tempdir().unwrap();
    scene(dir.path(), 600);
    let dem = read(&dir.path().join("dem.tif"), &[1]).await;
    let cluster = cluster(1).await;
    for (number, compress) in ["none", "deflate", "lzw", "zstd"].into_iter().enumerate() {
        let output = dir.path().join(format!("dem-{compress}.tif"));
        let compress = serde_json::from_value(json!(compress)).unwrap();
        let spec = JobSpec {
            version: 1,
            operation: TaskOperation::Convert {
                input: dir.path().join("dem.tif").display().to_string(),
            },
            output: Some(
                RasterOutput {
                    compress,
                    blocksize: 128 << number,
                    ..RasterOutput::new(output.display().to_string())
                }
                .into(),
            ),
            options: JobOptions::default(),
        };
        assert_eq!(run(&cluster, &spec).await, Outcome::Succeeded);
        let copy = read(&output, &[1]).await;
        let (Samples::Float32(a), Samples::Float32(b)) = (&dem.bands[0], &copy.bands[0]) else {
            panic!("bands of other types");
        };
        assert!(
            a.iter()
                .zip(b)
                .all(|(a, b)| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan())
        );
        assert_eq!(dem.nodata.map(f64::to_bits), copy.nodata.map(f64::to_bits));
    }
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_expression_makes_a_band() {
    let dir = tempfile::tempdir().unwrap();
    scene(dir.path(), 300);
    let output = dir.path().join("three.tif");
    let mut spec = ndvi(dir.path(), &output);
    let TaskOperation::Index { inputs, .. } = spec.operation else {
        panic!()
    };
    // The second reads one band alone, the third none that the first does not.
    let expressions = ["N - R", "R * 2", "R > N ? 1 : 0"]
        .map(str::to_owned)
        .to_vec();
    spec.operation = TaskOperation::Calc {
        inputs,
        expressions,
    };
    let output_spec = raster_output(&mut spec);
    output_spec.dtype = Some(DataType::Int32);
    output_spec.nodata = Some(-99_999.0);
    output_spec.blocksize = 64;
    let cluster = cluster(2).await;
    assert_eq!(run(&cluster, &spec).await, Outcome::Succeeded);
    let made = read(&output, &[1, 2, 3]).await;
    let cells = |block: &swath::grid::Block, band: usize| match &block.bands[band] {
        Samples::Int32(cells) => cells.clone(),
        Samples::UInt16(cells) => cells.iter().map(|cell| i32::from(*cell)).collect(),
        other => panic!("{:?}", other.dtype()),
    };
    let (red, nir) = (
        cells(&read(&dir.path().join("red.tif"), &[1]).await, 0),
        cells(&read(&dir.path().join("nir.tif"), &[1]).await, 0),
    );
    let bands = [0, 1, 2].map(|band| cells(&made, band));
    let mut valid = 0;
    for cell in 0..red.len() {
        let (r, n) = (red[cell], nir[cell]);
        // 0 is the sample's NoData.
        let or = |value: i32, missing: bool| if missing { -99_999 } else { value };
        let missing = r == 0 || n == 0;
        valid += usize::from(!missing);
        assert_eq!(bands[0][cell], or(n - r, missing));
        assert_eq!(bands[1][cell], or(r * 2, r == 0));
        assert_eq!(bands[2][cell], or(i32::from(r > n), missing));
    }
    assert!(valid > 1000);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_index_makes_a_band_with_its_name() {
    let dir = tempfile::tempdir().unwrap();
    scene(dir.path(), 300);
    let output = dir.path().join("three.tif");
    let mut spec = ndvi(dir.path(), &output);
    let TaskOperation::Index { mut inputs, .. } = spec.operation else {
        panic!()
    };
    inputs.push(NamedInput {
        name: "B".to_owned(),
        path: dir.path().join("blue.tif").display().to_string(),
        band: 1,
    });
    spec.operation = TaskOperation::Index {
        names: ["ndvi", "SAVI", "EVI"].map(str::to_owned).to_vec(),
        inputs,
        scale: 0.0001,
        offset: 0.0,
        constants: [("L".to_owned(), 0.75)].into(),
    };
    raster_output(&mut spec).blocksize = 64;
    let cluster = cluster(2).await;
    assert_eq!(run(&cluster, &spec).await, Outcome::Succeeded);
    let file = raster_file(&output).await;
    assert_eq!(file.facts().look.descriptions(3), ["NDVI", "SAVI", "EVI"]);
    let made = read(&output, &[1, 2, 3]).await;
    let made = [0, 1, 2].map(|band| match &made.bands[band] {
        Samples::Float32(cells) => cells.clone(),
        other => panic!("{:?}", other.dtype()),
    });
    let mut stored = Vec::new();
    for name in ["nir.tif", "red.tif", "blue.tif"] {
        match &read(&dir.path().join(name), &[1]).await.bands[0] {
            Samples::UInt16(cells) => stored.push(cells.clone()),
            other => panic!("{:?}", other.dtype()),
        }
    }
    let mut valid = 0;
    for cell in 0..stored[0].len() {
        // 0 is the sample's NoData.
        let [n, r, b] = [0, 1, 2].map(|band: usize| match stored[band][cell] {
            0 => f64::NAN,
            sample => f64::from(sample) * 0.0001,
        });
        // Rouse 1974; Huete 1988 with L = 0.75; Huete 2002 with L = 0.75.
        let wanted = [
            (n - r) / (n + r),
            1.75 * (n - r) / (n + r + 0.75),
            2.5 * (n - r) / (n + 6.0 * r - 7.5 * b + 0.75),
        ];
        for (band, wanted) in wanted.into_iter().enumerate() {
            let got = f64::from(made[band][cell]);
            let close = (got - wanted).abs() <= 1e-6 * wanted.abs().max(1e-3);
            assert!(close || got.is_nan() && wanted.is_nan(), "{got}, {wanted}");
        }
        valid += usize::from(!(n + r + b).is_nan());
    }
    assert!(valid > 1000);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_integer_output_rounds_and_keeps_no_data() {
    let dir = tempfile::tempdir().unwrap();
    scene(dir.path(), 300);
    let output = dir.path().join("scaled.tif");
    let mut spec = ndvi(dir.path(), &output);
    let TaskOperation::Index { inputs, .. } = spec.operation else {
        panic!()
    };
    let expressions = vec!["(N - R) / (N + R) * 100".to_owned()];
    spec.operation = TaskOperation::Calc {
        inputs,
        expressions,
    };
    let output_spec = raster_output(&mut spec);
    output_spec.dtype = Some(DataType::Int16);
    output_spec.nodata = Some(-999.0);
    let cluster = cluster(1).await;
    assert_eq!(run(&cluster, &spec).await, Outcome::Succeeded);
    let (red, nir, out) = (
        read(&dir.path().join("red.tif"), &[1]).await,
        read(&dir.path().join("nir.tif"), &[1]).await,
        read(&output, &[1]).await,
    );
    let (Samples::UInt16(red), Samples::UInt16(nir), Samples::Int16(out)) =
        (&red.bands[0], &nir.bands[0], &out.bands[0])
    else {
        panic!("bands of other types");
    };
    for ((red, nir), out) in red.iter().zip(nir).zip(out) {
        let (r, n) = (f64::from(*red), f64::from(*nir));
        let wanted = if *red == 0 || *nir == 0 {
            -999.0
        } else {
            ((n - r) / (n + r) * 100.0).round()
        };
        assert_eq!(f64::from(*out), wanted);
    }
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_existing_output_is_refused_and_kept() {
    let dir = tempfile::tempdir().unwrap();
    scene(dir.path(), 200);
    let output = dir.path().join("ndvi.tif");
    std::fs::write(&output, "somebody's work").unwrap();
    let cluster = cluster(1).await;
    let mut spec = ndvi(dir.path(), &output);
    let (_, message) = fail(&cluster, &spec).await;
    assert!(message.contains("--overwrite"), "{message}");
    assert_eq!(std::fs::read(&output).unwrap(), b"somebody's work");
    assert!(leftovers(dir.path()).is_empty());
    raster_output(&mut spec).overwrite = true;
    assert_eq!(run(&cluster, &spec).await, Outcome::Succeeded);
    assert_ndvi(dir.path(), &output).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_specs_fail_with_the_way_out() {
    let dir = tempfile::tempdir().unwrap();
    scene(&dir.path().join("a"), 200);
    scene(&dir.path().join("b"), 300);
    let output = dir.path().join("out.tif");
    let cluster = cluster(1).await;
    let good = ndvi(&dir.path().join("a"), &output);
    let with = |change: &dyn Fn(&mut JobSpec)| {
        let mut spec = good.clone();
        change(&mut spec);
        spec
    };
    let inputs = |spec: &mut JobSpec| match &mut spec.operation {
        TaskOperation::Index { inputs, .. } => inputs.clone(),
        _ => panic!(),
    };
    let other = dir.path().join("b/nir.tif").display().to_string();
    let cases: [(JobSpec, &str, &[&str]); 6] = [
        (
            with(&|spec| {
                let mut inputs = inputs(spec);
                inputs[0].path.clone_from(&other);
                let expressions = vec!["N - R".to_owned()];
                spec.operation = TaskOperation::Calc {
                    inputs,
                    expressions,
                };
            }),
            "spec-grids",
            &["200 × 200", "300 × 300", "reproject"],
        ),
        (
            with(&|spec| {
                let mut inputs = inputs(spec);
                inputs[0].band = 9;
                let expressions = vec!["N - R".to_owned()];
                spec.operation = TaskOperation::Calc {
                    inputs,
                    expressions,
                };
            }),
            "spec-band",
            &["no band 9"],
        ),
        (
            with(&|spec| {
                let inputs = inputs(spec);
                let expressions = vec!["N - (R * ".to_owned()];
                spec.operation = TaskOperation::Calc {
                    inputs,
                    expressions,
                };
            }),
            "spec-expression",
            &["^"],
        ),
        (
            with(&|spec| {
                let inputs = inputs(spec);
                let (names, scale, offset) = (vec!["NDVY".to_owned()], 1.0, 0.0);
                spec.operation = TaskOperation::Index {
                    names,
                    inputs,
                    scale,
                    offset,
                    constants: std::collections::BTreeMap::new(),
                };
            }),
            "spec-index",
            &["NDVI"],
        ),
        (
            with(&|spec| raster_output(spec).dtype = Some(DataType::UInt8)),
            "spec-nodata",
            &["--nodata"],
        ),
        (
            with(&|spec| raster_output(spec).blocksize = 100),
            "spec-blocksize",
            &["multiple of 16"],
        ),
    ];
    for (spec, code, words) in cases {
        let (found, message) = fail(&cluster, &spec).await;
        assert_eq!(found, code, "{message}");
        for word in words {
            assert!(message.contains(word), "{word:?} is not in: {message}");
        }
        assert!(!output.exists());
    }
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_input_fails_at_once_and_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = cluster(1).await;
    let (_, message) = fail(&cluster, &ndvi(dir.path(), &dir.path().join("out.tif"))).await;
    assert!(
        message.contains("nir.tif") || message.contains("red.tif"),
        "{message}"
    );
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_cannot_fit_names_need_and_limit() {
    let dir = tempfile::tempdir().unwrap();
    scene(dir.path(), 2100);
    let mut worker = WorkerConfig::default()
        .with_max_concurrent_tasks(1)
        .with_memory_limit(172 << 20);
    worker.store_memory_bytes = Some(0);
    let limit_mib = worker.shares().unwrap().tasks_bytes >> 20;
    let options = LocalOptions {
        worker,
        ..LocalOptions::default()
    };
    let cluster = LocalCluster::start(options).await.unwrap();
    let (code, message) = fail(&cluster, &ndvi(dir.path(), &dir.path().join("out.tif"))).await;
    assert_eq!(code, "memory");
    let named = format!("limit for tasks is {limit_mib} MiB");
    assert!(message.contains(&named), "{message}");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_fails_twice_succeeds_at_the_third_try() {
    let cluster = cluster(1).await;
    let spec = quick_retries(
        tasks("fail", &[json!({"times": 2}), json!({"times": 0})]),
        3,
    );
    let client = cluster.client();
    let job = client
        .submit(&spec, SubmitOptions::default())
        .await
        .unwrap();
    let ended = client.wait(&job).await.unwrap();
    assert!(ended.succeeded(), "{}", ended.sentence());
    assert_eq!(ended.progress.failed(), 2);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_fails_when_a_task_has_used_up_its_tries() {
    let cluster = cluster(1).await;
    let spec = quick_retries(tasks("fail", &[json!({"message": "no luck"})]), 2);
    let (_, message) = fail(&cluster, &spec).await;
    assert!(message.contains("no luck"), "{message}");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_fails_the_attempt_and_not_the_worker() {
    let cluster = cluster(1).await;
    let spec = quick_retries(tasks("fail", &[json!({"times": 1, "kind": "panic"})]), 2);
    assert_eq!(run(&cluster, &spec).await, Outcome::Succeeded);
    let (_, message) = fail(
        &cluster,
        &quick_retries(tasks("fail", &[json!({"kind": "panic"})]), 2),
    )
    .await;
    assert!(message.contains("panicked"), "{message}");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_operation_fails_and_lists_what_is_known() {
    let cluster = cluster(1).await;
    let (_, message) = fail(&cluster, &tasks("nonesuch", &[json!({})])).await;
    assert!(
        message.contains("nonesuch") && message.contains("noop"),
        "{message}"
    );
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn results_come_back_by_task_number() {
    let cluster = cluster(2).await;
    let params: Vec<_> = (0..300).map(|n| json!({ "value": n * n })).collect();
    let client = cluster.client();
    let spec = tasks("noop", &params);
    let job = client
        .submit(&spec, SubmitOptions::default())
        .await
        .unwrap();
    client.wait(&job).await.unwrap();
    let results = client.results(&job).await.unwrap();
    let values: Vec<u32> = results
        .iter()
        .map(|(_, bytes)| serde_json::from_slice(bytes).unwrap())
        .collect();
    assert_eq!(values, (0..300).map(|n| n * n).collect::<Vec<u32>>());
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_larger_than_a_message_comes_back() {
    let cluster = cluster(1).await;
    let text = "x".repeat(600 << 10);
    let client = cluster.client();
    let spec = tasks("noop", &[json!({ "value": text })]);
    let job = client
        .submit(&spec, SubmitOptions::default())
        .await
        .unwrap();
    let ended = client.wait(&job).await.unwrap();
    assert!(ended.succeeded(), "{}", ended.sentence());
    let results = client.results(&job).await.unwrap();
    assert_eq!(results[0].1.len(), text.len() + 2);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_job_stops_its_tasks_and_leaves_nothing() {
    let cluster = cluster(1).await;
    let client = cluster.client();
    let params: Vec<_> = (0..50).map(|_| json!({ "ms": 60_000 })).collect();
    let job = client
        .submit(&tasks("sleep", &params), SubmitOptions::default())
        .await
        .unwrap();
    wait_until(async || {
        client
            .workers()
            .await
            .unwrap()
            .iter()
            .any(|worker| !worker.running.is_empty())
    })
    .await;
    client.cancel(&job).await.unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(10), client.wait(&job)).await;
    assert_eq!(
        ended.expect("within ten seconds").unwrap().outcome,
        Some(Outcome::Cancelled)
    );
    wait_until(async || {
        client
            .workers()
            .await
            .unwrap()
            .iter()
            .all(|worker| worker.running.is_empty())
    })
    .await;
    cluster.stop().await;
}

/// Waits for a condition, with a deadline.
async fn wait_until(condition: impl AsyncFn() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while !condition().await {
        assert!(
            tokio::time::Instant::now() < deadline,
            "the condition did not come within 20 s"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_beyond_its_timeout_fails_as_such() {
    let cluster = cluster(1).await;
    let mut spec = quick_retries(tasks("sleep", &[json!({ "ms": 60_000 })]), 1);
    spec.options.task_timeout_ms = Some(200);
    let (code, message) = fail(&cluster, &spec).await;
    assert!(
        code.contains("timeout") || message.contains("longer than its limit"),
        "{code} {message}"
    );
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_beyond_its_deadline_fails_as_such() {
    let cluster = cluster(1).await;
    let mut spec = tasks("sleep", &[json!({ "ms": 60_000 })]);
    spec.options.deadline_ms = Some(300);
    let (code, _) = fail(&cluster, &spec).await;
    assert!(code.contains("deadline"), "{code}");
    cluster.stop().await;
}

async fn check_delay(broker: Arc<dyn Broker>) {
    let cluster = LocalCluster::start_on(broker, LocalOptions::default()).await;
    let cluster = cluster.unwrap();
    let client = cluster.client();
    let submit = async |delay| {
        let mut spec = tasks("noop", &[json!({})]);
        // Counted from when it may begin, or the first job would not have time enough.
        spec.options.deadline_ms = Some(60_000);
        let start_at = Timestamp::from_system(SystemTime::now()).after(delay);
        let options = SubmitOptions {
            id: None,
            start_at: Some(start_at),
        };
        (client.submit(&spec, options).await.unwrap(), start_at)
    };
    let ended = async |job| {
        let ended = tokio::time::timeout(Duration::from_secs(60), client.wait(job)).await;
        ended.expect("the job ends within a minute").unwrap()
    };
    let (soon, start_at) = submit(Duration::from_secs(2)).await;
    let (late, _) = submit(Duration::from_secs(3600)).await;
    let end = ended(&soon).await;
    assert!(end.succeeded(), "{}", end.sentence());
    // One clock for all: it may be read in any order, but not set back.
    assert!(end.progress.planned_at.unwrap() >= start_at);
    let waits = client.status(&late).await.unwrap();
    assert_eq!(waits.progress.state, JobState::Submitted);
    client.cancel(&late).await.unwrap();
    assert_eq!(ended(&late).await.outcome, Some(Outcome::Cancelled));
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delayed_job_begins_when_it_may_and_can_be_cancelled_before() {
    check_delay(EmbeddedBroker::new(EmbeddedConfig::default())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delayed_job_begins_when_it_may_and_can_be_cancelled_before_on_nats() {
    let server = NatsServer::start().unwrap();
    let broker = NatsBroker::connect(NatsConfig::for_url(server.url())).await;
    check_delay(broker.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_job_under_the_same_id_is_one_job() {
    let cluster = cluster(1).await;
    let client = cluster.client();
    let id = JobId::new("mine").unwrap();
    let options = || SubmitOptions {
        id: Some(id.clone()),
        ..SubmitOptions::default()
    };
    let spec = tasks("noop", &[json!({})]);
    client.submit(&spec, options()).await.unwrap();
    client.submit(&spec, options()).await.unwrap();
    client.wait(&id).await.unwrap();
    client.submit(&spec, options()).await.unwrap();
    assert_eq!(client.jobs().await.unwrap().len(), 1);
    let other = tasks("noop", &[json!({"value": 1})]);
    let error = client.submit(&other, options()).await.unwrap_err();
    assert!(error.to_string().contains("choose another --id"), "{error}");
    client.forget(&id).await.unwrap();
    assert!(client.status(&id).await.is_err());
    // What was forgotten is free, at once: no message of the first life swallows one of the second.
    client.submit(&other, options()).await.unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(20), client.wait(&id)).await;
    assert!(ended.expect("within 20 s").unwrap().succeeded());
    assert_eq!(client.results(&id).await.unwrap().len(), 1);
    cluster.stop().await;
}

/// As when another coordinator ended the job while this one was cut off.
#[tokio::test(flavor = "multi_thread")]
async fn who_coordinates_a_job_that_was_forgotten_lets_go_of_it_and_writes_nothing() {
    let broker: Arc<dyn Broker> = EmbeddedBroker::new(EmbeddedConfig::default());
    let start = async |id: &str| {
        let mut options = LocalOptions::default();
        options.worker.id = Some(id.to_owned());
        let cluster = LocalCluster::start_on(Arc::clone(&broker), options).await;
        cluster.unwrap()
    };
    let first = start("first").await;
    let client = first.client();
    let spec = tasks("sleep", &[json!({ "ms": 600_000 })]);
    let job = client
        .submit(&spec, SubmitOptions::default())
        .await
        .unwrap();
    let coordinated = async |wanted| {
        let begun = std::time::Instant::now();
        loop {
            let workers = client.workers().await.unwrap();
            if workers.iter().any(|it| it.coordinates.contains(&job)) == wanted {
                return;
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "not {wanted}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    coordinated(true).await;
    broker.forget(&job).await.unwrap();
    // More slots: something to record.
    let second = start("second").await;
    coordinated(false).await;
    assert!(broker.jobs().await.unwrap().is_empty());
    first.stop().await;
    second.stop().await;
}

/// A record that comes after the job was forgotten makes a log again that nobody submitted.
#[tokio::test(flavor = "multi_thread")]
async fn a_late_record_of_a_forgotten_job_is_no_job() {
    let cluster = cluster(1).await;
    let client = cluster.client();
    let spec = tasks("noop", &[json!({})]);
    let submitted = client.submit(&spec, SubmitOptions::default()).await;
    let job = submitted.unwrap();
    client.wait(&job).await.unwrap();
    client.forget(&job).await.unwrap();
    let events = vec![Event::Capacity { slots: 1 }];
    let late = wire::encode(&LogEntry { events }).unwrap();
    client.broker().append(&job, None, late).await.unwrap();
    assert!(client.jobs().await.unwrap().is_empty());
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_queue_is_done_at_once() {
    let cluster = cluster(1).await;
    assert_eq!(run(&cluster, &tasks("noop", &[])).await, Outcome::Succeeded);
    cluster.stop().await;
}
