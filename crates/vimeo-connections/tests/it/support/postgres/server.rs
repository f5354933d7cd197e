//! A private PostgreSQL server that a test can start, stop, kill and replicate.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::harness::{finish, printed};
use crate::support::ports::Port;
use crate::support::postgres::disk::{Part, SmallDisk};
use crate::support::postgres::{Version, WAIT_LIMIT, sql};
use crate::support::processes::{
    after, as_server_user, chown_to_server_user, kill_with_children, signal, signalled_at_end,
    spawn_for_life, wait,
};
use crate::support::tools::program;

/// With characters that a URL must escape.
pub(crate) const PASSWORD: &str = "p@ss w:rd/100%";
pub(crate) const PASSWORD_IN_URL: &str = "p%40ss%20w%3Ard%2F100%25";

/// How an operator stops a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Disconnects all clients and writes a checkpoint.
    Fast,
    /// Ends immediately, and has to recover at the next start.
    Immediate,
}

/// A private server with fsync on and a superuser role `tests`. Removed when dropped, even after a panic; it also
/// stops if the test process is killed.
pub(crate) struct Postgres {
    programs: PathBuf,
    port: Port,
    process: Option<Child>,
    disk: Option<SmallDisk>,
    /// Dropped after the process and the disk.
    directory: tempfile::TempDir,
}

impl Postgres {
    /// A new server without other databases. `None`, and reported, if its programs are missing: the test is skipped.
    /// In CI this is a failure.
    pub(crate) fn private(version: Version) -> Option<Self> {
        Self::with(version, "")
    }

    /// The same with lines for `postgresql.conf`.
    pub(crate) fn with(version: Version, config: &str) -> Option<Self> {
        let mut server = Self::nowhere(version.find_programs()?);
        server.init(version, config);
        server.start();
        Some(server)
    }

    /// The same with a part of it on a small disk. `None` also if no disk can be mounted.
    pub(crate) fn on_a_small_disk(version: Version, part: Part, config: &str) -> Option<Self> {
        let mut server = Self::nowhere(version.find_programs()?);
        let mounted = match part {
            Part::Data => server.data(),
            Part::Log => server.log_directory(),
        };
        fs::create_dir(&mounted).unwrap();
        server.disk = Some(SmallDisk::mount(&mounted)?);
        server.init(version, config);
        server.start();
        Some(server)
    }

    fn nowhere(programs: PathBuf) -> Self {
        let directory = tempfile::tempdir().unwrap();
        chown_to_server_user(directory.path());
        Self { programs, port: Port::reserve(), process: None, disk: None, directory }
    }

