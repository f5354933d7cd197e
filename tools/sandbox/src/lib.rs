//! A Vimeo emulator: a local HTTP server that responds as Vimeo's API 3.4 does, keeps state, and injects faults on
//! request.
//! Knows Vimeo's published and observed behaviour. Shares no code with any client of ours, so that client and emulator
//! cannot agree on the same mistake.
//! Invariant: it listens on loopback only, and its credentials are worthless anywhere else.

mod accept;
mod ambient;
mod api_request;
mod app_state;
mod body;
mod body_members;
mod catalogue;
mod control;
mod credentials;
mod errors;
mod faults;
mod fields;
mod folders;
mod http;
mod journal;
mod limits;
mod lists;
mod oauth;
mod pages;
mod routes;
mod scopes;
mod server;
mod showcases;
mod snapshot;
mod state;
mod token_usage;
mod uploads;
mod users;
mod videos;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::DropGuard;
use tokio_util::task::TaskTracker;

use app_state::{AppState, DiskLocks};
use snapshot::{Snapshot, StateFile};
use state::{OpenMode, VimeoState};
use uploads::UploadDirLock;

pub use ambient::{Clock, Random, system_clock, system_random};
pub use limits::{Plan, UnknownPlan};

/// How to run a sandbox. Start from [`Options::default`] and set what differs.
#[derive(Clone)]
pub struct Options {
    /// The address to listen on. Loopback only; port 0 takes a free port.
    pub listen: SocketAddr,
    /// Whether credentials that the sandbox never issued are accepted, as those of one guest app.
    pub open: bool,
    /// The users' plan. Rate limits are enforced only if one is set; otherwise the rate limit headers are those of an
    /// Enterprise user who never reaches the limit.
    pub plan: Option<Plan>,
    /// The redirect URIs of the first app, each compared character for character.
    pub redirect_uris: Vec<String>,
    /// How long `upload.status` stays `in_progress` after the last byte has arrived.
    pub upload_lag: Duration,
    /// How long a complete upload stays in each stage of transcoding.
    pub pace: Pace,
    /// What the URIs of unlisted videos look like.
    pub unlisted_uris: UnlistedUris,
    /// Which addresses a pull may fetch from.
    pub pull_from: PullFrom,
    /// The lifetime of an upload link; unlimited if absent. Vimeo's own value is not known.
    pub link_lifetime: Option<Duration>,
    /// The file that keeps the state over restarts: read at the start if it exists, written after every change.
    pub state_file: Option<PathBuf>,
    /// The directory that keeps the bytes of uploads. Without it they are counted, hashed and discarded.
    pub bytes_directory: Option<PathBuf>,
    /// The clock, for rate limits, dates in responses and the journal.
    pub clock: Clock,
    /// The source of identifiers, secrets and tokens.
    pub random: Random,
}

impl Default for Options {
    /// A strict sandbox on a free port of 127.0.0.1, without enforced rate limits, on the system's clock.
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            open: false,
            plan: None,
            redirect_uris: vec![DEFAULT_REDIRECT_URI.to_owned()],
            upload_lag: Duration::ZERO,
            pace: Pace::default(),
            unlisted_uris: UnlistedUris::default(),
            pull_from: PullFrom::Loopback,
            link_lifetime: None,
            state_file: None,
            bytes_directory: None,
            clock: system_clock(),
            random: system_random(),
        }
    }
}

/// The redirect URI of the first app unless another is set.
pub const DEFAULT_REDIRECT_URI: &str = "http://localhost:8080/callback";

/// How fast transcoding goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Each of the two stages, `transcode_starting` and `transcoding`, lasts this long by the sandbox's clock.
    Every(Duration),
    /// Stages advance only when a control is called.
    ByHand,
}

impl Default for Pace {
    /// One second for each stage: long enough to observe, short enough to wait for.
    fn default() -> Self {
        Self::Every(Duration::from_secs(1))
    }
}

/// The form of the URIs of unlisted videos. Vimeo accepts both; which one it returns is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnlistedUris {
    /// `/videos/N`, like all other videos.
    #[default]
    Plain,
    /// `/videos/N:hash`.
    WithHash,
}

