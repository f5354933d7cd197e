//! A proxy between the service and the sandbox that injects faults into requests after the last byte of a video.
//!
//! Placeholders take the plans in the order of their creation, so that hundreds of uploads with different faults run
//! concurrently. Requests are executed first, unless the fault refuses them; only the response differs.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::UNIX_EPOCH;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// A fault in a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Status(u16),
    CutBefore,
    CutInHead,
    CutInBody,
    Empty,
    Nonsense,
}

impl Fault {
    /// Every error status, and every way to cut a response.
    pub(crate) fn all() -> Vec<Self> {
        let cuts = [Self::CutBefore, Self::CutInHead, Self::CutInBody, Self::Empty, Self::Nonsense];
        (400..=599).map(Self::Status).chain(cuts).collect()
    }

    /// Whether the request is not executed.
    fn is_refused(self) -> bool {
        matches!(self, Self::Status(400..=499))
    }

    fn answer(self, has_body: bool) -> String {
        let (status, body, length) = match self {
            Self::CutBefore => return String::new(),
            Self::CutInHead => return "HTTP/1.1 200 OK\r\nContent-Le".to_owned(),
            Self::CutInBody => (200, "{\"uri\": \"/vid", 5_000),
            Self::Empty => (200, "", 0),
            Self::Nonsense => (200, "{\"uri\": 7, \"x\": [", 17),
            Self::Status(status) if status % 2 == 1 && status >= 500 => (status, "<html>Error</html>", 18),
            Self::Status(status) => (status, "{\"error\": \"No.\"}", 16),
        };
        let mut answer =
            format!("HTTP/1.1 {status} Fault\r\nConnection: close\r\nContent-Length: {length}\r\n");
        if status == 429 {
            let reset = UNIX_EPOCH.elapsed().unwrap().as_secs() + 1;
            write!(answer, "X-RateLimit-Remaining: 0\r\nX-RateLimit-Reset: {reset}\r\n").unwrap();
        }
        answer += "Content-Type: application/json\r\n\r\n";
        if has_body {
            answer += body;
        }
        answer
    }
}

/// The faults of the requests for one video, once it has all its bytes.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) fault: Fault,
    /// The requests, see [`point_of`]. Each has the fault once, or always.
    pub(crate) points: HashSet<&'static str>,
    pub(crate) is_lasting: bool,
}

impl Plan {
    pub(crate) fn once(fault: Fault, points: &[&'static str]) -> Self {
        Self { fault, points: points.iter().copied().collect(), is_lasting: false }
    }

    pub(crate) fn lasting(fault: Fault, points: &[&'static str]) -> Self {
        Self { is_lasting: true, ..Self::once(fault, points) }
    }
}

/// A video that was created through the proxy.
#[derive(Debug)]
pub(crate) struct Seen {
    plan: Option<Plan>,
    /// The fault of its plan.
    pub(crate) fault: Option<Fault>,
    /// The name of its placeholder, which contains the job ID.
    pub(crate) name: String,
    pub(crate) is_whole: bool,
    is_described: bool,
    is_opened: bool,
    /// The points at which the fault occurred.
    pub(crate) faulted: Vec<&'static str>,
    /// The number of requests to delete it.
    pub(crate) deletions: u32,
}

#[derive(Default)]
struct State {
    plans: VecDeque<Plan>,
    /// Faults of list requests, which belong to no video.
    lists: VecDeque<Fault>,
    videos: HashMap<String, Seen>,
    /// Videos by the paths of their upload links.
    links: HashMap<String, String>,
}

pub(crate) struct FaultyProxy {
    pub(crate) url: String,
    state: Arc<Mutex<State>>,
    _server: JoinSet<()>,
}

struct Request {
    method: Method,
    /// In absolute form, as sent to a proxy.
    url: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl FaultyProxy {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::<Mutex<State>>::default();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let (mut server, shared) = (JoinSet::new(), state.clone());
        server.spawn(async move {
            let mut talks = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                talks.spawn(serve(stream, shared.clone(), http.clone()));
                while talks.try_join_next().is_some() {}
            }
        });
        Self { url, state, _server: server }
    }

    /// The plans of the next placeholders, and the faults of the next lists.
    pub(crate) fn plan(&self, plans: impl IntoIterator<Item = Plan>, lists: &[Fault]) {
        let mut state = self.state.lock().unwrap();
        state.plans.extend(plans);
        state.lists.extend(lists);
    }

    /// No more faults from now on.
    pub(crate) fn clear_faults(&self) {
        let mut state = self.state.lock().unwrap();
        state.lists.clear();
        state.videos.values_mut().for_each(|video| video.plan = None);
    }

    /// The number of faults for each video.
    pub(crate) fn faulted(&self) -> Vec<usize> {
        self.state.lock().unwrap().videos.values().map(|video| video.faulted.len()).collect()
    }

    /// The videos that were created through the proxy, by URI.
    pub(crate) fn videos(&self) -> HashMap<String, Seen> {
        std::mem::take(&mut self.state.lock().unwrap().videos)
    }
}

impl State {
    /// The URI of the video of a request.
    fn video_of(&self, path: &str) -> Option<String> {
        if path.starts_with("/files/") {
            return self.links.get(path).cloned();
        }
        let (_, rest) = path.split_once("/videos/")?;
        let number: String = rest.chars().take_while(char::is_ascii_digit).collect();
        Some(format!("/videos/{number}")).filter(|_| !number.is_empty())
    }

