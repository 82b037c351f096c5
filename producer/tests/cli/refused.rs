//! What is refused, with the reason and the way out.

use super::{check, cluster_on_nats, on_nats};

#[test]
fn a_number_or_time_that_makes_no_sense_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |words: &str, shown: &[&str]| {
        let words: Vec<&str> = words.split(' ').collect();
        check(dir.path(), &words, 2, shown);
    };
    let job = "convert a.tif -o b.tif";
    refused(
        &format!("run --workers 0 {job}"),
        &["--workers", "0 is not in 1.."],
    );
    refused(
        &format!("run --max-attempts 0 {job}"),
        &["--max-attempts", "0 is not in 1.."],
    );
    refused(
        &format!("run --deadline 0s {job}"),
        &["--deadline", "longer than nothing\n"],
    );
    refused(
        &format!("run --task-timeout 0s {job}"),
        &["--task-timeout", "longer than nothing, or `none`"],
    );
    refused(
        &format!("submit --delay 3651d {job}"),
        &["--delay", "3650d"],
    );
    refused(
        "run zonal-stats -i a.tif --zones z.csv -o o.csv --column-prefix zonal_ --stats mean,p10,mean",
        &["names 'mean' twice"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn results_replace_no_file_and_a_job_that_goes_on_is_not_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let (server, cluster) = cluster_on_nats().await;
    let on_nats = on_nats(dir.path(), &server);
    let on_nats = |words: &str, code, shown: &[&str]| {
        on_nats(&words.split(' ').collect::<Vec<_>>(), code, shown)
    };
    let path = dir.path().join("out.ndjson");
    let file = || std::fs::read_to_string(&path).unwrap();
    std::fs::write(dir.path().join("t.ndjson"), "{\"ms\":1}\n").unwrap();
    let sleep = "tasks --operation sleep --params t.ndjson";
    on_nats(&format!("submit --watch --id q {sleep}"), 0, &[]);
    std::fs::write(&path, "mine").unwrap();
    let words = ["out.ndjson", "exists", "--overwrite"];
    on_nats("results q -o out.ndjson", 2, &words);
    on_nats("results q -o out.ndjson --json", 2, &["output-exists"]);
    assert_eq!(file(), "mine");
    on_nats("results q -o out.ndjson --overwrite", 0, &[]);
    assert_eq!(file(), on_nats("results q", 0, &[]));
    on_nats("results q --overwrite", 2, &["--output"]);
    on_nats(&format!("submit --delay 1h --id later {sleep}"), 0, &[]);
    on_nats("forget later", 2, &["has not ended", "swath cancel later"]);
    on_nats("forget later --json", 2, &["not-ended"]);
    cluster.stop().await;
}
