//! Rasters over HTTP: the same pixels as from disk, only the ranges needed, and patience with servers that fail.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use swath::grid::{Block, Samples, Window};
use swath::io::raster::read::{Error, RasterFile};
use swath::io::source::{HttpPolicy, Sources};
use swath::job::FailureClass;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::shared::shared_data;

/// What the server does wrong with one request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Fault {
    None,
    Status(u16, Option<&'static str>),
    Reset,
    Truncated,
    Stall,
    IgnoresRange,
    OtherRange,
    OtherEtag,
}

/// A server of one file, which does to each request what the next fault says.
pub(crate) struct Server {
    pub(crate) url: String,
    faults: Arc<Mutex<VecDeque<Fault>>>,
    ranges: Arc<Mutex<Vec<Range<u64>>>>,
    /// The file, and how often it was replaced.
    file: Arc<Mutex<(Arc<Vec<u8>>, u32)>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    pub(crate) async fn start(file: Vec<u8>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/scene.tif", listener.local_addr().unwrap());
        let faults: Arc<Mutex<VecDeque<Fault>>> = Arc::default();
        let ranges: Arc<Mutex<Vec<Range<u64>>>> = Arc::default();
        let file = Arc::new(Mutex::new((Arc::new(file), 0)));
        let (state, queue, log) = (Arc::clone(&file), Arc::clone(&faults), Arc::clone(&ranges));
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (file, version) = state.lock().unwrap().clone();
                let (queue, log) = (Arc::clone(&queue), Arc::clone(&log));
                tokio::spawn(async move { answer(stream, (&file, version), &queue, &log).await });
            }
        });
        Self {
            url,
            faults,
            ranges,
            file,
            task,
        }
    }

    pub(crate) fn replace(&self, file: Vec<u8>) {
        let mut state = self.file.lock().unwrap();
        *state = (Arc::new(file), state.1 + 1);
    }

    pub(crate) fn will(&self, faults: impl IntoIterator<Item = Fault>) {
        self.faults.lock().unwrap().extend(faults);
    }

    pub(crate) fn faults_left(&self) -> usize {
        self.faults.lock().unwrap().len()
    }

    pub(crate) fn take_ranges(&self) -> Vec<Range<u64>> {
        std::mem::take(&mut *self.ranges.lock().unwrap())
    }
}

/// Answers one request and closes the connection; a client that goes away is nothing to report.
async fn answer(
    mut stream: TcpStream,
    (file, version): (&[u8], u32),
    faults: &Mutex<VecDeque<Fault>>,
    log: &Mutex<Vec<Range<u64>>>,
) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    let len = file.len() as u64;
    let asked = head
        .lines()
        .find_map(|l| l.strip_prefix("range: bytes="))
        .expect("every request asks for a range");
    let (first, last) = asked.split_once('-').unwrap();
    let first: u64 = first.parse().unwrap();
    let end = (last.parse::<u64>().unwrap() + 1).min(len);
    log.lock().unwrap().push(first..end);
    let fault = faults.lock().unwrap().pop_front().unwrap_or(Fault::None);

    let body = &file[first as usize..end as usize];
    let etag = match fault {
        Fault::OtherEtag => "\"b\"".to_owned(),
        _ => format!("\"a{version}\""),
    };
    let partial = |from: u64| {
        format!(
            "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {}-{}/{len}\r\nContent-Length: {}\r\nETag: {etag}\r\nConnection: close\r\n\r\n",
            from,
            end - 1,
            body.len()
        )
    };
    let (head, body) = match fault {
        Fault::None | Fault::OtherEtag => (partial(first), body),
        Fault::OtherRange => (partial(first + 1), body),
        Fault::Truncated => (partial(first), &body[..body.len() / 2]),
        Fault::IgnoresRange => (
            format!("HTTP/1.1 200 OK\r\nContent-Length: {len}\r\nConnection: close\r\n\r\n"),
            file,
        ),
        Fault::Status(code, after) => {
            let after = after.map_or(String::new(), |a| format!("Retry-After: {a}\r\n"));
            let head = format!(
                "HTTP/1.1 {code} No\r\n{after}Content-Length: 0\r\nConnection: close\r\n\r\n"
            );
            (head, &file[..0])
        }
        Fault::Reset => {
            stream.set_zero_linger().unwrap();
            return;
        }
        Fault::Stall => {
            // Longer than the client waits; it closes the connection, which ends this.
            let _ = stream.read_u8().await;
            return;
        }
    };
    let _ = stream.write_all(head.as_bytes()).await;
    let _ = stream.write_all(body).await;
    let _ = stream.shutdown().await;
}

fn haste() -> HttpPolicy {
    HttpPolicy {
        retries: 3,
        backoff_min: Duration::from_millis(1),
        backoff_max: Duration::from_millis(4),
        idle_timeout: Duration::from_millis(300),
        ..HttpPolicy::default()
    }
}

fn hasty() -> Sources {
    Sources::with_policy(haste()).unwrap()
}

/// The size of a raster, and the rows of its strips.
#[derive(Clone, Copy)]
struct Shape {
    width: u32,
    height: u32,
    strip_rows: u32,
}

