//! A directory with a keyring and a configuration, for `config check` and `serve`.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;

use crate::support::harness::{Service, binary, cli, printed, run};

pub(crate) const KEYRING: &str = "vimeo-connections.keyring";

/// Certificates and keys, created once: `ours` and `other` (elliptic curve), `rsa`, `old` (expired), `early` (not yet
/// valid).
pub(crate) static CERTIFICATES: LazyLock<tempfile::TempDir> = LazyLock::new(|| {
    let directory = tempfile::tempdir().unwrap();
    let openssl = |arguments: &str| {
        let made =
            Command::new("openssl").current_dir(&directory).args(arguments.split(' ')).output().unwrap();
        assert!(made.status.success(), "{arguments}: {}", printed(&made));
    };
    for (name, key, dates) in [
        ("ours", "ec -pkeyopt ec_paramgen_curve:prime256v1", "-days 2"),
        ("other", "ec -pkeyopt ec_paramgen_curve:prime256v1", "-days 2"),
        ("rsa", "rsa:2048", "-days 2"),
    ] {
        openssl(&format!(
            "req -x509 -newkey {key} -nodes {dates} -subj /CN={name} -keyout {name}.key -out {name}.pem"
        ));
    }
    openssl("req -new -key ours.key -subj /CN=dated -out dated.csr");
    fs::write(directory.path().join("index"), "").unwrap();
    fs::write(
        directory.path().join("ca.cnf"),
        "[ca]\ndefault_ca=d\n[d]\ndatabase=index\nnew_certs_dir=.\nrand_serial=yes\ndefault_md=sha256\npolicy=p\n\
         unique_subject=no\nx509_extensions=v\n[v]\nbasicConstraints=CA:FALSE\n[p]\ncommonName=supplied\n",
    )
    .unwrap();
    for (name, from, to) in
        [("old", "20200101000000Z", "20200201000000Z"), ("early", "20900101000000Z", "20910101000000Z")]
    {
        openssl(&format!(
            "ca -batch -config ca.cnf -selfsign -keyfile ours.key -in dated.csr -startdate {from} -enddate {to} -out \
             {name}.pem -notext"
        ));
    }
    openssl("pkey -in ours.key -aes128 -passout pass:x -out encrypted.key");
    directory
});

/// A directory with a keyring and this configuration.
pub(crate) fn installation(config: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    assert!(cli(directory.path(), &["init"], "").status.success());
    let listen = if config.contains("listen = ") { "" } else { "listen = \"127.0.0.1:0\"\n" };
    let always = "log.format = \"json\"\nvimeo.verification = \"off\"\n";
    fs::write(directory.path().join("vimeo-connections.toml"), format!("{listen}{always}{config}")).unwrap();
    directory
}

pub(crate) fn file_names(directory: &Path) -> Vec<std::ffi::OsString> {
    let mut names: Vec<_> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    names
}

/// Whether `config check` accepts, and its output. It must not change the directory.
pub(crate) fn check(directory: &Path) -> (bool, String) {
    let before = file_names(directory);
    let output = run(directory, &[], &["config", "check"]);
    assert_eq!(file_names(directory), before, "config check must not change the directory");
    (output.status.success(), printed(&output))
}

/// Starts and stops `serve`; its error if it does not start.
pub(crate) fn serve(directory: &Path) -> Result<(), String> {
    Service::try_start(binary(directory), directory).map(drop)
}

pub(crate) fn tls(certificate: &str, key: &str) -> String {
    let file = |name: &str| CERTIFICATES.path().join(name);
    let (certificate, key) = (file(certificate), file(key));
    format!("tls.certificate_file = \"{}\"\ntls.key_file = \"{}\"\n", certificate.display(), key.display())
}

pub(crate) const WEAK: &str = "pictai_correct-horse-battery-staple\n";
pub(crate) const STRONG: &str = "pictai_8f14e45fceea167a5a36dedd4bea25431b2a\n";

/// An installation whose database has two accounts, and a key of the second one.
pub(crate) fn installation_with_accounts(config: &str) -> tempfile::TempDir {
    let directory = installation(config);
    for name in ["a", "b"] {
        assert!(cli(directory.path(), &["accounts", "create", name], "").status.success());
    }
    let imported = cli(directory.path(), &["keys", "import", "--account", "b"], STRONG);
    assert!(imported.status.success(), "{}", printed(&imported));
    directory
}

/// Reverts the last migration, so that the database has an older schema.
pub(crate) fn revert_last_migration(database: &rusqlite::Connection) {
    let revert = "DROP TABLE other_service_secrets;
        ALTER TABLE service_secrets DROP COLUMN number;
        DELETE FROM schema_migrations WHERE number = 20;";
    database.execute_batch(revert).unwrap();
}

pub(crate) fn open_database(directory: &Path) -> rusqlite::Connection {
    rusqlite::Connection::open(directory.join("data/vimeo-connections.db")).unwrap()
}
