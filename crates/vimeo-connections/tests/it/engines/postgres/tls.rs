//! TLS to a PostgreSQL server: the certificate and name are verified, or no connection is made.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::harness::{Service, binary, printed, run};
use crate::support::postgres::{Postgres, Version};

const ELLIPTIC: &str = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1";

/// The key and certificate of an authority, and of a server with these names.
fn make_certificates(directory: &Path, authority: &str, names: &str) {
    make_certificates_with(directory, authority, names, (ELLIPTIC, "-sha256"));
}

/// The same, with this kind of key and signature of the authority.
fn make_certificates_with(
    directory: &Path,
    authority: &str,
    names: &str,
    (authority_key, signature): (&str, &str),
) {
    let openssl = |arguments: &str| {
        let words = arguments.split_whitespace();
        let made = Command::new("openssl").current_dir(directory).args(words).output().unwrap();
        assert!(made.status.success(), "{arguments}: {}", printed(&made));
    };
    openssl(&format!(
        "req -x509 {authority_key} -nodes -days 2 -subj /CN={authority} -keyout {authority}.key -out {authority}.pem"
    ));
    openssl(&format!("req {ELLIPTIC} -nodes -subj /CN=server -keyout server.key -out server.csr"));
    fs::write(directory.join("names"), format!("subjectAltName={names}\n")).unwrap();
    openssl(&format!(
        "x509 -req -in server.csr {signature} -days 2 -CA {authority}.pem -CAkey {authority}.key -CAcreateserial \
         -extfile names -out server.crt"
    ));
}

/// The server writes its files itself, so that it owns them.
fn give(postgres: &Postgres, directory: &Path, name: &str) {
    let lines = fs::read_to_string(directory.join(name)).unwrap();
    let rows: Vec<_> = lines.lines().map(|line| format!("('{line}')")).collect();
    postgres.sql(&format!("COPY (VALUES {}) TO PROGRAM 'umask 077; cat > {name}'", rows.join(", ")));
}

fn certify(postgres: &Postgres, directory: &Path, names: &str) {
    make_certificates(directory, "ours", names);
    install(postgres, directory);
}

fn install(postgres: &Postgres, directory: &Path) {
    for name in ["server.key", "server.crt"] {
        give(postgres, directory, name);
    }
    postgres.sql("ALTER SYSTEM SET ssl = on");
    postgres.sql("SELECT pg_reload_conf()");
}

/// Runs `accounts list` on this database; its output if it fails.
fn reach(directory: &Path, url: &str) -> Result<(), String> {
    let output = run(directory, &[("VIMEO_CONNECTIONS_DATABASE_URL", url)], &["accounts", "list"]);
    if output.status.success() { Ok(()) } else { Err(printed(&output)) }
}

#[test]
fn a_server_is_trusted_only_by_its_certificate_and_name() {
    let Some(postgres) = Postgres::private(Version::V15) else { return };
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    assert!(run(directory, &[], &["init"]).status.success());
    let plain = postgres.create_database("connections");
    let verified = |parameters: &str| format!("{plain}?sslmode=verify-full{parameters}");
    let without = reach(directory, &verified("")).unwrap_err();
    assert!(without.contains("the database server cannot be used"), "{without}");
    reach(directory, &plain).unwrap();

    certify(&postgres, directory, "IP:127.0.0.1");
    reach(directory, &verified("&sslrootcert=ours.pem")).unwrap();
    // A byte order mark at the start of the CA file is ignored.
    let authorities = fs::read_to_string(directory.join("ours.pem")).unwrap();
    fs::write(directory.join("ours.pem"), format!("\u{feff}{authorities}")).unwrap();
    reach(directory, &verified("&sslrootcert=ours.pem")).unwrap();
    make_certificates(directory, "others", "IP:127.0.0.1");
    let strangers = [
        (verified("&sslrootcert=others.pem"), "certificate"),
        (verified(""), "certificate"),
        (verified("&sslrootcert=none.pem"), "none.pem"),
        (verified("&sslrootcert=ours.pem").replace("127.0.0.1", "localhost"), "certificate"),
    ];
    for (url, why) in strangers {
        let refused = reach(directory, &url).unwrap_err();
        assert!(refused.contains("the database server cannot be used"), "{url}: {refused}");
        assert!(refused.to_lowercase().contains(why), "{url}: {refused}");
        assert!(!refused.contains("p%40ss") && !refused.contains("p@ss"), "{refused}");
    }

    // Nothing is sent unencrypted to a server beyond loopback, whatever it offers.
    let far = plain.replace("127.0.0.1", "192.0.2.1");
    for weak in ["disable", "allow", "prefer", "verify-ca"] {
        let refused = reach(directory, &format!("{far}?sslmode={weak}")).unwrap_err();
        assert!(refused.contains("`prefer` is not supported"), "{refused}");
    }
}