    /// The fault of a request, if it has one.
    fn take(&mut self, uri: &str, point: &'static str) -> Option<Fault> {
        let video = self.videos.get_mut(uri).filter(|video| video.is_whole)?;
        let plan = video.plan.as_mut()?;
        let is_met = if plan.is_lasting { plan.points.contains(point) } else { plan.points.remove(point) };
        let fault = plan.fault;
        is_met.then(|| {
            video.faulted.push(point);
            fault
        })
    }

    fn point_of(&self, request: &Request, uri: &str) -> &'static str {
        let video = self.videos.get(uri);
        let (is_described, is_opened) =
            video.map_or((false, false), |video| (video.is_described, video.is_opened));
        let path = request.path.as_str();
        match request.method.as_str() {
            "HEAD" => "offset",
            "PATCH" if path.starts_with("/files/") => "bytes",
            "GET" if is_opened => "last look",
            "GET" if is_described => "transcoding look",
            "GET" => "look",
            "PATCH" => {
                let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
                if !body["privacy"]["view"].is_null() {
                    "open"
                } else if body["privacy"].is_null() || !body["name"].is_null() {
                    "describe"
                } else {
                    "privacy"
                }
            }
            "PUT" if path.contains("/privacy/domains/") => "domain",
            "PUT" => "folder",
            "POST" => "thumbnail",
            "DELETE" => "delete",
            _ => "other",
        }
    }

    /// Updates the state of the videos after a response of the sandbox.
    fn learn(&mut self, request: &Request, (uri, point): (Option<&str>, &str), (status, body): (u16, &[u8])) {
        let is_good = (200..300).contains(&status);
        if request.method == Method::POST && request.path == "/me/videos" && is_good {
            let (made, asked): (Value, Value) =
                (serde_json::from_slice(body).unwrap(), serde_json::from_slice(&request.body).unwrap());
            let uri = made["uri"].as_str().unwrap().to_owned();
            let link = reqwest::Url::parse(made["upload"]["upload_link"].as_str().unwrap()).unwrap();
            self.links.insert(link.path().to_owned(), uri.clone());
            let plan = self.plans.pop_front();
            let seen = Seen {
                fault: plan.as_ref().map(|plan| plan.fault),
                plan,
                name: asked["name"].as_str().unwrap().to_owned(),
                is_whole: false,
                is_described: false,
                is_opened: false,
                faulted: Vec::new(),
                deletions: 0,
            };
            self.videos.insert(uri, seen);
            return;
        }
        let Some(video) = uri.and_then(|uri| self.videos.get_mut(uri)) else { return };
        match point {
            "bytes" if is_good => video.is_whole = true,
            "open" if is_good => video.is_opened = true,
            "delete" => video.deletions += 1,
            _ => {}
        }
    }
}

fn sets_privacy(request: &Request) -> bool {
    serde_json::from_slice::<Value>(&request.body).is_ok_and(|body| !body["privacy"].is_null())
}

