//! Files on servers: ranges over HTTP from a server that fails now and then, and S3 from moto.

use std::collections::HashMap;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;

use super::*;

/// A server of files that does as its test says.
struct Server {
    files: HashMap<String, Vec<u8>>,
    /// How many requests are answered with 503 first, then how many are cut in the middle of their body.
    failures: AtomicUsize,
    cuts: AtomicUsize,
    requests: AtomicUsize,
    log: Mutex<Vec<String>>,
}

impl Server {
    async fn start(files: &[(&str, Vec<u8>)], failures: usize, cuts: usize) -> (Arc<Self>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = Arc::new(Self {
            files: files
                .iter()
                .map(|(path, bytes)| ((*path).to_owned(), bytes.clone()))
                .collect(),
            failures: failures.into(),
            cuts: cuts.into(),
            requests: 0.into(),
            log: Mutex::default(),
        });
        let serve = Arc::clone(&server);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(Arc::clone(&serve).connection(stream));
            }
        });
        (server, url)
    }

    async fn connection(self: Arc<Self>, stream: TcpStream) {
        let mut stream = BufReader::new(stream);
        loop {
            let mut head = Vec::new();
            loop {
                let mut line = String::new();
                if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
                    return;
                }
                if line == "\r\n" {
                    break;
                }
                head.push(line.trim_end().to_owned());
            }
            let (answer, close) = self.answer(&head);
            if stream.write_all(&answer).await.is_err() || close {
                return;
            }
        }
    }

    fn answer(&self, head: &[String]) -> (Vec<u8>, bool) {
        self.requests.fetch_add(1, Ordering::SeqCst);
        self.log.lock().unwrap().push(head[0].clone());
        let take = |left: &AtomicUsize| {
            left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1))
                .is_ok()
        };
        if take(&self.failures) {
            let text = "HTTP/1.1 503 Busy\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n";
            return (text.into(), false);
        }
        let mut words = head[0].split(' ');
        let (method, path) = (words.next().unwrap(), words.next().unwrap());
        let Some(bytes) = self.files.get(path) else {
            return (
                "HTTP/1.1 404 None\r\nContent-Length: 0\r\n\r\n".into(),
                false,
            );
        };
        let range = head.iter().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            let value = value.strip_prefix("bytes=")?;
            let (first, last) = value.split_once('-')?;
            let range: (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
            name.eq_ignore_ascii_case("range").then_some(range)
        });
        let len = bytes.len();
        let (status, part) = match range {
            None => ("200 OK".to_owned(), &bytes[..]),
            Some((first, last)) => {
                let last = last.min(len - 1);
                let status = format!("206 Part\r\nContent-Range: bytes {first}-{last}/{len}");
                (status, &bytes[first..=last])
            }
        };
        let answer = format!(
            "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n",
            part.len()
        );
        let mut answer = answer.into_bytes();
        if method == "HEAD" {
            return (answer, false);
        }
        if part.len() > 1 && take(&self.cuts) {
            answer.extend_from_slice(&part[..part.len() / 2]);
            return (answer, true);
        }
        answer.extend_from_slice(part);
        (answer, false)
    }
}

#[tokio::test]
async fn files_on_a_server_are_read_by_ranges_through_failures() {
    let Some(root) = shared_data() else { return };
    let file = |name: &str| std::fs::read(root.join("tables").join(name)).unwrap();
    let files = [
        (
            "/a/cities.parquet?sig=a%2Fb",
            file("naturalearth/natural-earth_cities_geo.parquet"),
        ),
        (
            "/a/cities.arrows",
            file("naturalearth/natural-earth_cities_wkb.arrows"),
        ),
        ("/a/navaids%20x.csv", file("ourairports/navaids.csv")),
    ];
    for (path, rows) in [
        ("/a/cities.parquet?sig=a%2Fb", 243),
        ("/a/cities.arrows", 243),
        ("/a/navaids%20x.csv", 11_008),
    ] {
        let (server, url) = Server::start(&files, 2, 2).await;
        let sources = SourceContext::on(tokio::runtime::Handle::current());
        let paths = [format!("{url}{path}")];
        let read = read(&paths, None, "SELECT * FROM t", 3, &sources)
            .await
            .unwrap();
        assert_eq!(read.rows(), rows, "{path}");
        assert_eq!(
            server.failures.load(Ordering::SeqCst),
            0,
            "the failures happened"
        );
        assert_eq!(server.cuts.load(Ordering::SeqCst), 0, "the cuts happened");
    }
}

#[tokio::test]
async fn few_columns_of_a_remote_parquet_file_are_few_bytes_and_a_missing_one_is_named() {
    let Some(root) = shared_data() else { return };
    let name = "naturalearth/natural-earth_countries_geo.parquet";
    let bytes = std::fs::read(root.join("tables").join(name)).unwrap();
    let (server, url) = Server::start(&[("/c.parquet", bytes)], 0, 0).await;
    let sources = SourceContext::new();
    let paths = [format!("{url}/c.parquet")];
    let read = read(&paths, None, "SELECT name FROM t", 1, &sources)
        .await
        .unwrap();
    assert_eq!(read.rows(), 177);
    let requests = server.requests.load(Ordering::SeqCst);
    assert!(
        requests <= 8,
        "{requests}: {:?}",
        server.log.lock().unwrap()
    );

    let missing = [format!("{url}/none.parquet?token=secret")];
    let error = super::read(&missing, None, "SELECT 1", 1, &sources).await;
    let text = error.map(|read| read.plan).unwrap_err().0;
    assert!(
        text.contains("none.parquet") && !text.contains("secret"),
        "{text}"
    );
    assert!(text.contains("404"), "{text}");
}

