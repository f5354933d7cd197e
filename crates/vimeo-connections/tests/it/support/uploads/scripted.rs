//! A source whose responses are scripted by the test: versions of a file, complete or partial, cut or slow.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::support::uploads::source::{CUT_DELAY, pieces, read_head, sha256_from};

/// A request, as the script sees it.
pub(crate) struct Asked {
    /// The number of earlier requests.
    pub(crate) number: usize,
    /// The number of earlier requests without `Range`.
    pub(crate) plain_before: usize,
    /// The first and, if given, the last requested byte.
    pub(crate) range: Option<(u64, Option<u64>)>,
    head: String,
}

/// A version of a file. Versions differ in every byte.
#[derive(Clone)]
pub(crate) struct File {
    pub(crate) version: u64,
    pub(crate) size: u64,
    /// Header lines of every response with this version.
    pub(crate) marks: Vec<String>,
}

/// A response.
pub(crate) struct Reply {
    head: String,
    /// Parts of the body: versions, offsets and lengths.
    body: Vec<(u64, u64, u64)>,
    /// Bytes after those, which belong to no file.
    other: Vec<u8>,
    limit: u64,
    pause: Option<Duration>,
}

/// A server, which ends when dropped.
pub(crate) struct Scripted {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    _server: JoinSet<()>,
}

impl Asked {
    /// The path, without its query.
    pub(crate) fn path(&self) -> &str {
        let target = self.head.split(' ').nth(1).unwrap_or_default();
        target.split('?').next().unwrap_or_default()
    }

    /// The value of a header, in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(found, _)| *found == name).map(|(_, value)| value)
    }
}

impl File {
    pub(crate) fn new(version: u64, size: u64, marks: &[&str]) -> Self {
        Self { version, size, marks: marks.iter().map(|&line| line.to_owned()).collect() }
    }

    /// Its SHA-256, as the sandbox reports it.
    pub(crate) fn sha256(&self) -> String {
        sha256_from(start_of(self.version), self.size)
    }

    /// 200 with the whole file.
    pub(crate) fn whole(&self) -> Reply {
        Reply::new(200, &self.marks, vec![(self.version, 0, self.size)])
    }

    /// 206 with these bytes.
    pub(crate) fn part(&self, from: u64, to: u64) -> Reply {
        let range = format!("Content-Range: bytes {from}-{to}/{}", self.size);
        Reply::new(
            206,
            &[self.marks.clone(), vec![range]].concat(),
            vec![(self.version, from, to + 1 - from)],
        )
    }

    /// 206 with the whole file.
    pub(crate) fn whole_as_part(&self) -> Reply {
        self.part(0, self.size - 1)
    }

    /// The requested bytes, as from a server with ranges and without conditional requests.
    pub(crate) fn answer(&self, asked: &Asked) -> Reply {
        match asked.range {
            Some((from, to)) if from < self.size => {
                self.part(from, to.unwrap_or(u64::MAX).min(self.size - 1))
            }
            Some(_) => Reply::status(416),
            None => self.whole(),
        }
    }
}

impl Reply {
    fn new(status: u16, lines: &[String], body: Vec<(u64, u64, u64)>) -> Self {
        let length: u64 = body.iter().map(|(_, _, length)| length).sum();
        let mut head = format!("HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {length}\r\n");
        for line in lines {
            write!(head, "{line}\r\n").unwrap();
        }
        Self { head: head + "\r\n", body, other: Vec::new(), limit: u64::MAX, pause: None }
    }

    /// A status without a body.
    pub(crate) fn status(status: u16) -> Self {
        Self::new(status, &[], Vec::new())
    }

    /// 200 with these header lines and bytes.
    pub(crate) fn bytes(lines: &[&str], bytes: &[u8]) -> Self {
        let mut head = format!("HTTP/1.1 200 X\r\nConnection: close\r\nContent-Length: {}\r\n", bytes.len());
        for line in lines {
            write!(head, "{line}\r\n").unwrap();
        }
        Self { head: head + "\r\n", other: bytes.to_vec(), ..Self::status(200) }
    }

