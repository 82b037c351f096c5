//! A job whose inputs cannot be read while it is planned: it is planned again, and hears its end meanwhile.

use std::path::Path;
use std::time::Duration;

use swath::client::{JobProgress, SubmitOptions};
use swath::cluster::{LocalCluster, LocalOptions};
use swath::io::raster::read::RasterFile;
use swath::io::source::Sources;
use swath::job::Outcome;
use swath::spec::{JobOptions, RasterOutput, SPEC_VERSION};
use swath::{Client, JobSpec, TaskOperation};

use crate::common::{leftovers, scene, tasks};
use crate::ranges::{Fault, Server};

/// Requests that a source makes before it gives up: one, and five more.
const REQUESTS_PER_TRY: usize = 6;

fn convert(input: &str, output: &Path) -> JobSpec {
    JobSpec {
        version: SPEC_VERSION,
        operation: TaskOperation::Convert {
            input: input.to_owned(),
        },
        output: Some(RasterOutput::new(output.display().to_string()).into()),
        options: JobOptions::default(),
    }
}

async fn end_of(client: &Client, job: &swath::ids::JobId) -> JobProgress {
    let ended = tokio::time::timeout(Duration::from_secs(60), client.wait(job)).await;
    ended.expect("the job ends within a minute").unwrap()
}

async fn run(client: &Client, spec: &JobSpec) -> JobProgress {
    let submitted = client.submit(spec, SubmitOptions::default()).await;
    end_of(client, &submitted.unwrap()).await
}

async fn served_scene(dir: &Path) -> Server {
    scene(dir, 300);
    Server::start(std::fs::read(dir.join("dem.tif")).unwrap()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_is_down_while_a_job_is_planned_delays_the_job_and_does_not_fail_it() {
    let dir = tempfile::tempdir().unwrap();
    let server = served_scene(dir.path()).await;
    server.will([Fault::Status(503, None); REQUESTS_PER_TRY]);
    let cluster = LocalCluster::start(LocalOptions::default()).await.unwrap();
    let client = cluster.client();
    let output = dir.path().join("copy.tif");
    let spec = convert(&server.url, &output);
    let job = client
        .submit(&spec, SubmitOptions::default())
        .await
        .unwrap();
    let mut told = client.watch(&job).await.unwrap();
    let mut waits = None;
    while let Some(progress) = futures::StreamExt::next(&mut told).await {
        let progress = progress.unwrap();
        waits = waits.or_else(|| progress.progress.plan_failure.clone());
        if progress.is_complete() {
            assert!(progress.succeeded(), "{}", progress.sentence());
        }
    }
    assert_eq!(server.faults_left(), 0);
    let waits = waits.expect("the job said why it waited");
    assert_eq!(waits.code, "http-status");
    assert!(waits.message.contains("503"), "{waits}");
    let (sources, dem) = (Sources::new().unwrap(), dir.path().join("dem.tif"));
    for path in [&dem, &output] {
        let file = RasterFile::open(&sources, &path.display().to_string()).await;
        assert_eq!(file.unwrap().facts().profile.width, 300);
    }
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_waits_for_a_source_while_it_is_planned_hears_cancel_and_deadline() {
    let dir = tempfile::tempdir().unwrap();
    let server = served_scene(dir.path()).await;
    // A source waits 30 s for each of them.
    server.will([Fault::Stall; 50]);
    let cluster = LocalCluster::start(LocalOptions::default()).await.unwrap();
    let client = cluster.client();
    let output = dir.path().join("copy.tif");
    let mut spec = convert(&server.url, &output);
    let job = client
        .submit(&spec, SubmitOptions::default())
        .await
        .unwrap();
    while server.take_ranges().is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let asked = std::time::Instant::now();
    client.cancel(&job).await.unwrap();
    assert_eq!(
        end_of(&client, &job).await.outcome,
        Some(Outcome::Cancelled)
    );
    assert!(
        asked.elapsed() < Duration::from_secs(1),
        "{:?}",
        asked.elapsed()
    );

    spec.options.deadline_ms = Some(700);
    let job = client
        .submit(&spec, SubmitOptions::default())
        .await
        .unwrap();
    let end = end_of(&client, &job).await;
    let Some(Outcome::Failed { failure, .. }) = &end.outcome else {
        panic!("{:?}", end.outcome)
    };
    assert_eq!(failure.code, "deadline");
    let (begin, end) = (end.progress.submitted_at, end.progress.finished_at);
    let took = end.unwrap().since(begin.unwrap());
    assert!(took < Duration::from_millis(1_700), "{took:?}");
    assert!(!server.take_ranges().is_empty(), "the source was asked");
    assert!(leftovers(dir.path()).is_empty() && !output.exists());
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_url_that_was_replaced_since_the_last_job_is_read_as_it_is_now_by_every_worker() {
    let dir = tempfile::tempdir().unwrap();
    let server = served_scene(dir.path()).await;
    let options = LocalOptions {
        workers: 2,
        ..LocalOptions::default()
    };
    let cluster = LocalCluster::start(options).await.unwrap();
    let client = cluster.client();
    let copy = async |from: &str, name: String| {
        let output = dir.path().join(name);
        let ended = run(&client, &convert(from, &output)).await;
        assert!(ended.succeeded(), "{}", ended.sentence());
        std::fs::read(output).unwrap()
    };
    // Of the same size, type and grid.
    let (red, nir) = (dir.path().join("red.tif"), dir.path().join("nir.tif"));
    let wanted = copy(&nir.display().to_string(), "nir-copy.tif".to_owned()).await;
    server.replace(std::fs::read(&red).unwrap());
    for n in 0..6 {
        assert_ne!(copy(&server.url, format!("before-{n}.tif")).await, wanted);
    }
    server.replace(std::fs::read(&nir).unwrap());
    for n in 0..6 {
        assert!(
            copy(&server.url, format!("after-{n}.tif")).await == wanted,
            "job {n}"
        );
    }
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_done_is_refused_by_name_before_any_task_runs() {
    let dir = tempfile::tempdir().unwrap();
    scene(dir.path(), 300);
    let dem = dir.path().join("dem.tif");
    let before = std::fs::read(&dem).unwrap();
    let cluster = LocalCluster::start(LocalOptions::default()).await.unwrap();
    let client = cluster.client();
    let limit = client.broker().payload_limit();
    let large = |bytes: usize| tasks("noop", &[serde_json::json!({ "value": "x".repeat(bytes) })]);
    let nir = dir.path().join("nir.tif").display().to_string();
    let cases = [
        (large(limit), "task-too-large"),
        (convert(&nir, &dem), "output-exists"),
        (
            convert(&nir, &dir.path().join("none/x.tif")),
            "output-folder-missing",
        ),
    ];
    for (spec, code) in cases {
        let ended = run(&client, &spec).await;
        let Some(Outcome::Failed { failure, .. }) = &ended.outcome else {
            panic!("{code}: {}", ended.sentence());
        };
        assert_eq!(failure.code, code, "{failure}");
        assert_eq!(ended.progress.planned_at, None, "{code}");
    }
    assert_eq!(std::fs::read(&dem).unwrap(), before);
    // What just fits is run.
    let fits = large(limit - (6 << 10));
    assert!(run(&client, &fits).await.succeeded());
    cluster.stop().await;
}