/// Which addresses a pull may fetch from. Others end with `disallowed_address`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PullFrom {
    /// Nothing is fetched.
    Nowhere,
    /// This machine only.
    Loopback,
    /// Any address that this machine can reach.
    Anywhere,
}

/// A running sandbox. Dropping it stops it.
#[derive(Debug)]
pub struct Running {
    /// The root of the API, without a trailing slash: `http://127.0.0.1:9300`.
    pub base_url: String,
    /// The address that it listens on, with the actual port.
    pub addr: SocketAddr,
    /// The client identifier of the first app: 40 hexadecimal characters.
    pub client_id: String,
    /// The client secret of the first app: 128 characters, some of which need escaping in URLs.
    pub client_secret: String,
    /// A token of the first app's owner that holds every scope: 32 hexadecimal characters.
    pub access_token: String,
    /// The redirect URI of the first app, if it has one.
    pub redirect_uri: Option<String>,
    stopping: DropGuard,
    tasks: JoinSet<()>,
    work: TaskTracker,
}

impl Running {
    /// Closes the port and every connection, and returns when they are closed. Responses in progress are cut off.
    pub async fn stop(mut self) {
        self.stopping.disarm().cancel();
        while self.tasks.join_next().await.is_some() {}
        self.work.close();
        self.work.wait().await;
    }
}

/// Starts a sandbox. It serves requests once this returns.
///
/// # Errors
/// `InvalidInput` if the address is not a loopback address or a redirect URI is invalid; otherwise the error of binding
/// the address (`AddrInUse` if the port is taken), of locking the state file or the directory of bytes (`ResourceBusy`
/// if another sandbox holds the lock), or of reading the state file (`InvalidData` if it is damaged or not a state
/// file). The text is a sentence for people.
pub async fn start(options: Options) -> io::Result<Running> {
    if !options.listen.ip().to_canonical().is_loopback() {
        // The controls need no password and show credentials: other machines must not reach them.
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!(
                "{} is not a loopback address. The sandbox shows credentials to every client, so it listens on \
                 127.0.0.1 or [::1] only.",
                options.listen.ip()
            ),
        ));
    }
    for uri in &options.redirect_uris {
        if let Some(problem) = oauth::redirects::problem(uri) {
            let text = format!("The redirect URI `{uri}` {problem}.");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
    }
    let listener = TcpListener::bind(options.listen).await.map_err(|error| {
        io::Error::new(error.kind(), format!("It cannot listen on {}: {error}.", options.listen))
    })?;
    let addr = listener.local_addr()?;
    let base_url = format!("http://{addr}");
    let open_mode = if options.open { OpenMode::Open } else { OpenMode::Strict };
    let upload_dir_lock = options.bytes_directory.as_deref().map(UploadDirLock::open).transpose()?;
    let state_file = options.state_file.as_deref().map(StateFile::open).transpose()?;
    let kept = state_file.as_ref().map(StateFile::read).transpose()?.flatten();
    let Snapshot { mut initial, mut vimeo } = kept.unwrap_or_else(|| {
        let vimeo = VimeoState::first(Arc::clone(&options.random), options.redirect_uris.clone());
        Snapshot { initial: vimeo.clone(), vimeo }
    });
    for vimeo in [&mut initial, &mut vimeo] {
        vimeo.set_random(Arc::clone(&options.random));
        vimeo.set_open_mode(open_mode);
    }
    let first = vimeo.first.clone();
    let redirect_uri = vimeo.find_app(&first.client_id).and_then(|app| app.redirect_uris.first().cloned());
    let disk_locks = DiskLocks { state_file, upload_dir_lock };
    let app_state =
        Arc::new(AppState::new(&options, base_url.clone(), disk_locks, Snapshot { initial, vimeo }));
    // Fails early if the file cannot be written.
    app_state.save_now().await?;
    uploads::resume(&app_state);
    let (stopping, work) = (app_state.stopping.clone(), app_state.tasks.clone());
    let mut tasks = JoinSet::new();
    tasks.spawn(server::accept(listener, app_state, stopping.clone()));
    Ok(Running {
        base_url,
        addr,
        client_id: first.client_id,
        client_secret: first.client_secret,
        access_token: first.access_token,
        redirect_uri,
        stopping: stopping.drop_guard(),
        tasks,
        work,
    })
}
