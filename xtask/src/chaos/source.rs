//! A file server over HTTP that misbehaves when told to: sources fail too.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};

/// How long a connection without a request is kept.
const IDLE_MAX: Duration = Duration::from_secs(30);

/// How requests are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    Well,
    /// With 503.
    Refusing,
    /// With half of the bytes, and then nothing until the manner changes.
    Stalling,
    /// With half of the bytes, and the end of the connection.
    Truncating,
}

#[derive(Debug)]
struct State {
    manner: Manner,
    /// Requests that were not answered well since the manner was set.
    spoiled: u64,
}

/// Serves the files of a folder, by ranges; it goes on until the process ends.
#[derive(Debug, Clone)]
pub(super) struct Source {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Source {
    /// Serves a folder at an address, on any port.
    pub(super) fn start(folder: &Path, host: Ipv4Addr) -> Result<Self> {
        let listener = TcpListener::bind((host, 0))?;
        let source = Self {
            address: listener.local_addr()?,
            state: Arc::new(Mutex::new(State {
                manner: Manner::Well,
                spoiled: 0,
            })),
        };
        let (serving, folder) = (source.clone(), folder.to_owned());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (serving, folder) = (serving.clone(), folder.clone());
                // A connection that breaks is the client's matter, as from any server.
                std::thread::spawn(move || serving.serve(stream, &folder));
            }
        });
        Ok(source)
    }

    pub(super) fn url(&self, name: &str) -> String {
        format!("http://{}/{name}", self.address)
    }

    fn state<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn behave(&self, manner: Manner) {
        self.state(|state| *state = State { manner, spoiled: 0 });
    }

    /// Returns how many requests were answered badly since the manner was set.
    pub(super) fn spoiled(&self) -> u64 {
        self.state(|state| state.spoiled)
    }

    fn serve(&self, stream: TcpStream, folder: &Path) -> Result<()> {
        stream.set_read_timeout(Some(IDLE_MAX))?;
        stream.set_nodelay(true)?;
        let mut requests = BufReader::new(stream.try_clone()?);
        let mut answers = stream;
        while let Some(request) = Request::read(&mut requests)? {
            let manner = self.state(|state| {
                state.spoiled += u64::from(state.manner != Manner::Well);
                state.manner
            });
            if manner == Manner::Refusing {
                answers
                    .write_all(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")?;
                continue;
            }
            let Some((head, body)) = answer(&request, folder)? else {
                answers.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")?;
                continue;
            };
            answers.write_all(head.as_bytes())?;
            if manner == Manner::Well {
                answers.write_all(&body)?;
                continue;
            }
            let (half, _) = body.split_at(body.len() / 2);
            answers.write_all(half)?;
            answers.flush()?;
            while manner == Manner::Stalling && self.state(|state| state.manner) == manner {
                std::thread::sleep(Duration::from_millis(100));
            }
            return Ok(());
        }
        Ok(())
    }
}

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
struct Request {
    /// Whether the body stays away, as HEAD asks.
    head_only: bool,
    name: String,
    /// First and last byte.
    range: Option<(u64, u64)>,
}

impl Request {
    /// Reads a request; `None` at the end of the connection.
    fn read(from: &mut impl BufRead) -> Result<Option<Self>> {
        let mut line = String::new();
        if from.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let path = line.split(' ').nth(1).context("not a request")?;
        let mut request = Self {
            head_only: line.starts_with("HEAD "),
            name: path.trim_start_matches('/').to_owned(),
            range: None,
        };
        loop {
            line.clear();
            if from.read_line(&mut line)? == 0 || line.trim().is_empty() {
                return Ok(Some(request));
            }
            if let Some(range) = line
                .to_ascii_lowercase()
                .trim()
                .strip_prefix("range: bytes=")
            {
                let ends = range.split_once('-').context("not a range")?;
                request.range = Some((ends.0.parse()?, ends.1.parse()?));
            }
        }
    }
}

/// Returns the head and the body of a good answer; `None` where there is no such file.
fn answer(request: &Request, folder: &Path) -> Result<Option<(String, Vec<u8>)>> {
    let path: PathBuf = folder.join(&request.name);
    let Ok(mut file) = File::open(path) else {
        return Ok(None);
    };
    let len = file.metadata()?.len();
    let (first, last) = request.range.unwrap_or((0, u64::MAX));
    let last = last.min(len.saturating_sub(1));
    file.seek(SeekFrom::Start(first))?;
    let mut body = Vec::new();
    file.take((last + 1).saturating_sub(first))
        .read_to_end(&mut body)?;
    let status = match request.range {
        Some(_) => format!("206 Partial Content\r\nContent-Range: bytes {first}-{last}/{len}"),
        None => "200 OK".to_owned(),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nETag: \"1\"\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    if request.head_only {
        body.clear();
    }
    Ok(Some((head, body)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(source: &Source, range: &str) -> Result<String> {
        let mut stream = TcpStream::connect(source.address)?;
        write!(stream, "GET /a HTTP/1.1\r\nRange: bytes={range}\r\n\r\n")?;
        stream.shutdown(std::net::Shutdown::Write)?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    }

    #[test]
    fn it_answers_as_it_was_told_to() -> Result<()> {
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join("a"), "0123456789")?;
        let source = Source::start(folder.path(), Ipv4Addr::LOCALHOST)?;
        let good = ask(&source, "2-5")?;
        assert!(
            good.starts_with("HTTP/1.1 206")
                && good.contains("bytes 2-5/10")
                && good.ends_with("\r\n\r\n2345")
        );
        assert!(ask(&source, "8-99")?.ends_with("\r\n\r\n89"));
        assert_eq!(source.spoiled(), 0);

        source.behave(Manner::Refusing);
        assert!(ask(&source, "2-5")?.starts_with("HTTP/1.1 503"));
        assert_eq!(source.spoiled(), 1);

        source.behave(Manner::Truncating);
        let half = ask(&source, "2-5")?;
        assert!(half.contains("Content-Length: 4") && half.ends_with("\r\n\r\n23"));

        source.behave(Manner::Stalling);
        let asking = {
            let source = source.clone();
            std::thread::spawn(move || ask(&source, "2-5"))
        };
        std::thread::sleep(Duration::from_millis(300));
        assert!(!asking.is_finished());
        source.behave(Manner::Well);
        assert!(
            asking
                .join()
                .is_ok_and(|text| text.is_ok_and(|text| text.ends_with("23")))
        );
        Ok(())
    }
}
