//! A Vimeo on your desk: a local HTTP server that answers as Vimeo's API 3.4 does, remembers what it was told,
//! and misbehaves when asked to.
//! Knows Vimeo's published and observed behaviour. Knows nothing of the service that is tested against it, and
//! never will: it shares no code with any client of ours, so that the two cannot agree on the same mistake.
//! Invariant: it speaks on loopback only, and everything it hands out is worthless anywhere else.

mod accept;
mod ambient;
mod ask;
mod body;
mod catalogue;
mod control;
mod credentials;
mod desk;
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
mod saved;
mod scopes;
mod server;
mod state;
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

use desk::{Custody, Desk};
use saved::{Saved, Saver};
use state::{Door, World};
use uploads::Keeper;

pub use ambient::{Clock, Random, system_clock, system_random};
pub use limits::{Plan, UnknownPlan};

/// How a sandbox is to be run. Start from [`Options::default`] and change what matters.
#[derive(Clone)]
pub struct Options {
    /// Where to listen. Loopback only; port 0 takes a free port.
    pub listen: SocketAddr,
    /// Whether credentials that the sandbox never issued are welcomed, as those of one guest app.
    pub open: bool,
    /// The users' plan. Rate limits are enforced only when one is given; without one the headers are those of
    /// an Enterprise user who never runs out.
    pub plan: Option<Plan>,
    /// Where the first app's users may be sent back to with a code, each compared as it stands.
    pub redirect_uris: Vec<String>,
    /// How long `upload.status` goes on to say `in_progress` after the last byte has come.
    pub upload_lag: Duration,
    /// How long a finished upload stays in each stage of transcoding.
    pub pace: Pace,
    /// What the URIs of unlisted videos look like.
    pub unlisted_uris: UnlistedUris,
    /// Which addresses a pull may fetch from.
    pub pull_from: PullFrom,
    /// After which time an upload link is dead; never, if absent. Vimeo's own figure is not known.
    pub link_lifetime: Option<Duration>,
    /// A file that keeps everything over restarts: read at the start if it is there, written after every change.
    pub state_file: Option<PathBuf>,
    /// A directory that keeps the bytes of uploads. Without it they are counted, hashed and forgotten.
    pub bytes_directory: Option<PathBuf>,
    /// The time, for rate windows, dates in answers and the journal.
    pub clock: Clock,
    /// Where identifiers, secrets and tokens come from.
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

/// Where the first app's users may be sent back to, if nobody said where.
pub const DEFAULT_REDIRECT_URI: &str = "http://localhost:8080/callback";

/// How fast transcoding goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Each of the two stages, `transcode_starting` and `transcoding`, lasts so long by the sandbox's clock.
    Every(Duration),
    /// Nothing goes on until a control says so.
    ByHand,
}

impl Default for Pace {
    /// A second for each stage: long enough to be seen, short enough to be waited for.
    fn default() -> Self {
        Self::Every(Duration::from_secs(1))
    }
}

/// What the URIs of unlisted videos look like. Vimeo takes both, and which one it shows is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnlistedUris {
    /// `/videos/N`, as those of all others.
    #[default]
    Plain,
    /// `/videos/N:hash`.
    WithHash,
}

/// Which addresses a pull may fetch from. What is not allowed ends with `disallowed_address`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PullFrom {
    /// Nothing is fetched.
    Nowhere,
    /// This machine only.
    Loopback,
    /// Any address that this machine reaches.
    Anywhere,
}

/// A sandbox that listens. Dropping it stops it.
#[derive(Debug)]
pub struct Running {
    /// The root of the API, without a trailing slash: `http://127.0.0.1:9300`.
    pub base_url: String,
    /// The address it listens on, with the port that it really got.
    pub addr: SocketAddr,
    /// The client identifier of the first app: 40 hexadecimal characters.
    pub client_id: String,
    /// The client secret of the first app: 128 characters, some of which need escaping in URLs.
    pub client_secret: String,
    /// A token of the first app's owner that holds every scope: 32 hexadecimal characters.
    pub access_token: String,
    /// Where the first app's users may be sent back to, if anywhere.
    pub redirect_uri: Option<String>,
    stopping: DropGuard,
    tasks: JoinSet<()>,
    work: TaskTracker,
}

impl Running {
    /// Closes the port and every connection, and returns when they are closed. Answers under way are cut.
    pub async fn stop(mut self) {
        self.stopping.disarm().cancel();
        while self.tasks.join_next().await.is_some() {}
        self.work.close();
        self.work.wait().await;
    }
}

/// Starts a sandbox; it serves from the moment this returns.
///
/// # Errors
/// `InvalidInput` when the address is not a loopback address or a redirect URI is none, otherwise what binding the address gives
/// (`AddrInUse` when the port is taken), taking the state file or the directory of bytes (`ResourceBusy` when another
/// sandbox has it), or reading the state file (`InvalidData` when it is damaged or something else's). The text is a
/// sentence for people.
pub async fn start(options: Options) -> io::Result<Running> {
    if !options.listen.ip().to_canonical().is_loopback() {
        // Its controls need no password and show credentials: a neighbour must not reach them.
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!(
                "{} is not a loopback address. The sandbox shows credentials to whoever asks, so it listens on \
                 127.0.0.1 or [::1] only.",
                options.listen.ip()
            ),
        ));
    }
    for uri in &options.redirect_uris {
        if let Some(flaw) = oauth::redirects::flaw(uri) {
            let text = format!("The redirect URI `{uri}` {flaw}.");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
    }
    let listener = TcpListener::bind(options.listen).await.map_err(|error| {
        io::Error::new(error.kind(), format!("It cannot listen on {}: {error}.", options.listen))
    })?;
    let addr = listener.local_addr()?;
    let base_url = format!("http://{addr}");
    let door = if options.open { Door::Open } else { Door::Strict };
    let keeper = options.bytes_directory.as_deref().map(Keeper::open).transpose()?;
    let saver = options.state_file.as_deref().map(Saver::open).transpose()?;
    let kept = saver.as_ref().map(Saver::read).transpose()?.flatten();
    let Saved { mut first_world, mut world } = kept.unwrap_or_else(|| {
        let world = World::first(Arc::clone(&options.random), options.redirect_uris.clone());
        Saved { first_world: world.clone(), world }
    });
    for world in [&mut first_world, &mut world] {
        world.set_random(Arc::clone(&options.random));
        world.set_door(door);
    }
    let first = world.first.clone();
    let redirect_uri = world.find_app(&first.client_id).and_then(|app| app.redirect_uris.first().cloned());
    let custody = Custody { saver, keeper };
    let desk = Arc::new(Desk::new(&options, base_url.clone(), custody, Saved { first_world, world }));
    // Before anybody relies on it: whether the file can be written.
    desk.save_anew().await?;
    uploads::resume(&desk);
    let (stopping, work) = (desk.stopping.clone(), desk.tasks.clone());
    let mut tasks = JoinSet::new();
    tasks.spawn(server::accept(listener, desk, stopping.clone()));
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