#[tokio::test]
async fn the_service_connects_to_the_server_over_tls() {
    // The build of PostgreSQL 18 that the tests use has no TLS.
    let Some(postgres) = Postgres::private(Version::V15) else { return };
    let directory = tempfile::tempdir().unwrap();
    certify(&postgres, directory.path(), "DNS:localhost");
    let url = postgres.create_database("connections").replace("127.0.0.1", "localhost");
    let config = format!(
        "listen = \"127.0.0.1:0\"\nlog.format = \"json\"\nvimeo.verification = \"off\"\n\
         database_url = \"{url}?sslmode=verify-full&sslrootcert=ours.pem\"\n"
    );
    fs::write(directory.path().join("vimeo-connections.toml"), config).unwrap();
    assert!(run(directory.path(), &[], &["init"]).status.success());
    let service = Service::start(directory.path());
    let ready = format!("http://{}/health/ready", service.address);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    assert_eq!(client.get(ready).send().await.unwrap().status(), 200);
    let sessions = postgres.sql(
        "SELECT count(*) FILTER (WHERE ssl) > 0, count(*) FILTER (WHERE NOT ssl)
         FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = 'vimeo-connections'",
    );
    assert_eq!(sessions.trim(), "t|0");
}

/// A directory whose configuration names this database.
fn installation(url: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    assert!(run(directory.path(), &[], &["init"]).status.success());
    let config = format!(
        "listen = \"127.0.0.1:0\"\nlog.format = \"json\"\nvimeo.verification = \"off\"\ndatabase_url = {url:?}\n"
    );
    fs::write(directory.path().join("vimeo-connections.toml"), config).unwrap();
    directory
}

#[tokio::test]
async fn channel_binding_is_used_where_the_url_requires_it() {
    let Some(postgres) = Postgres::private(Version::V15) else { return };
    // Channel binding uses a digest of the certificate, by the hash of its signature.
    for (number, way) in [
        (ELLIPTIC, "-sha256"),
        (ELLIPTIC, "-sha384"),
        ("-newkey rsa:2048", "-sha512"),
        ("-newkey rsa:2048", "-sha256 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:digest"),
    ]
    .into_iter()
    .enumerate()
    {
        let plain = postgres.create_database(&format!("connections-{number}"));
        let files = tempfile::tempdir().unwrap();
        make_certificates_with(files.path(), "ours", "IP:127.0.0.1", way);
        install(&postgres, files.path());
        let roots = files.path().join("ours.pem");
        let url =
            format!("{plain}?sslmode=verify-full&channel_binding=require&sslrootcert={}", roots.display());
        let directory = installation(&url);
        let checked = run(directory.path(), &[], &["config", "check"]);
        assert!(checked.status.success(), "{way:?}: {}", printed(&checked));
        let service = Service::start(directory.path());
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let ready = client.get(format!("http://{}/health/ready", service.address)).send().await.unwrap();
        assert_eq!(ready.status(), 200, "{way:?}");
    }
}

#[test]
fn both_reject_unavailable_channel_binding() {
    let Some(postgres) = Postgres::private(Version::V15) else { return };
    let plain = postgres.create_database("connections");
    let files = tempfile::tempdir().unwrap();
    // This kind of signature has no hash.
    make_certificates_with(files.path(), "ours", "IP:127.0.0.1", ("-newkey ed25519", ""));
    install(&postgres, files.path());
    let verified =
        format!("{plain}?sslmode=verify-full&sslrootcert={}", files.path().join("ours.pem").display());
    for (url, status, expected) in [
        (format!("{plain}?channel_binding=require"), 78, "channel_binding=require needs TLS"),
        (format!("{plain}?sslmode=disable&channel_binding=require"), 78, "channel_binding=require needs TLS"),
        (format!("{verified}&channel_binding=require"), 69, "server did not use channel binding"),
    ] {
        let directory = installation(&url);
        for arguments in [&["config", "check"][..], &["serve"]] {
            let refused = run(directory.path(), &[], arguments);
            assert_eq!(refused.status.code(), Some(status), "{arguments:?} {url}: {}", printed(&refused));
            assert!(printed(&refused).contains(expected), "{arguments:?} {url}: {}", printed(&refused));
        }
    }
    // Unless channel binding is required, such a certificate is accepted.
    let directory = installation(&verified);
    let checked = run(directory.path(), &[], &["config", "check"]);
    assert!(checked.status.success(), "{}", printed(&checked));
    Service::try_start(binary(directory.path()), directory.path()).unwrap();
}
