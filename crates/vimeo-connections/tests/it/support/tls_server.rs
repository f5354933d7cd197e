//! A TLS server that records what its clients offer, and answers nothing after the handshake.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

use rustls::crypto::{CryptoProvider, SupportedKxGroup, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::Acceptor;
use rustls::{NamedGroup, ServerConfig};

/// What comes before the handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Preface {
    Nothing,
    /// The client asks for TLS as PostgreSQL's clients do.
    Postgres,
}

/// A handshake.
#[derive(Debug, Clone)]
pub(crate) struct Handshake {
    /// The key exchanges that the client offers, its preferred one first.
    pub(crate) offered: Vec<NamedGroup>,
    /// The one that was used.
    pub(crate) used: Option<NamedGroup>,
}

/// The server. Its thread ends with the process.
pub(crate) struct TlsServer {
    pub(crate) address: SocketAddr,
    handshakes: Arc<Mutex<Vec<Handshake>>>,
}

/// The library's provider, with the classical key exchange only.
pub(crate) fn without_post_quantum() -> CryptoProvider {
    CryptoProvider { kx_groups: vec![aws_lc_rs::kx_group::X25519], ..aws_lc_rs::default_provider() }
}

impl TlsServer {
    /// Starts it with the certificate and key in `NAME.pem` and `NAME.key`.
    pub(crate) fn start(directory: &Path, name: &str, provider: CryptoProvider, preface: Preface) -> Self {
        let chain = fs::read(directory.join(format!("{name}.pem"))).unwrap();
        let key = fs::read(directory.join(format!("{name}.key"))).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![CertificateDer::from_pem_slice(&chain).unwrap()],
                PrivateKeyDer::from_pem_slice(&key).unwrap(),
            )
            .unwrap();
        let config = Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let handshakes = Arc::<Mutex<Vec<_>>>::default();
        let kept = handshakes.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let shaken = shake_hands(stream.unwrap(), config.clone(), preface);
                kept.lock().unwrap().extend(shaken);
            }
        });
        Self { address, handshakes }
    }

    /// The handshakes so far.
    pub(crate) fn handshakes(&self) -> Vec<Handshake> {
        self.handshakes.lock().unwrap().clone()
    }
}

/// `None` if the client ends the connection before its first message.
fn shake_hands(mut stream: TcpStream, config: Arc<ServerConfig>, preface: Preface) -> Option<Handshake> {
    if preface == Preface::Postgres {
        stream.read_exact(&mut [0; 8]).ok()?;
        stream.write_all(b"S").ok()?;
    }
    let mut acceptor = Acceptor::default();
    let accepted = loop {
        if acceptor.read_tls(&mut stream).ok()? == 0 {
            return None;
        }
        if let Some(accepted) = acceptor.accept().ok()? {
            break accepted;
        }
    };
    let offered = accepted.client_hello().named_groups().unwrap_or_default().to_vec();
    let mut connection = accepted.into_connection(config).ok()?;
    while connection.is_handshaking() {
        if connection.complete_io(&mut stream).is_err() {
            break;
        }
    }
    let used = connection.negotiated_key_exchange_group().map(SupportedKxGroup::name);
    Some(Handshake { offered, used })
}
