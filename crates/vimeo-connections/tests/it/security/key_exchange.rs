//! The key exchange of TLS resists quantum computers where the peer can do it too, in both directions.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, ClientConnection, NamedGroup, RootCertStore};
use serde_json::json;

use crate::support::certificates::make_certificate_of;
use crate::support::harness::{ACCOUNT, EnvOptions, TestEnv, run, until};
use crate::support::tls_server::{Preface, TlsServer, without_post_quantum};
use crate::support::uploads::{CONFIG, UploadEnv, fast_sandbox};

/// The key exchange that a client with this provider and the service agree on.
fn used(address: SocketAddr, authority: &Path, provider: CryptoProvider) -> NamedGroup {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&fs::read(authority).unwrap()).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut connection = ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    while connection.is_handshaking() {
        connection.complete_io(&mut stream).unwrap();
    }
    connection.negotiated_key_exchange_group().unwrap().name()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_uses_the_hybrid_key_exchange_with_clients_that_prefer_it() {
    let files = tempfile::tempdir().unwrap();
    make_certificate_of(files.path(), "authority", "service");
    let file = |name: &str| files.path().join(name);
    let config = format!(
        "tls.certificate_file = {:?}\ntls.key_file = {:?}\n",
        file("service.pem"),
        file("service.key")
    );
    let env = TestEnv::with(EnvOptions { verification_off: true, config, ..EnvOptions::default() }).await;
    let used = |provider| used(env.service.address, &file("authority.pem"), provider);
    assert_eq!(used(aws_lc_rs::default_provider()), NamedGroup::X25519MLKEM768);
    assert_eq!(used(without_post_quantum()), NamedGroup::X25519);
}

/// The servers that a service connects to.
struct Servers {
    files: tempfile::TempDir,
    https: TlsServer,
    postgres: TlsServer,
}

impl Servers {
    fn start(provider: &CryptoProvider) -> Self {
        let files = tempfile::tempdir().unwrap();
        make_certificate_of(files.path(), "authority", "server");
        let start = |preface| TlsServer::start(files.path(), "server", provider.clone(), preface);
        let (https, postgres) = (start(Preface::Nothing), start(Preface::Postgres));
        Self { files, https, postgres }
    }

    /// Makes the service, and commands in its directory, connect to them: to Vimeo, to the source of an upload, to an
    /// identity provider, and to a database server.
    async fn connect(&self) {
        let (url, authority) =
            (format!("https://{}", self.https.address), self.files.path().join("authority.pem"));
        let secret = self.files.path().join("secret");
        fs::write(&secret, "secret\n").unwrap();
        let config = format!(
            "{CONFIG}ca_file = \"{}\"\noidc.issuer = {url:?}\noidc.client_id = \"it\"\noidc.account = \"{ACCOUNT}\"\n\
             oidc.default_role = \"member\"\noidc.client_secret_file = \"{}\"\n",
            authority.display(),
            secret.display()
        );
        let uploads = UploadEnv::with(&config, fast_sandbox()).await;
        let env = &uploads.env;

        let before = self.https.handshakes().len();
        let credentials = env.path().join("credentials.json");
        fs::write(&credentials, json!({"clientSecret": "x", "accessToken": "x"}).to_string()).unwrap();
        let create =
            ["connections", "create", "--account", ACCOUNT, "--name", "x", "--client-identifier", "x"];
        let create = [create.as_slice(), &["--credentials", credentials.to_str().unwrap()]].concat();
        let vimeo = [("VIMEO_CONNECTIONS_VIMEO__BASE_URL", url.as_str())];
        assert!(!run(env.path(), &vimeo, &create).status.success());
        self.wait_for_handshake_after(before, "Vimeo").await;

        let before = self.https.handshakes().len();
        let page = env.get("/dashboard/sign-in/oidc").await;
        assert_eq!(page.status, 503, "{}", page.text);
        self.wait_for_handshake_after(before, "the identity provider").await;

        let before = self.https.handshakes().len();
        uploads.submit_with(json!({"source": {"url": format!("{url}/film.mp4")}})).await;
        self.wait_for_handshake_after(before, "the source").await;

        let database = format!("postgres://u:p@{}/d?sslmode=verify-full", self.postgres.address);
        let database = [("VIMEO_CONNECTIONS_DATABASE_URL", database.as_str())];
        assert!(!run(env.path(), &database, &["accounts", "list"]).status.success());
        assert!(!self.postgres.handshakes().is_empty());
    }

    async fn wait_for_handshake_after(&self, count: usize, with: &str) {
        until(&format!("a handshake with {with}"), async || self.https.handshakes().len() > count).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_client_of_the_service_prefers_the_hybrid_key_exchange() {
    for (provider, expected) in [
        (aws_lc_rs::default_provider(), NamedGroup::X25519MLKEM768),
        (without_post_quantum(), NamedGroup::X25519),
    ] {
        let servers = Servers::start(&provider);
        servers.connect().await;
        for handshake in [servers.https.handshakes(), servers.postgres.handshakes()].concat() {
            assert_eq!(handshake.offered[0], NamedGroup::X25519MLKEM768, "{handshake:?}");
            assert_eq!(handshake.used, Some(expected), "{handshake:?}");
        }
    }
}
