//! What machines read with `--json`: one document a command, errors with a code.

use serde_json::Value;

use super::{check, cluster_on_nats, on_nats, swath};

fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn a_wrong_command_line_is_an_error_with_a_code() {
    let dir = tempfile::tempdir().unwrap();
    let message = |words: &[&str]| {
        let output = check(dir.path(), words, 2, &[]);
        assert!(output.stdout.is_empty());
        let error = parse(&String::from_utf8(output.stderr).unwrap());
        assert_eq!(error["error"]["code"], "usage");
        error["error"]["message"].as_str().unwrap().to_owned()
    };
    let missing = message(&["--json", "run", "ndvi"]);
    assert!(missing.starts_with("the following required"), "{missing}");
    assert!(!missing.contains("For more") && !missing.contains('\u{1b}'));
    let wrong = message(&["run", "--slots", "many", "--json"]);
    assert!(wrong.contains("'many' for '--slots"), "{wrong}");
    assert!(message(&["dead", "--json"]).contains("requires a subcommand"));
    check(dir.path(), &["run", "ndvi"], 2, &["error: the following"]);
    // Not an option any more.
    check(dir.path(), &["--", "--json"], 2, &["error: unrecognized"]);
    for words in [["--json", "--help"], ["--json", "--version"]] {
        let output = swath(dir.path(), &words);
        assert!(output.status.success() && output.stderr.is_empty());
        assert!(String::from_utf8(output.stdout).unwrap().contains("wath"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_writes_a_document() {
    let dir = tempfile::tempdir().unwrap();
    let (server, cluster) = cluster_on_nats().await;
    let on_nats = on_nats(dir.path(), &server);
    let on_nats = |words: &str, code| {
        let words: Vec<&str> = words.split(' ').chain(["--json"]).collect();
        on_nats(&words, code, &[])
    };
    let document = |words: &str| parse(&on_nats(words, 0));
    let panics = "{\"times\":4,\"kind\":\"panic\"}\n";
    std::fs::write(dir.path().join("t.ndjson"), panics).unwrap();
    let fail = "tasks --operation fail --params t.ndjson";
    let later = document(&format!("submit --delay 1h --id later {fail}"));
    assert_eq!(later, serde_json::json!({ "job": "later" }));
    assert_eq!(document("cancel later")["state"], "cancelled");
    assert_eq!(document("forget later"), later);
    let watched = on_nats(&format!("submit --watch --id q {fail}"), 1);
    let lines: Vec<Value> = watched.lines().map(parse).collect();
    assert_eq!(lines.first(), Some(&serde_json::json!({ "job": "q" })));
    assert_eq!(lines.last().unwrap()["state"], "failed");
    assert_eq!(document("dead replay q.0.0")[0]["job"], "q");
    on_nats("status q --watch", 0);
    on_nats(&format!("submit --watch --id r {fail}"), 1);
    let purged = document("dead purge --all");
    assert_eq!(purged, serde_json::json!({ "letters": ["r.0.0"] }));
    let retried = document("retry r");
    assert_eq!(
        (&retried["job"], &retried["retries"]),
        (&"r".into(), &1.into())
    );
    on_nats("status r --watch", 0);
    cluster.stop().await;
}
