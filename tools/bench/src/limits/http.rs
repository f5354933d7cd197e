//! H: the cost of the kernel, HTTP and the load generator alone.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{BenchError, Context as _};
use crate::load::{Load, Measured};
use crate::process::Process;

const SCRIPT: &str = include_str!("../../lua/constant.lua");
const TIMEOUT: Duration = Duration::from_secs(10);

/// The minimal server, as a process of its own. Killed when dropped.
pub(crate) struct ConstantServer {
    address: SocketAddr,
    directory: PathBuf,
    _process: Process,
}

impl ConstantServer {
    pub(crate) fn start(directory: &Path) -> Result<Self, BenchError> {
        fs::create_dir_all(directory)?;
        let program = std::env::current_exe().context("this program's own file is not known")?;
        let mut process = Process::start(&program, &["serve-constant"], directory)?;
        let name = program.file_name().unwrap_or_default();
        let out = directory.join(name).with_extension("out");
        let address = process.wait_for(&out, TIMEOUT, |line| line.parse().ok())?;
        Ok(Self { address, directory: directory.to_owned(), _process: process })
    }

    pub(crate) fn run(&self, connections: u32, seconds: u32) -> Result<Measured, BenchError> {
        let load = Load { address: self.address, script: SCRIPT, arguments: &["/"], connections, seconds };
        load.run(&self.directory)
    }
}
