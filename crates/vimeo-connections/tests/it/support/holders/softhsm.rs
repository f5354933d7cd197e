//! SoftHSM: a PKCS #11 module whose tokens are directories.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::tools::{find_tool, finish, unpacked};

pub(crate) const TOKEN: &str = "vimeo connections";
pub(crate) const KEY: &str = "keyring";
pub(crate) const PIN: &str = "493817";

pub(crate) struct SoftHsm {
    root: PathBuf,
    directory: tempfile::TempDir,
}

impl SoftHsm {
    /// A token with an AES key. `None`, and reported, if it is not installed.
    pub(crate) fn new() -> Option<Self> {
        let hsm = Self { root: find_tool("softhsm/root")?, directory: tempfile::tempdir().unwrap() };
        fs::create_dir(hsm.tokens()).unwrap();
        let config = format!(
            "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n",
            hsm.tokens().display()
        );
        fs::write(hsm.config_file(), config).unwrap();
        hsm.util(&["--init-token", "--free", "--label", TOKEN, "--so-pin", "5938172", "--pin", PIN]);
        let key = hsm.directory.path().join("key");
        fs::write(&key, [0x5a; 32]).unwrap();
        let key = key.to_str().unwrap();
        hsm.util(&["--import", key, "--aes", "--token", TOKEN, "--pin", PIN, "--label", KEY, "--id", "01"]);
        hsm.write_pin(PIN);
        Some(hsm)
    }

    fn util(&self, arguments: &[&str]) {
        let mut command = unpacked(&self.root, "usr/bin/softhsm2-util");
        command.arg("--module").arg(self.module()).args(arguments);
        command.env("SOFTHSM2_CONF", self.config_file());
        let output = finish(command);
        assert!(output.status.success(), "{output:?}");
    }

    /// The module. Its path depends on the architecture.
    pub(crate) fn module(&self) -> PathBuf {
        let libraries = fs::read_dir(self.root.join("usr/lib")).unwrap();
        let mut modules = libraries.map(|entry| entry.unwrap().path().join("softhsm/libsofthsm2.so"));
        modules.find(|module| module.is_file()).unwrap()
    }

    pub(crate) fn config_file(&self) -> PathBuf {
        self.directory.path().join("softhsm.conf")
    }

    fn tokens(&self) -> PathBuf {
        self.directory.path().join("tokens")
    }

    /// Disconnects the token.
    pub(crate) fn remove_token(&self) {
        fs::rename(self.tokens(), self.directory.path().join("away")).unwrap();
        fs::create_dir(self.tokens()).unwrap();
    }

    /// Connects it again.
    pub(crate) fn insert_token(&self) {
        fs::remove_dir_all(self.tokens()).unwrap();
        fs::rename(self.directory.path().join("away"), self.tokens()).unwrap();
    }

    pub(crate) fn pin_file(&self) -> PathBuf {
        self.directory.path().join("pin")
    }

    pub(crate) fn write_pin(&self, pin: &str) {
        fs::write(self.pin_file(), format!("{pin}\n")).unwrap();
    }

    /// Lines of configuration for a service that uses this module and key.
    pub(crate) fn config(&self, module: &Path, key: &str) -> String {
        format!(
            "keyring.holder = \"pkcs11\"\nkeyring.timeout_seconds = 3\nkeyring.pkcs11.module = \"{}\"\n\
             keyring.pkcs11.token = \"{TOKEN}\"\nkeyring.pkcs11.key = \"{key}\"\nkeyring.pkcs11.pin_file = \"{}\"\n",
            module.display(),
            self.pin_file().display()
        )
    }
}

/// A library with this C source.
pub(crate) fn library(directory: &Path, source: &str) -> PathBuf {
    let (library, file) = (directory.join("module.so"), directory.join("module.c"));
    fs::write(&file, source).unwrap();
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-o"]).arg(&library).arg(file);
    assert!(compiler.status().unwrap().success());
    library
}