async fn serve(mut stream: TcpStream, state: Arc<Mutex<State>>, http: reqwest::Client) {
    let Some(request) = read(&mut stream).await else { return };
    if request.method == Method::GET && request.path == "/me/videos" {
        let fault = state.lock().unwrap().lists.pop_front();
        let empty = json!({"total": 0, "data": [], "paging": {"next": null}}).to_string();
        let sound = format!(
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n\
             {empty}",
            empty.len()
        );
        let _ = stream.write_all(fault.map_or(sound, |fault| fault.answer(true)).as_bytes()).await;
        return;
    }
    let (uri, point) = {
        let mut state = state.lock().unwrap();
        let uri = state.video_of(&request.path);
        let point = uri.as_ref().map_or("other", |uri| state.point_of(&request, uri));
        // The last setting: later reads of the video are about transcoding.
        if let Some(video) = uri.as_ref().and_then(|uri| state.videos.get_mut(uri))
            && point == "folder"
        {
            video.is_described = true;
        }
        (uri, point)
    };
    // One request describes the video and sets its privacy; each has its fault.
    let points =
        if point == "describe" && sets_privacy(&request) { vec![point, "privacy"] } else { vec![point] };
    let take = |state: &Mutex<State>| {
        let uri = uri.as_ref()?;
        points.iter().find_map(|point| state.lock().unwrap().take(uri, point))
    };
    let mut fault = take(&state);
    let mut answer = Vec::new();
    // The last bytes are always accepted.
    if fault.is_none_or(|fault| !fault.is_refused()) || point == "bytes" {
        let Some((status, head, body)) = forward(&request, &http).await else { return };
        state.lock().unwrap().learn(&request, (uri.as_deref(), point), (status, &body));
        if point == "bytes" && fault.is_none() {
            fault = take(&state);
        }
        answer = [head.into_bytes(), body].concat();
    }
    if let Some(fault) = fault {
        answer = fault.answer(request.method != Method::HEAD).into_bytes();
    }
    let _ = stream.write_all(&answer).await;
    let _ = stream.shutdown().await;
}

async fn read(stream: &mut TcpStream) -> Option<Request> {
    let (mut bytes, mut buffer) = (Vec::new(), vec![0; 16 * 1024]);
    let head_end = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at;
        }
        let count = stream.read(&mut buffer).await.ok().filter(|count| *count > 0)?;
        bytes.extend_from_slice(&buffer[..count]);
    };
    let head = String::from_utf8(bytes[..head_end].to_vec()).ok()?;
    let mut lines = head.split("\r\n");
    let mut first = lines.next()?.split(' ');
    let (method, url) = (first.next()?.parse().ok()?, first.next()?.to_owned());
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length = headers
        .iter()
        .find(|(name, _)| name == "content-length")
        .map_or(0, |(_, length)| length.parse::<usize>().unwrap_or(0));
    let mut body = bytes.split_off(head_end + 4);
    while body.len() < length {
        let count = stream.read(&mut buffer).await.ok().filter(|count| *count > 0)?;
        body.extend_from_slice(&buffer[..count]);
    }
    let path = reqwest::Url::parse(&url).ok()?.path().to_owned();
    Some(Request { method, url, path, headers, body })
}

/// Forwards a request to the sandbox: the status, the head and the body of its response.
async fn forward(request: &Request, http: &reqwest::Client) -> Option<(u16, String, Vec<u8>)> {
    let mut asked = http.request(request.method.clone(), &request.url).body(request.body.clone());
    for (name, value) in &request.headers {
        if !matches!(name.as_str(), "host" | "connection" | "content-length" | "proxy-connection") {
            asked = asked.header(name, value);
        }
    }
    let response = asked.send().await.ok()?;
    let status = response.status().as_u16();
    let mut head = format!("HTTP/1.1 {status} As\r\nConnection: close\r\n");
    for (name, value) in response.headers() {
        if !matches!(name.as_str(), "connection" | "content-length" | "transfer-encoding") {
            write!(head, "{name}: {}\r\n", value.to_str().unwrap_or_default()).unwrap();
        }
    }
    let body = response.bytes().await.ok()?.to_vec();
    if request.method != Method::HEAD {
        write!(head, "Content-Length: {}\r\n", body.len()).unwrap();
    }
    Some((status, head + "\r\n", body))
}