const SHAPE: Shape = Shape {
    width: 400,
    height: 1000,
    strip_rows: 50,
};

fn pixel(col: u32, row: u32) -> u16 {
    (col * 31 + row * 7) as u16
}

/// Writes an uncompressed little-endian TIFF of 16 bit in strips, after TIFF 6.0, its directory in front.
fn plain_tiff(shape: Shape, with_lengths: bool) -> Vec<u8> {
    let Shape {
        width,
        height,
        strip_rows,
    } = shape;
    let strips = height / strip_rows;
    let strip_bytes = width * strip_rows * 2;
    let entries: u16 = if with_lengths { 8 } else { 7 };
    let arrays_at = 8 + 2 + u32::from(entries) * 12 + 4;
    let pixels_at = arrays_at + strips * 8;
    let mut file = b"II\x2a\0\x08\0\0\0".to_vec();
    file.extend(entries.to_le_bytes());
    let mut tag = |tag: u16, kind: u16, count: u32, value: u32| {
        file.extend(tag.to_le_bytes());
        file.extend(kind.to_le_bytes());
        file.extend(count.to_le_bytes());
        file.extend(value.to_le_bytes());
    };
    tag(256, 4, 1, width);
    tag(257, 4, 1, height);
    tag(258, 3, 1, 16);
    tag(259, 3, 1, 1);
    tag(273, 4, strips, arrays_at);
    tag(277, 3, 1, 1);
    tag(278, 4, 1, strip_rows);
    if with_lengths {
        tag(279, 4, strips, arrays_at + strips * 4);
    }
    file.extend([0; 4]);
    for i in 0..strips {
        file.extend((pixels_at + i * strip_bytes).to_le_bytes());
    }
    for _ in 0..strips {
        file.extend(strip_bytes.to_le_bytes());
    }
    for row in 0..height {
        for col in 0..width {
            file.extend(pixel(col, row).to_le_bytes());
        }
    }
    file
}

async fn read(sources: &Sources, path: &str, window: Window) -> Result<Block, Error> {
    let file = RasterFile::open(sources, path).await?;
    file.fetch(&[1], window).await?.decode()
}

fn check(block: &Block, window: Window) {
    let expected: Vec<u16> = (window.row..window.row_end())
        .flat_map(|row| (window.col..window.col_end()).map(move |col| pixel(col, row)))
        .collect();
    assert_eq!(block.bands, [Samples::UInt16(expected)]);
}

const WINDOW: Window = Window {
    col: 17,
    row: 333,
    cols: 100,
    rows: 140,
};

#[tokio::test]
async fn a_strip_without_a_length_is_read_by_its_size() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), plain_tiff(SHAPE, false)).unwrap();
    let sources = Sources::new().unwrap();
    let block = read(&sources, file.path().to_str().unwrap(), WINDOW).await;
    check(&block.unwrap(), WINDOW);
}

#[tokio::test]
async fn only_the_rows_of_a_window_are_asked_for_and_the_header_once() {
    let server = Server::start(plain_tiff(SHAPE, true)).await;
    // Header of 64 KiB once, then rows 333 to 473 of 800 bytes, in strips that follow each other.
    let rows = 270 + 800 * 333..270 + 800 * 473;
    let pixels_at = 8 + 2 + 8 * 12 + 4 + 20 * 8;
    assert_eq!(pixels_at, 270);
    let kept = vec![0..65_536, rows.clone()];
    let not_kept = [kept.clone(), vec![rows]].concat();
    for (cache_bytes, asked) in [(HttpPolicy::default().cache_bytes, kept), (0, not_kept)] {
        let policy = HttpPolicy {
            cache_bytes,
            ..haste()
        };
        let sources = Sources::with_policy(policy).unwrap();
        for _ in 0..2 {
            check(&read(&sources, &server.url, WINDOW).await.unwrap(), WINDOW);
        }
        assert_eq!(server.take_ranges(), asked, "{cache_bytes} bytes kept");
    }
}