    /// No response: the connection is closed.
    pub(crate) fn nothing() -> Self {
        Self { head: String::new(), ..Self::status(500) }
    }

    /// The same with another head.
    pub(crate) fn with_head(self, head: &str) -> Self {
        Self { head: head.to_owned(), ..self }
    }

    /// Without `Content-Length`: the body ends with the connection.
    pub(crate) fn without_length(mut self) -> Self {
        let lines = self.head.split("\r\n").filter(|line| !line.starts_with("Content-Length"));
        self.head = lines.collect::<Vec<_>>().join("\r\n");
        self
    }

    /// From this offset on, the body has the bytes of this version.
    pub(crate) fn overwritten_from(mut self, offset: u64, version: u64) -> Self {
        let body = std::mem::take(&mut self.body);
        for (old, from, length) in body {
            let kept = offset.saturating_sub(from).min(length);
            self.body.push((old, from, kept));
            self.body.push((version, from + kept, length - kept));
        }
        self
    }

    /// Closes the connection after this many bytes of the body.
    pub(crate) fn cut_after(self, limit: u64) -> Self {
        Self { limit, ..self }
    }

    /// Pauses after every thousand bytes.
    pub(crate) fn with_pauses(self, pause: Duration) -> Self {
        Self { pause: Some(pause), ..self }
    }

    async fn send(self, stream: &mut TcpStream) -> std::io::Result<()> {
        stream.write_all(self.head.as_bytes()).await?;
        let mut left = self.limit;
        let is_cut = left > 0 && left < self.body.iter().map(|(_, _, length)| length).sum();
        for (version, from, length) in self.body {
            for piece in pieces(start_of(version) + from, length.min(left)) {
                left -= piece.len() as u64;
                match self.pause {
                    None => stream.write_all(&piece).await?,
                    Some(pause) => {
                        for piece in piece.chunks(1_000) {
                            stream.write_all(piece).await?;
                            tokio::time::sleep(pause).await;
                        }
                    }
                }
            }
        }
        stream.write_all(&self.other).await?;
        if is_cut {
            tokio::time::sleep(CUT_DELAY).await;
        }
        stream.shutdown().await
    }
}

/// The offset of a version in the common pattern of all files.
fn start_of(version: u64) -> u64 {
    version * 1_009
}

impl Scripted {
    pub(crate) async fn start(script: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (asked, script) = (Arc::new(Mutex::new(Vec::new())), Arc::new(script));
        let mut server = JoinSet::new();
        let journal: Arc<Mutex<Vec<String>>> = asked.clone();
        server.spawn(async move {
            let mut talks = JoinSet::new();
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let (journal, script) = (journal.clone(), script.clone());
                talks.spawn(async move {
                    let Some(head) = read_head(&mut stream).await else { return };
                    let reply = script(&note(&journal, head));
                    let _ = reply.send(&mut stream).await;
                });
                while talks.try_join_next().is_some() {}
            }
        });
        Self { address, asked, _server: server }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/film.mp4?token=canary-source-query", self.address)
    }

    /// The URL of another path.
    pub(crate) fn url_of(&self, path: &str) -> String {
        format!("http://{}{path}?token=canary-source-query", self.address)
    }

    /// The heads of all requests, in lower case.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn note(journal: &Mutex<Vec<String>>, head: String) -> Asked {
    let mut journal = journal.lock().unwrap();
    let plain_before = journal.iter().filter(|head| !head.contains("\nrange: ")).count();
    let number = journal.len();
    journal.push(head.clone());
    let range = head.split_once("\nrange: bytes=").map(|(_, rest)| {
        let (from, to) = rest.lines().next().unwrap().split_once('-').unwrap();
        (from.parse().unwrap(), to.parse().ok())
    });
    Asked { number, plain_before, range, head }
}
