//! The command line as scripts use it: exit codes, what goes where, nothing left behind.

#[cfg(test)]
mod cli {
    mod doctor;
    mod drain;
    mod json;
    mod pipe;
    mod refused;

    use std::path::Path;
    use std::process::{Command, Output, Stdio};
    use std::time::{Duration, Instant};

    use swath::WorkerConfig;
    use swath::broker::{NatsBroker, NatsConfig};
    use swath::cluster::{LocalCluster, LocalOptions};
    use swath::ids::QueueName;
    use swath::testing::nats_server::NatsServer;

    fn command(dir: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_swath"));
        command
            .current_dir(dir)
            .args(arguments)
            .env_remove("SWATH_NATS")
            .env_remove("NATS_URL")
            .env_remove("RUST_LOG")
            .stdin(Stdio::null());
        command
    }

    fn swath(dir: &Path, arguments: &[&str]) -> Output {
        command(dir, arguments).output().unwrap()
    }

    /// Runs a command; asserts its exit code, and that standard error holds some words.
    fn check(dir: &Path, arguments: &[&str], code: i32, words: &[&str]) -> Output {
        let output = swath(dir, arguments);
        let shown = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {shown}");
        for word in words {
            assert!(shown.contains(word), "{word:?} is not in: {shown}");
        }
        output
    }

    fn sample(dir: &Path) {
        let output = check(dir, &["sample", "s", "--size", "300"], 0, &[]);
        assert_eq!(String::from_utf8(output.stdout).unwrap().lines().count(), 8);
    }

    const NDVI: [&str; 8] = [
        "run",
        "ndvi",
        "--red",
        "s/red.tif",
        "--nir",
        "s/nir.tif",
        "-o",
        "out.tif",
    ];

    #[test]
    fn terrain_windows_and_kernels_run() {
        let dir = tempfile::tempdir().unwrap();
        sample(dir.path());
        std::fs::write(dir.path().join("sobel.txt"), "-1 0 1\n-2 0 2\n-1 0 1\n").unwrap();
        let run = |job: &[&str], code, words: &[&str]| {
            let job = [&["run"], job, &["-o", "out.tif", "--overwrite"]].concat();
            check(dir.path(), &job, code, words)
        };
        let good = ["succeeded"];
        run(&["hillshade", "s/dem.tif", "--igor", "-z", "2"], 0, &good);
        run(&["slope", "s/dem.tif", "--unit", "percent"], 0, &good);
        run(
            &["aspect", "s/dem.tif", "--alg", "zevenbergenthorne"],
            0,
            &good,
        );
        run(&["roughness", "s/dem.tif", "--compute-edges"], 0, &good);
        run(&["tri", "s/dem.tif", "--alg", "Wilson"], 0, &good);
        run(&["tpi", "s/dem.tif@1", "--dtype", "float64"], 0, &good);
        run(&["focal", "median", "s/red.tif", "--size", "5"], 0, &good);
        run(
            &["convolve", "s/dem.tif", "--kernel", "sobel.txt"],
            0,
            &good,
        );
        // What cannot be is said before anything runs.
        run(&["focal", "mean", "s/red.tif", "--size", "4"], 2, &["odd"]);
        run(&["tpi", "s/dem.tif@2"], 2, &["no band 2"]);
        let both = [
            "hillshade",
            "s/dem.tif",
            "--multidirectional",
            "--azimuth",
            "3",
        ];
        run(&both, 2, &["--azimuth"]);
        run(&["slope", "s/dem.tif", "--xscale", "2"], 2, &["--yscale"]);
        std::fs::write(dir.path().join("sobel.txt"), "1 2\n1 x").unwrap();
        let wrong = ["convolve", "s/dem.tif", "--kernel", "sobel.txt"];
        run(&wrong, 2, &["sobel.txt", "line 2", "'x'"]);
    }