#[tokio::test]
async fn an_object_of_a_bucket_is_read_like_a_url_and_named_without_its_signature() {
    let server = Server::start(plain_tiff(SHAPE, true)).await;
    let endpoint = server.url.rsplit_once('/').unwrap().0;
    let settings = [
        ("AWS_ENDPOINT_URL", endpoint),
        ("AWS_ACCESS_KEY_ID", "key"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
    ];
    let sources = Sources::with_environment(haste(), settings).unwrap();
    server.will([Fault::Status(503, None), Fault::None, Fault::Reset]);
    let path = "s3://scenes/a b/red.tif";
    check(&read(&sources, path, WINDOW).await.unwrap(), WINDOW);
    assert_eq!(server.faults_left(), 0, "every fault fired");
    assert_eq!(server.take_ranges().len(), 4);

    let other = Sources::with_environment(haste(), settings).unwrap();
    server.will([Fault::Status(403, None)]);
    let error = read(&other, path, WINDOW).await.unwrap_err();
    assert_eq!(error.code(), "source-denied");
    let text = swath::job::failure::chain(&error);
    assert!(text.contains(path) && !text.contains("Signature"), "{text}");
}

#[tokio::test]
async fn of_a_long_list_of_chunks_only_what_a_window_needs_is_read() {
    let shape = Shape {
        width: 3,
        height: 300_000,
        strip_rows: 1,
    };
    let server = Server::start(plain_tiff(shape, true)).await;
    let window = Window {
        col: 1,
        row: 170_000,
        cols: 2,
        rows: 500,
    };
    check(&read(&hasty(), &server.url, window).await.unwrap(), window);
    let asked: Vec<u64> = server
        .take_ranges()
        .iter()
        .map(|r| r.end - r.start)
        .collect();
    // The header, 500 offsets and 500 lengths of four bytes, and 500 rows of six: of 4.2 MB.
    assert_eq!(asked, [65_536, 2000, 2000, 3000]);
}

#[tokio::test]
async fn faults_that_pass_do_not_change_a_pixel() {
    for fault in [
        Fault::Status(503, None),
        Fault::Status(429, Some("0")),
        Fault::Status(500, None),
        Fault::Reset,
        Fault::Truncated,
        Fault::Stall,
    ] {
        let server = Server::start(plain_tiff(SHAPE, true)).await;
        // The first request fails twice, the second once.
        server.will([fault, fault, Fault::None, fault]);
        let block = read(&hasty(), &server.url, WINDOW).await;
        check(
            &block.unwrap_or_else(|e| panic!("{fault:?}: {e:?}")),
            WINDOW,
        );
        assert_eq!(server.faults_left(), 0, "{fault:?} fired each time");
        assert_eq!(server.take_ranges().len(), 5, "{fault:?}");
    }
}

#[tokio::test]
async fn faults_that_stay_say_what_should_be_done() {
    let retry = |after_ms| FailureClass::Retry { after_ms };
    for (fault, requests, code, class) in [
        (Fault::Status(503, None), 4, "http-status", retry(None)),
        (
            Fault::Status(429, Some("3600")),
            1,
            "http-status",
            retry(Some(3_600_000)),
        ),
        (Fault::Reset, 4, "http-unreachable", retry(None)),
        (Fault::Stall, 4, "http-unreachable", retry(None)),
        (
            Fault::Status(404, None),
            1,
            "source-not-found",
            FailureClass::Fatal,
        ),
        (
            Fault::Status(403, None),
            1,
            "source-denied",
            FailureClass::Fatal,
        ),
        (
            Fault::Status(418, None),
            1,
            "http-status",
            FailureClass::Fatal,
        ),
        (
            Fault::IgnoresRange,
            1,
            "http-no-ranges",
            FailureClass::Fatal,
        ),
        (Fault::OtherRange, 1, "http-no-ranges", FailureClass::Fatal),
    ] {
        let server = Server::start(plain_tiff(SHAPE, true)).await;
        server.will([fault; 10]);
        let error = read(&hasty(), &server.url, WINDOW).await.unwrap_err();
        assert_eq!(error.code(), code, "{fault:?}: {error}");
        assert_eq!(error.class(), class, "{fault:?}: {error}");
        assert_eq!(server.take_ranges().len(), requests, "{fault:?}");
    }
}

#[tokio::test]
async fn a_file_that_changes_between_requests_is_an_error() {
    let server = Server::start(plain_tiff(SHAPE, true)).await;
    server.will([Fault::None, Fault::OtherEtag]);
    let error = read(&hasty(), &server.url, WINDOW).await.unwrap_err();
    assert_eq!(error.code(), "source-changed");
    assert_eq!(server.faults_left(), 0);
}

#[tokio::test]
async fn what_is_not_there_is_named() {
    let sources = hasty();
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().to_str().unwrap();
    for (path, code) in [
        (format!("{folder}/none.tif"), "source-not-found"),
        (folder.to_owned(), "source-not-a-file"),
        ("gs://bucket/scene.tif".to_owned(), "source-bad-address"),
        ("s3://bucket".to_owned(), "source-bad-address"),
        ("http://".to_owned(), "source-bad-address"),
        (
            "http://127.0.0.1:1/scene.tif".to_owned(),
            "http-unreachable",
        ),
    ] {
        let error = read(&sources, &path, WINDOW).await.unwrap_err();
        assert_eq!(error.code(), code, "{path}: {error:?}");
    }
}

#[tokio::test]
async fn a_window_of_a_cog_over_http_costs_its_tiles_only() {
    let Some(root) = shared_data() else { return };
    let path = root.join("zoo/rio-tiler/cog.tif");
    let bytes = std::fs::read(&path).unwrap();
    let len = bytes.len() as u64;
    let server = Server::start(bytes).await;
    let window = Window {
        col: 1000,
        row: 1100,
        cols: 300,
        rows: 200,
    };
    let sources = hasty();
    let local = read(&sources, path.to_str().unwrap(), window)
        .await
        .unwrap();
    let remote = read(&sources, &server.url, window).await.unwrap();
    assert_eq!(local, remote);
    let asked: u64 = server.take_ranges().iter().map(|r| r.end - r.start).sum();
    println!("{asked} of {len} bytes were asked for");
    assert!(asked < len / 3, "{asked} of {len}");
}
