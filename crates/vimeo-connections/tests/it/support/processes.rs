//! Processes of the servers that tests start, stop and kill.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::{OnceLock, mpsc};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::tools::program;

/// The limit of every wait, after which the test fails. Tests make no other assertions about time.
const WAIT_LIMIT: Duration = Duration::from_mins(1);

/// The user and group of the servers: PostgreSQL refuses to run as root. `None` if the tests do not run as root.
pub(crate) fn server_user() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let find = |name: &str| users.lines().find(|line| line.split(':').next() == Some(name));
    let user = find("postgres").or_else(|| find("nobody")).unwrap();
    let ids: Vec<u32> = user.split(':').skip(2).take(2).map(|id| id.parse().unwrap()).collect();
    Some((ids[0], ids[1]))
}

/// Makes the user of the servers the owner of a path.
pub(crate) fn chown_to_server_user(path: &Path) {
    if let Some((user, group)) = server_user() {
        std::os::unix::fs::chown(path, Some(user), Some(group)).unwrap();
    }
}

/// A command as the user of the servers.
pub(crate) fn as_server_user(command: &Command) -> Command {
    let mut words: Vec<OsString> = Vec::new();
    if let Some((user, group)) = server_user() {
        let ids = [format!("--reuid={user}"), format!("--regid={group}")];
        words.push("setpriv".into());
        words.extend(ids.map(Into::into));
        words.extend(["--clear-groups", "--"].map(Into::into));
    }
    // PostgreSQL reads its working directory, and may lack permission for that of the tests.
    let mut other = after(words, command);
    other.current_dir("/");
    other
}

/// A command that gets this signal when the tests end, however they end.
pub(crate) fn signalled_at_end(signal: &str, command: &Command) -> Command {
    // A change of the user resets this signal, so a process of that user requests it.
    after(["setpriv", "--pdeathsig", signal, "--"].map(OsString::from).to_vec(), command)
}

/// The command with these words before it, which run it.
pub(crate) fn after(mut words: Vec<OsString>, command: &Command) -> Command {
    words.push(command.get_program().to_owned());
    words.extend(command.get_args().map(ToOwned::to_owned));
    let mut whole = program(&words[0]);
    whole.args(&words[1..]);
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            whole.env(name, value);
        }
    }
    whole
}

/// Starts a process from a thread that lives as long as the tests: the system treats the end of that thread, not of
/// the whole process, as the death of the parent.
pub(crate) fn spawn_for_life(command: Command) -> Child {
    type Order = (Command, mpsc::Sender<io::Result<Child>>);
    static STARTER: OnceLock<mpsc::Sender<Order>> = OnceLock::new();
    let starter = STARTER.get_or_init(|| {
        let (orders, taken) = mpsc::channel::<Order>();
        std::thread::spawn(move || {
            for (mut command, answer) in taken {
                let _ = answer.send(command.spawn());
            }
        });
        orders
    });
    let (answer, child) = mpsc::channel();
    starter.send((command, answer)).unwrap();
    child.recv().unwrap().unwrap()
}

/// Waits for the end of a process that was sent a signal.
pub(crate) fn wait(process: &mut Child) {
    let started = Instant::now();
    while process.try_wait().unwrap().is_none() {
        assert!(started.elapsed() < WAIT_LIMIT, "a server does not end");
        std::thread::sleep(Duration::from_millis(10));
    }
}

pub(crate) fn signal(id: u32, signal: Signal) -> rustix::io::Result<()> {
    kill_process(Pid::from_raw(id.try_into().unwrap()).unwrap(), signal)
}

/// Kills a process and all its children, as if at the same time. They are gone afterwards, but for a process that its parent
/// has yet to wait for.
pub(crate) fn kill_with_children(id: u32) {
    // Stopped first, so that it cannot start another process meanwhile.
    let _ = signal(id, Signal::STOP);
    let all: Vec<u32> = children_of(id).into_iter().chain([id]).collect();
    for process in &all {
        // It may have ended already.
        let _ = signal(*process, Signal::KILL);
    }
    let started = Instant::now();
    while all.iter().any(|process| is_running(*process)) {
        assert!(started.elapsed() < WAIT_LIMIT, "killed processes do not end");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Whether a process exists and has not ended.
pub(crate) fn is_running(id: u32) -> bool {
    state_of(id).is_some_and(|(state, _)| state != 'Z')
}

fn children_of(id: u32) -> Vec<u32> {
    let entries = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    ids.filter(|child| state_of(*child).is_some_and(|(_, parent)| parent == id)).collect()
}

/// The state of a process, and its parent.
fn state_of(id: u32) -> Option<(char, u32)> {
    let text = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // After the name, which may contain anything.
    let mut words = text.rsplit_once(')')?.1.split_whitespace();
    Some((words.next()?.chars().next()?, words.next()?.parse().ok()?))
}