    /// The URL of a database, for the role `tests`.
    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgres://tests:{PASSWORD_IN_URL}@127.0.0.1:{}/{database}", self.port.number())
    }

    pub(crate) fn port(&self) -> u16 {
        self.port.number()
    }

    /// Runs statements in the default database, which must succeed: the rows, with columns separated by `|`.
    pub(crate) fn sql(&self, statements: &str) -> String {
        sql(&self.url("postgres"), statements).unwrap()
    }

    /// Creates an empty database; its URL.
    pub(crate) fn create_database(&self, name: &str) -> String {
        self.sql(&format!("CREATE DATABASE \"{name}\""));
        self.url(name)
    }

    /// The log of all starts so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// Starts it again in the same place; waits until it has recovered and responds.
    pub(crate) fn start(&mut self) {
        assert!(self.process.is_none(), "it runs");
        let before = self.log().len();
        let mut command = program(self.programs.join("postgres"));
        command.arg("-D").arg(self.data()).args(["-p", &self.port.number().to_string()]);
        command.args(["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="]);
        let mut command = self.as_server_user(&signalled_at_end("QUIT", &command));
        let log = fs::OpenOptions::new().create(true).append(true).open(self.log_file()).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let process = self.process.insert(spawn_for_life(command));
        let id = process.id();
        let started = Instant::now();
        while !self.is_ready(id) {
            if let Some(status) = self.process.as_mut().unwrap().try_wait().unwrap() {
                self.process = None;
                panic!("PostgreSQL ended with {status}: {}", &self.log()[before..]);
            }
            assert!(started.elapsed() < WAIT_LIMIT, "PostgreSQL does not start: {}", &self.log()[before..]);
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Stops it as an operator does; waits for the end.
    pub(crate) fn stop(&mut self, stop: Stop) {
        let mut process = self.process.take().unwrap();
        let how = match stop {
            Stop::Fast => Signal::INT,
            Stop::Immediate => Signal::QUIT,
        };
        signal(process.id(), how).unwrap();
        wait(&mut process);
    }

    /// Kills all its processes at the same time, like a power failure, except that written data stays, synced or not.
    pub(crate) fn kill(&mut self) {
        let mut process = self.process.take().unwrap();
        kill_with_children(process.id());
        process.wait().unwrap();
    }

    /// Waits until the server has ended on its own.
    pub(crate) fn wait(&mut self) {
        wait(&mut self.process.take().unwrap());
    }

    /// A synchronous standby, which every commit waits for from now on. If it ends, commits wait until `ALTER SYSTEM
    /// RESET synchronous_standby_names` and `SELECT pg_reload_conf()`. A server can have one.
    pub(crate) fn standby(&self) -> Self {
        let mut standby = Self::nowhere(self.programs.clone());
        let mut copy = program(self.programs.join("pg_basebackup"));
        copy.arg("--dbname").arg(format!("{}?application_name=standby", self.url("postgres")));
        copy.arg("--pgdata").arg(standby.data()).args(["--create-slot", "--slot=standby"]);
        copy.args(["--write-recovery-conf", "--wal-method=stream", "--checkpoint=fast", "--no-sync"]);
        run(standby.as_server_user(&copy));
        standby.start();
        self.sql("ALTER SYSTEM SET synchronous_standby_names = 'standby'");
        self.sql("SELECT pg_reload_conf()");
        let started = Instant::now();
        while self.sql("SELECT sync_state FROM pg_stat_replication") != "sync" {
            assert!(started.elapsed() < WAIT_LIMIT, "the standby does not follow: {}", standby.log());
            std::thread::sleep(Duration::from_millis(10));
        }
        standby
    }

    /// Promotes a standby; waits until it accepts writes.
    pub(crate) fn promote(&self) {
        assert_eq!(self.sql("SELECT pg_promote()"), "t", "{}", self.log());
    }

    /// Fills the small disk completely.
    pub(crate) fn fill_disk(&self) {
        self.disk.as_ref().unwrap().fill();
    }

    /// Frees the space again.
    pub(crate) fn free_disk(&self) {
        self.disk.as_ref().unwrap().free();
    }

    /// The process ID of the postmaster, if it runs.
    pub(crate) fn id(&self) -> Option<u32> {
        self.process.as_ref().map(Child::id)
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    fn data(&self) -> PathBuf {
        self.path().join("data")
    }

    fn log_directory(&self) -> PathBuf {
        self.path().join("wal")
    }

    fn log_file(&self) -> PathBuf {
        self.path().join("postgres.log")
    }

    fn init(&self, version: Version, config: &str) {
        let password = self.path().join("password");
        fs::write(&password, PASSWORD).unwrap();
        chown_to_server_user(&password);
        let mut init = program(self.programs.join("initdb"));
        init.arg("--pgdata").arg(self.data()).arg("--waldir").arg(self.log_directory());
        init.args(["--username=tests", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8"]);
        init.args(["--no-sync", "--no-instructions", "--pwfile"]).arg(password);
        if version == Version::V15 {
            // One of the two servers collates text linguistically, so that no test depends on the order of bytes.
            init.args(["--locale-provider=icu", "--icu-locale=en-US"]);
        }
        run(self.as_server_user(&init));
        let config = format!("shared_buffers = 32MB\nmax_connections = 100\n{config}");
        let mut append = program("sh");
        append.args(["-c", "echo \"$1\" >>\"$2/postgresql.conf\"", "sh", &config]).arg(self.data());
        run(self.as_server_user(&append));
    }

    /// A command as the user of the server, in the namespace with the small disk.
    fn as_server_user(&self, command: &Command) -> Command {
        let command = as_server_user(command);
        let Some(disk) = &self.disk else { return command };
        let words = ["nsenter", "--target", &disk.holder().to_string(), "--mount", "--"].map(Into::into);
        let mut inside = after(words.to_vec(), &command);
        inside.current_dir("/");
        inside
    }

    /// The data directory as seen from outside the namespace of the small disk.
    fn seen_data(&self) -> PathBuf {
        let seen_from =
            self.disk.as_ref().map_or(String::new(), |disk| format!("/proc/{}/root", disk.holder()));
        format!("{seen_from}{}", self.data().display()).into()
    }

    fn is_ready(&self, id: u32) -> bool {
        let about = about(&self.seen_data());
        about.first() == Some(&id.to_string()) && about.get(7).is_some_and(|state| state == "ready")
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = signal(process.id(), Signal::QUIT);
            // The postmaster ends its own processes, after five seconds by force.
            let _ = process.wait();
        }
        remove_memory(&self.seen_data());
    }
}

fn run(command: Command) {
    let output = finish(command, WAIT_LIMIT);
    assert!(output.status.success(), "{}", printed(&output));
}

/// The lines of `postmaster.pid`.
fn about(data: &Path) -> Vec<String> {
    let text = fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default();
    text.lines().map(|line| line.trim().to_owned()).collect()
}

/// Removes the shared memory segment that a killed server leaves, which the next start would find.
pub(crate) fn remove_memory(data: &Path) {
    if let Some(memory) =
        about(data).get(6).and_then(|line| line.split_whitespace().nth(1).map(str::to_owned))
    {
        let _ = program("ipcrm").args(["--shmem-id", &memory]).stderr(Stdio::null()).status();
    }
}
