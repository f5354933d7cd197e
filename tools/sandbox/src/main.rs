//! `vimeo-sandbox`: runs the sandbox until it is stopped.

mod banner;

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use banner::OpenMode;
use clap::Parser;
use sandbox::{Options, Pace, Plan, PullFrom, UnlistedUris};
use tokio::runtime::Builder;

/// A local server that emulates Vimeo's API, for tests and demonstrations.
///
/// Its credentials are generated at every start (`--state` keeps them) and are worthless anywhere else. `GET
/// /_sandbox/` lists the controls: more apps and tokens, faults, a journal of requests.
#[derive(Parser)]
#[command(
    name = "vimeo-sandbox",
    version = concat!(env!("CARGO_PKG_VERSION"), " (", env!("SOURCE_REVISION"), ")")
)]
struct Arguments {
    /// The address to listen on: a loopback address and a port; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:9300")]
    listen: SocketAddr,

    /// Accept credentials that the sandbox never issued, as those of one guest app, so that the ones in documents work
    /// unchanged. Values that contain `invalid` or `expired` are still rejected.
    #[arg(long)]
    open: bool,

    /// Enforce this plan's rate limit: free, starter, standard, advanced, studio or enterprise; or one of the older
    /// plans: basic, plus, pro, business or premium.
    #[arg(long)]
    plan: Option<Plan>,

    /// How many seconds after its last byte an upload still reports that it is in progress.
    #[arg(long, value_name = "SECONDS", default_value = "0", value_parser = seconds)]
    upload_lag: Duration,

    /// How many seconds each stage of transcoding lasts (fractions are allowed), or `by-hand`: stages advance only by
    /// `POST /_sandbox/videos/{number}/step`.
    #[arg(long, value_name = "SECONDS|by-hand", default_value = "1", value_parser = pace)]
    transcoding: Pace,

    /// The form of the URIs of unlisted videos: plain (/videos/N) or hash (/videos/N:hash).
    #[arg(long, value_name = "LIKE", default_value = "plain", value_parser = unlisted_uris)]
    unlisted_uris: UnlistedUris,

    /// Where a pull may fetch from: nowhere, loopback (this machine only) or anywhere.
    #[arg(long, value_name = "FROM", default_value = "loopback", value_parser = pull_from)]
    pull: PullFrom,

    /// The lifetime of upload links in seconds; unlimited if absent.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    link_lifetime: Option<Duration>,

    /// Keep the state over restarts in this file: credentials, videos, the progress of uploads.
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,

    /// Keep the bytes of uploads in this directory, one file for each version; without it they are only hashed.
    #[arg(long, value_name = "DIRECTORY")]
    keep_bytes: Option<PathBuf>,

    /// A redirect URI for authorization codes, compared character for character. May be given more than once.
    #[arg(long = "redirect-uri", value_name = "URI", default_value = sandbox::DEFAULT_REDIRECT_URI)]
    redirect_uris: Vec<String>,

    /// Print one line of JSON instead of the banner.
    #[arg(long)]
    json: bool,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds.ok_or_else(|| "expected a number of seconds, such as 5 or 0.2".to_owned())
}

fn pace(text: &str) -> Result<Pace, String> {
    match text {
        "by-hand" => Ok(Pace::ByHand),
        _ => seconds(text)
            .map(Pace::Every)
            .map_err(|_| "expected a number of seconds, such as 5 or 0.2, or by-hand".to_owned()),
    }
}

fn unlisted_uris(text: &str) -> Result<UnlistedUris, String> {
    match text {
        "plain" => Ok(UnlistedUris::Plain),
        "hash" => Ok(UnlistedUris::WithHash),
        _ => Err("expected plain or hash".to_owned()),
    }
}

fn pull_from(text: &str) -> Result<PullFrom, String> {
    match text {
        "nowhere" => Ok(PullFrom::Nowhere),
        "loopback" => Ok(PullFrom::Loopback),
        "anywhere" => Ok(PullFrom::Anywhere),
        _ => Err("expected one of nowhere, loopback, anywhere".to_owned()),
    }
}

// All tasks have ended by then, except a name lookup, which cannot be cancelled.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_millis(200);

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = Builder::new_multi_thread().enable_all().build();
    let ended = runtime.map_err(|error| format!("It cannot start: {error}.")).and_then(|runtime| {
        let ended = runtime.block_on(run(arguments));
        runtime.shutdown_timeout(SHUTDOWN_TIMEOUT);
        ended
    });
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => {
            let _ = writeln!(io::stderr(), "vimeo-sandbox: {sentence}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), String> {
    let Arguments { listen, open, plan, json, .. } = arguments;
    // Registered before anything is printed, so that a reader of the banner may stop the process at once.
    let stopped = stop_signal().map_err(|error| format!("Signals cannot be received: {error}."))?;
    let options = Options {
        listen,
        open,
        plan,
        redirect_uris: arguments.redirect_uris,
        upload_lag: arguments.upload_lag,
        pace: arguments.transcoding,
        unlisted_uris: arguments.unlisted_uris,
        pull_from: arguments.pull,
        link_lifetime: arguments.link_lifetime,
        state_file: arguments.state,
        bytes_directory: arguments.keep_bytes,
        ..Options::default()
    };
    let running = sandbox::start(options).await.map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!(
                "{listen} is already in use. Stop the process that listens there, or choose another port with --listen."
            )
        }
        _ => error.to_string(),
    })?;
    let open_mode = if open { OpenMode::Open } else { OpenMode::Strict };
    let text = if json { banner::as_json(&running) } else { banner::as_text(&running, open_mode) };
    let mut stdout = io::stdout();
    writeln!(stdout, "{text}")
        .and_then(|()| stdout.flush())
        .map_err(|error| format!("The credentials cannot be printed: {error}."))?;
    stopped.await;
    running.stop().await;
    Ok(())
}

/// Completes on Ctrl-C, or on SIGTERM where it exists.
#[cfg(unix)]
fn stop_signal() -> io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "the signature is that of Unix, where it can fail")]
fn stop_signal() -> io::Result<impl Future<Output = ()>> {
    Ok(async {
        let _ = tokio::signal::ctrl_c().await;
    })
}