    #[test]
    fn a_job_runs_and_an_existing_output_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        sample(dir.path());
        let output = check(dir.path(), &NDVI, 0, &["succeeded", "2 of 2 tasks"]);
        assert!(output.stdout.is_empty(), "progress goes to standard error");
        let first = std::fs::read(dir.path().join("out.tif")).unwrap();
        check(dir.path(), &NDVI, 2, &["out.tif", "--overwrite"]);
        check(
            dir.path(),
            &[&NDVI[..], &["--overwrite", "--slots", "1"]].concat(),
            0,
            &[],
        );
        assert!(
            first == std::fs::read(dir.path().join("out.tif")).unwrap(),
            "other bytes"
        );
        check(
            dir.path(),
            &["sample", "s", "--size", "300"],
            2,
            &["--overwrite"],
        );
    }

    #[test]
    fn a_job_file_is_the_same_job() {
        let dir = tempfile::tempdir().unwrap();
        sample(dir.path());
        let job = r#"
            [operation]
            type = "calc"
            expression = "(N - R) / (N + R)"
            inputs = [{ name = "N", path = "s/nir.tif" }, { name = "R", path = "s/red.tif" }]
            [output]
            path = "file.tif"
            [options.retry]
            max_attempts = 2
        "#;
        std::fs::write(dir.path().join("job.toml"), job).unwrap();
        check(dir.path(), &["run", "-f", "job.toml"], 0, &[]);
        check(dir.path(), &NDVI, 0, &[]);
        let read = |name: &str| std::fs::read(dir.path().join(name)).unwrap();
        assert!(
            read("file.tif") == read("out.tif"),
            "the same formula gave other bytes"
        );
    }

    #[test]
    fn what_is_wrong_with_a_spec_is_exit_code_2_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        sample(dir.path());
        let calc = |expression: &'static str| {
            [
                "run",
                "calc",
                "-i",
                "A=s/red.tif",
                "-o",
                "out.tif",
                "--calc",
                expression,
            ]
        };
        check(dir.path(), &calc("A + (B"), 2, &["^"]);
        check(dir.path(), &calc("A + B"), 2, &["B", "-i B=FILE"]);
        check(
            dir.path(),
            &["run", "index", "NDVY", "-i", "A=s/red.tif", "-o", "x.tif"],
            2,
            &["NDVI"],
        );
        check(
            dir.path(),
            &["run", "index", "NDVI", "-i", "N=s/nir.tif", "-o", "x.tif"],
            2,
            &["R is missing"],
        );
        let two = "NDVI,EVI";
        check(
            dir.path(),
            &[
                "run",
                "index",
                two,
                "-i",
                "N=s/nir.tif",
                "-i",
                "R=s/red.tif",
                "-o",
                "x.tif",
            ],
            2,
            &["EVI = ", "B is missing"],
        );
        check(
            dir.path(),
            &[
                "run",
                "ndvi",
                "--red",
                "s/red.tif@7",
                "--nir",
                "s/nir.tif",
                "-o",
                "x.tif",
            ],
            2,
            &["band 7"],
        );
        check(dir.path(), &["run"], 2, &["no job given"]);
        check(
            dir.path(),
            &["run", "convert", "none.tif", "-o", "x.tif"],
            1,
            &["none.tif"],
        );
        check(
            dir.path(),
            &["run", "convert", "s/dem.tif", "-o", "no/folder/x.tif"],
            2,
            &["no/folder"],
        );
        let left: Vec<_> = std::fs::read_dir(dir.path())
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect();
        assert_eq!(left, ["s"]);
    }

    #[test]
    fn json_errors_carry_a_stable_code() {
        let dir = tempfile::tempdir().unwrap();
        let output = check(
            dir.path(),
            &["run", "convert", "none.tif", "-o", "x.tif", "--json"],
            1,
            &[],
        );
        let last = String::from_utf8(output.stderr).unwrap();
        let error: serde_json::Value = serde_json::from_str(last.lines().last().unwrap()).unwrap();
        assert_eq!(error["error"]["code"], "source-not-found");
        // Every line of standard output is an event of the job.
        for line in String::from_utf8(output.stdout).unwrap().lines() {
            let event: serde_json::Value = serde_json::from_str(line).unwrap();
            assert!(event["state"].is_string());
        }
    }

    /// Two items of a scene of [`sample`]: where the second lies is as given, its asset is found by the name of its band.
    fn stac(second: &str, left: f64) -> String {
        let item = |id: &str, href: &str, left: f64| {
            serde_json::json!({ "id": id,
                "properties": { "proj:epsg": 32630, "proj:shape": [300, 300] },
                "assets": { "visual": { "href": href, "eo:bands": [{ "name": "B04", "common_name": "red" }],
                    "proj:transform": [10, 0, left, 0, -10, 5_900_000, 0, 0, 1] } } })
        };
        let items = [item("a", "s/red.tif", 300_000.0), item("b", second, left)];
        serde_json::json!({ "type": "FeatureCollection", "features": items }).to_string()
    }

    #[test]
    fn what_stac_says_of_a_grid_is_planned_with_and_checked() {
        let dir = tempfile::tempdir().unwrap();
        sample(dir.path());
        let write = |text: String| std::fs::write(dir.path().join("items.json"), text).unwrap();
        let composite = |verb, band| {
            let words = ["composite", "max", "--stac", "items.json", "--assets", band];
            [&[verb], &words[..], &["-o", "max.tif", "--overwrite"]].concat()
        };
        write(stac("s/nir.tif", 300_000.0));
        check(dir.path(), &composite("run", "red"), 0, &[]);
        check(dir.path(), &composite("run", "B04"), 0, &[]);
        check(dir.path(), &composite("run", "B05"), 2, &["B05", "visual"]);
        // The header of the second file is not read to plan: it is not there, and 100 cells further east.
        write(stac("none.tif", 301_000.0));
        let plan = composite("explain", "red");
        let planned = check(dir.path(), &plan[..plan.len() - 1], 0, &[]);
        let shown = String::from_utf8(planned.stdout).unwrap();
        assert!(shown.contains("400") && shown.contains("300"), "{shown}");
        // A file that is not where the items have it.
        write(stac("s/nir.tif", 301_000.0));
        let words = ["nir.tif", "301000", "300000"];
        check(dir.path(), &composite("run", "red"), 1, &words);
        // A file of another type, which only a person can reconcile with the first.
        write(stac("s/dem.tif", 300_000.0));
        let words = ["dem.tif is float32", "uint16", "--dtype"];
        check(dir.path(), &composite("run", "red"), 1, &words);
        let given = [&composite("run", "red")[..], &["--dtype", "float32"]].concat();
        check(dir.path(), &given, 0, &[]);
    }

    #[test]
    #[cfg(feature = "tables")]
    fn a_statement_may_begin_with_a_comment() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("t.csv"), "a,b\n1,2\n3,4\n").unwrap();
        let statement = "-- the sum of a\nSELECT sum(a) AS n FROM t";
        let job = ["run", "sql", "--table", "t=t.csv", statement, "-o", "n.csv"];
        check(dir.path(), &job, 0, &[]);
        let written = std::fs::read_to_string(dir.path().join("n.csv")).unwrap();
        assert_eq!(written, "n\n4\n");
    }

    #[test]
    fn without_a_broker_the_exit_code_is_3_in_bounded_time() {
        let dir = tempfile::tempdir().unwrap();
        let started = Instant::now();
        check(
            dir.path(),
            &["jobs", "--nats", "nats://127.0.0.1:9"],
            3,
            &["nats-server -js"],
        );
        assert!(started.elapsed() < Duration::from_secs(30));
        check(dir.path(), &["jobs"], 2, &["--nats"]);
        // A job's own options are not taken for the cluster's.
        let zonal = "submit zonal-stats -i r.tif --zones z.csv -o o.csv --nats nats://127.0.0.1:9";
        let words: Vec<&str> = zonal.split(' ').collect();
        check(dir.path(), &words, 3, &["nats-server -js"]);
    }

    /// Starts a worker on a server of its own.
    async fn cluster_on_nats() -> (NatsServer, LocalCluster) {
        let server = NatsServer::start().unwrap();
        let broker = NatsBroker::connect(NatsConfig::for_url(server.url())).await;
        let cluster = LocalCluster::start_on(broker.unwrap(), LocalOptions::default()).await;
        (server, cluster.unwrap())
    }

    /// Makes what runs a command on a server, as [`check`] does, and returns what it wrote to stdout.
    fn on_nats(dir: &Path, server: &NatsServer) -> impl Fn(&[&str], i32, &[&str]) -> String {
        let url = server.url();
        move |words, code, shown| {
            let words = [words, &["--nats", &url]].concat();
            let output = check(dir, &words, code, shown);
            String::from_utf8(output.stdout).unwrap()
        }
    }

    /// The job's inputs come to be only after it failed.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_failed_job_is_retried_under_its_id() {
        let dir = tempfile::tempdir().unwrap();
        let (server, cluster) = cluster_on_nats().await;
        let on_nats = on_nats(dir.path(), &server);
        let submit = [&["submit", "--watch", "--id", "again"], &NDVI[1..]].concat();
        on_nats(&submit, 1, &["does not exist"]);
        on_nats(&["retry", "again", "--watch"], 1, &["does not exist"]);
        sample(dir.path());
        on_nats(&["retry", "again", "--watch"], 0, &["job again goes on"]);
        assert!(dir.path().join("out.tif").exists());
        let status = on_nats(&["status", "again", "--json"], 0, &[]);
        let status: serde_json::Value = serde_json::from_str(&status).unwrap();
        assert_eq!(
            (&status["state"], &status["retries"]),
            (&"succeeded".into(), &2.into())
        );
        let audit = on_nats(&["audit", "again"], 0, &[]);
        assert!(audit.contains("events keep the invariants\n"), "{audit}");
        on_nats(&["retry", "again", "--json"], 2, &["nothing-to-retry"]);
        on_nats(&["retry", "another"], 2, &["another"]);
        cluster.stop().await;
    }

    /// The worker that there is serves the default queue.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_job_of_another_queue_waits_for_a_worker_and_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let (server, cluster) = cluster_on_nats().await;
        let on_nats = on_nats(dir.path(), &server);
        std::fs::write(dir.path().join("t.ndjson"), "{}\n").unwrap();
        let job = ["tasks", "--operation", "noop", "--params", "t.ndjson"];
        let words = [&["submit", "--id", "q", "--queue", "gpu"], &job[..]].concat();
        on_nats(&words, 0, &[]);
        let status = on_nats(&["status", "q"], 0, &[]);
        let wanted = "no worker serves the queue 'gpu'; start one with `swath-worker --nats URL --queue gpu`";
        assert!(status.contains(wanted), "{status}");
        assert!(on_nats(&["jobs"], 0, &[]).contains("gpu"));
        let words = [&["submit", "--queue", "a.b"], &job[..]].concat();
        on_nats(&words, 2, &["queue name 'a.b'"]);
        let broker = NatsBroker::connect(NatsConfig::for_url(server.url())).await;
        let options = LocalOptions {
            worker: WorkerConfig {
                id: Some("own".to_owned()),
                queues: vec![QueueName::new("gpu").unwrap()],
                ..WorkerConfig::default()
            },
            ..LocalOptions::default()
        };
        let own = LocalCluster::start_on(broker.unwrap(), options).await;
        on_nats(&["status", "q", "--watch"], 0, &[]);
        let workers = on_nats(&["workers"], 0, &[]);
        assert!(
            workers.contains("QUEUES") && workers.contains("gpu"),
            "{workers}"
        );
        own.unwrap().stop().await;
        cluster.stop().await;
        // A process that runs one job alone serves its queue.
        let words = [&["run", "--queue", "gpu"], &job[..]].concat();
        check(dir.path(), &words, 0, &[]);
    }

    /// The task panics in its first tries, as many as it has.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_dead_task_is_seen_run_again_and_removed() {
        let dir = tempfile::tempdir().unwrap();
        let (server, cluster) = cluster_on_nats().await;
        let on_nats = on_nats(dir.path(), &server);
        let tries = 4;
        let params = format!("{{}}\n{{\"times\":{tries},\"kind\":\"panic\"}}\n{{}}\n");
        let params = params.replace("{}", "{\"times\":0}");
        std::fs::write(dir.path().join("t.ndjson"), params).unwrap();
        let queue = [
            "submit",
            "tasks",
            "--operation",
            "fail",
            "--params",
            "t.ndjson",
        ];
        on_nats(
            &[&queue[..], &["--watch", "--id", "q"]].concat(),
            1,
            &["swath dead list"],
        );
        let list = on_nats(&["dead", "list"], 0, &[]);
        assert!(list.contains("q.0.1") && list.contains("panic"), "{list}");
        let letter = on_nats(&["dead", "show", "q.0.1", "--json"], 0, &[]);
        let letter: serde_json::Value = serde_json::from_str(&letter).unwrap();
        assert_eq!(letter["tries"].as_array().unwrap().len(), tries);
        assert_eq!(letter["message"]["params"]["kind"], "panic");
        let status = on_nats(&["status", "q", "--json"], 0, &[]);
        let status: serde_json::Value = serde_json::from_str(&status).unwrap();
        assert_eq!(status["stages"][0]["dead"], 1);
        on_nats(&["dead", "show", "q.0.2"], 2, &["no dead letter 'q.0.2'"]);
        on_nats(&["dead", "replay"], 2, &["--all"]);
        on_nats(&["dead", "replay", "q.0.1"], 0, &["2 of 3 tasks are done"]);
        on_nats(&["status", "q", "--watch"], 0, &[]);
        assert_eq!(on_nats(&["dead", "list", "--json"], 0, &[]).trim(), "[]");
        on_nats(
            &[&queue[..], &["--watch", "--id", "r"]].concat(),
            1,
            &["swath dead list"],
        );
        let later = ["submit", "--delay", "1h", "--id", "later"];
        on_nats(&[&later[..], &queue[1..]].concat(), 0, &[]);
        let shown = on_nats(&["status", "later"], 0, &[]);
        assert!(shown.contains("The job begins in 59 min."), "{shown}");
        let status = on_nats(&["status", "later", "--json"], 0, &[]);
        let status: serde_json::Value = serde_json::from_str(&status).unwrap();
        let wait =
            status["start_at_us"].as_i64().unwrap() - status["submitted_at_us"].as_i64().unwrap();
        assert!((3_500_000_000..=3_600_000_000).contains(&wait), "{wait}");
        let past = ["submit", "--at", "2026-01-02T03:04:05Z", "--id", "past"];
        on_nats(&[&past[..], &queue[1..]].concat(), 0, &[]);
        let status = on_nats(&["status", "past", "--json"], 0, &[]);
        assert!(
            status.contains("\"start_at_us\":1767323045000000"),
            "{status}"
        );
        let wrong = ["submit", "--at", "tomorrow"];
        on_nats(
            &[&wrong[..], &queue[1..]].concat(),
            2,
            &["2026-12-01T06:00:00Z"],
        );
        // Its letter, too, is there to be purged.
        on_nats(&["status", "past", "--watch"], 1, &[]);
        on_nats(&["dead", "purge", "--all"], 0, &[]);
        assert_eq!(on_nats(&["dead", "list", "--json"], 0, &[]).trim(), "[]");
        cluster.stop().await;
    }

    #[test]
    fn an_interrupted_sample_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let mut child = command(dir.path(), &["sample", "s", "--size", "8000"])
            .spawn()
            .unwrap();
        let folder = dir.path().join("s");
        let files = || std::fs::read_dir(&folder).map_or(0, Iterator::count);
        let begun = Instant::now();
        while files() == 0 && begun.elapsed() < Duration::from_secs(30) {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(files() > 0);
        let pid = child.id().to_string();
        let killed = Command::new("kill").args(["-TERM", &pid]).status().unwrap();
        assert!(killed.success());
        assert_eq!(child.wait().unwrap().code(), Some(130));
        assert_eq!(files(), 0);
    }

    #[test]
    fn an_interrupted_job_is_cancelled_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("t.ndjson"), "{\"ms\":60000}\n").unwrap();
        let child = command(
            dir.path(),
            &[
                "run",
                "tasks",
                "--operation",
                "sleep",
                "--params",
                "t.ndjson",
            ],
        )
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
        std::thread::sleep(Duration::from_millis(1500));
        let pid = child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-INT", &pid])
                .status()
                .unwrap()
                .success()
        );
        let output = child.wait_with_output().unwrap();
        let shown = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(130), "{shown}");
        assert!(shown.contains("cancelled"), "{shown}");
    }

    #[test]
    fn operations_and_plans_are_shown() {
        let dir = tempfile::tempdir().unwrap();
        sample(dir.path());
        let output = check(dir.path(), &["operations", "EVI", "--json"], 0, &[]);
        let index: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(index["bands"], serde_json::json!(["N", "R", "B"]));
        let explain = [&["explain", "--json"], &NDVI[1..]].concat();
        let output = check(dir.path(), &explain, 0, &[]);
        let stages: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(stages[0]["name"], "ndvi");
        assert_eq!(stages[1]["inputs"], serde_json::json!([0]));
        let indices =
            "explain index NDVI,savi -i N=s/nir.tif -i R=s/red.tif --constant L=0.25 -o out.tif";
        let indices: Vec<_> = indices.split(' ').collect();
        let shown = "compute (N - R)/(N + R); (1.0 + 0.25) * (N - R) / (N + R + 0.25) from";
        let output = check(dir.path(), &indices, 0, &[]);
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains(shown), "{text}");
        assert!(!dir.path().join("out.tif").exists());
    }
}