/// A process that ends with its test.
struct Moto(Child);

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn moto(port: u16) -> Moto {
    let port = port.to_string();
    let how = "this test needs moto: pip install 'moto[server]', and python3 of that environment first on the PATH";
    let child = Command::new("python3")
        .args(["-m", "moto.server", "-H", "127.0.0.1", "-p", &port])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect(how);
    let mut moto = Moto(child);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while TcpStream::connect(format!("127.0.0.1:{port}"))
        .await
        .is_err()
    {
        assert!(
            moto.0.try_wait().unwrap().is_none() && std::time::Instant::now() < deadline,
            "{how}"
        );
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    moto
}

#[tokio::test]
async fn objects_of_a_bucket_are_found_and_read() {
    use rusty_s3::actions::{CreateBucket, PutObject, S3Action};
    let Some(root) = shared_data() else { return };
    let port = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let _moto = moto(port).await;
    let endpoint = format!("http://127.0.0.1:{port}");

    let region = "eu-central-1";
    let style = rusty_s3::UrlStyle::Path;
    let bucket = rusty_s3::Bucket::new(endpoint.parse().unwrap(), style, "b.x", region).unwrap();
    let credentials = rusty_s3::Credentials::new("key", "secret");
    let hour = std::time::Duration::from_secs(3600);
    let client = reqwest::Client::new();
    let put = async |url: url::Url, bytes: Vec<u8>| {
        let answer = client.put(url).body(bytes).send().await.unwrap();
        assert!(answer.status().is_success(), "{answer:?}");
    };
    let constraint = format!(
        "<CreateBucketConfiguration><LocationConstraint>{region}</LocationConstraint></CreateBucketConfiguration>"
    );
    put(
        CreateBucket::new(&bucket, &credentials).sign(hour),
        constraint.into(),
    )
    .await;
    for part in ["foo=bar/part.0", "foo=baz/part.1"] {
        let file = root.join(format!("tables/partitioned_hive/{part}.parquet"));
        let key = format!("data set/hive/{part}.parquet");
        let url = PutObject::new(&bucket, Some(&credentials), &key).sign(hour);
        put(url, std::fs::read(file).unwrap()).await;
    }
    let url = PutObject::new(&bucket, Some(&credentials), "data set/hive/_SUCCESS").sign(hour);
    put(url, b"{}".to_vec()).await;

    let sources = SourceContext::with_settings([
        ("AWS_ENDPOINT_URL", endpoint.as_str()),
        ("AWS_REGION", region),
        ("AWS_ACCESS_KEY_ID", "key"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
    ]);
    // The sums of `one` are in expected/columnar.json: 6 and 15.
    for (path, rows, sum) in [
        ("s3://b.x/data set/hive/", 6, 21),
        ("s3://b.x/data set/hive", 6, 21),
        ("s3://b.x/data set/**/*.parquet", 6, 21),
        ("s3://b.x/data set/hive/foo=b?r/*", 3, 6),
        ("s3://b.x/data set/hive/foo=baz/part.1.parquet", 3, 15),
    ] {
        let statement = "SELECT one FROM t";
        let paths = [path.to_owned()];
        let read = read(&paths, None, statement, 2, &sources).await.unwrap();
        let column = |b: &RecordBatch| b.column(0).as_primitive::<Int64Type>().values().to_vec();
        let values: Vec<i64> = read.batches().iter().flat_map(column).collect();
        assert_eq!(
            (values.len(), values.iter().sum::<i64>()),
            (rows, sum),
            "{path}"
        );
    }
    let pruned = "SELECT foo FROM t WHERE foo = 'baz'";
    let paths = ["s3://b.x/data set/hive/".to_owned()];
    assert_eq!(
        read(&paths, None, pruned, 2, &sources)
            .await
            .unwrap()
            .rows(),
        3
    );
    // A folder whose job has not ended: parts of it are there.
    let part = root.join("tables/partitioned_hive/foo=bar/part.0.parquet");
    let key = |name: &str| format!("out/{name}");
    let url = PutObject::new(&bucket, Some(&credentials), &key("part-00000.parquet")).sign(hour);
    put(url, std::fs::read(part).unwrap()).await;
    let folder = ["s3://b.x/out/".to_owned()];
    let statement = "SELECT one FROM t";
    let error = read(&folder, None, statement, 2, &sources).await;
    let text = error.map(|read| read.plan).unwrap_err().0;
    assert!(
        text.contains("s3://b.x/out has parts and no _SUCCESS"),
        "{text}"
    );
    let parts = ["s3://b.x/out/part-*".to_owned()];
    let there = read(&parts, None, statement, 2, &sources).await.unwrap();
    assert_eq!(there.rows(), 3);
    let url = PutObject::new(&bucket, Some(&credentials), &key("_SUCCESS")).sign(hour);
    put(url, b"{}".to_vec()).await;
    let whole = read(&folder, None, statement, 2, &sources).await.unwrap();
    assert_eq!(whole.rows(), 3);
    for path in ["s3://b.x/none/*.parquet", "s3://none/x.parquet"] {
        assert!(
            read(&[path.to_owned()], None, "SELECT 1", 2, &sources)
                .await
                .is_err(),
            "{path}"
        );
    }
}
