//! Debian's PgBouncer in front of a private server. `scripts/servers --all` unpacks it.

use std::fs;
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::ports::Port;
use crate::support::postgres::{PASSWORD, PASSWORD_IN_URL, Postgres, WAIT_LIMIT};
use crate::support::processes::{
    as_server_user, chown_to_server_user, kill_with_children, signal, signalled_at_end, spawn_for_life, wait,
};
use crate::support::tools::{copy_tool, is_all, unpacked};

/// When a session of the server goes to another client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PoolMode {
    Session,
    Transaction,
}

/// Removed when dropped; it also ends with the tests.
pub(crate) struct PgBouncer {
    server_port: u16,
    port: Port,
    process: Option<Child>,
    /// Dropped after the process.
    directory: tempfile::TempDir,
}

impl PgBouncer {
    /// In front of this server. `None` without `./test --all`, or, and reported, if it is not installed: the test is skipped.
    pub(crate) fn before(server: &Postgres, mode: PoolMode) -> Option<Self> {
        if !is_all() {
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        copy_tool("pooler/root", &directory.path().join("root"))?;
        fs::write(directory.path().join("users"), format!("\"tests\" \"{PASSWORD}\"\n")).unwrap();
        for path in [directory.path().join("users"), directory.path().to_owned()] {
            chown_to_server_user(&path);
        }
        let mut pooler = Self { server_port: server.port(), port: Port::reserve(), process: None, directory };
        pooler.start(mode);
        Some(pooler)
    }

    /// The URL of a database of the server, through the pooler.
    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgres://tests:{PASSWORD_IN_URL}@{}/{database}", self.port.address())
    }

    /// Starts it again at the same port; waits until it listens.
    pub(crate) fn start(&mut self, mode: PoolMode) {
        assert!(self.process.is_none(), "it runs");
        let config = self.directory.path().join("pgbouncer.ini");
        fs::write(&config, self.config(mode)).unwrap();
        chown_to_server_user(&config);
        let root = self.directory.path().join("root");
        let mut command = unpacked(&root, "usr/sbin/pgbouncer");
        command.arg("--quiet").arg(config);
        let mut command = as_server_user(&signalled_at_end("KILL", &command));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = self.process.insert(spawn_for_life(command));
        let started = Instant::now();
        while TcpStream::connect(self.port.address()).is_err() {
            let is_running = process.try_wait().unwrap().is_none() && started.elapsed() < WAIT_LIMIT;
            let log = fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
            assert!(is_running, "PgBouncer does not listen: {log}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Stops it when the running transactions have ended; in session mode, when all clients have left. SIGTERM would do the same as
    /// SIGKILL up to 1.22, and wait for all clients from 1.23 on.
    pub(crate) fn stop(&mut self) {
        let mut process = self.process.take().unwrap();
        signal(process.id(), Signal::INT).unwrap();
        wait(&mut process);
    }

    /// Kills it with SIGKILL.
    pub(crate) fn kill(&mut self) {
        let mut process = self.process.take().unwrap();
        kill_with_children(process.id());
        process.wait().unwrap();
    }

    /// With `server_round_robin` each transaction runs in another session of the server than the last one.
    fn config(&self, mode: PoolMode) -> String {
        format!(
            "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {}\n\
             unix_socket_dir =\nauth_type = scram-sha-256\nauth_file = {2}/users\npool_mode = {3}\n\
             default_pool_size = 20\nquery_wait_timeout = 20\nserver_round_robin = 1\nlogfile = {2}/log\n",
            self.server_port,
            self.port.number(),
            self.directory.path().display(),
            format!("{mode:?}").to_lowercase(),
        )
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}
