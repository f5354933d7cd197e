//! https with a generated certificate as the only trusted one. Runs in a process of its own whose environment names
//! that certificate too: that must have no effect.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::*;
use web::Answer;

/// Serves the files in the process's directory; stops when dropped.
struct TlsServer {
    process: Child,
    port: u16,
}

impl TlsServer {
    fn start() -> Self {
        let mut process = Command::new("openssl")
            .args(["s_server", "-accept", "127.0.0.2:0", "-cert", "tls.pem", "-key", "tls.key", "-HTTP"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines().map(Result::unwrap);
        let accepting = lines.find_map(|line| line.strip_prefix("ACCEPT 127.0.0.2:")?.parse().ok());
        // Later output of the process is not read.
        Self { process, port: accepting.unwrap() }
    }
}

impl Drop for TlsServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test]
async fn https_needs_a_trusted_certificate_for_the_name() {
    if fs::exists("tls.pem").unwrap() {
        return in_the_directory_of_the_certificate().await;
    }
    let directory = tempfile::tempdir().unwrap();
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
        ])
        .args(["-subj", "/CN=good.test", "-addext", "subjectAltName=DNS:good.test"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout", "tls.key", "-out", "tls.pem"])
        .current_dir(directory.path())
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "tests::tls::https_needs_a_trusted_certificate_for_the_name"])
        .env("SSL_CERT_FILE", directory.path().join("tls.pem"))
        .current_dir(directory.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success() && said.contains("1 passed"), "{said}");
}

/// Runs in the child process, in the directory of the certificate.
async fn in_the_directory_of_the_certificate() {
    let plain = Web::start(GOOD, |_| Answer::new(200, &[], "the file")).await;
    fs::write("file", "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nthe file").unwrap();
    let location = format!("http://good.test:{}/", plain.address.port());
    fs::write("down", format!("HTTP/1.1 302 X\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"))
        .unwrap();
    let server = TlsServer::start();
    let dns = Dns::start(|_, _| vec![GOOD]).await;
    let trusted = {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file("tls.pem").unwrap()).unwrap();
        rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth()
    };
    let outbound_trusting = |tls, insecure| {
        let mut options = options(vec![dns.address]);
        options.policy.insecure = insecure;
        options.tls = tls;
        Egress::new(options).unwrap()
    };
    let egress = |insecure| outbound_trusting(Some(trusted.clone()), insecure);
    let probe_with = async |egress: Egress, host: &str, path| {
        let url = egress.validate(&format!("https://{host}:{}/{path}", server.port)).unwrap();
        metadata_of(&egress, &url, 100).await.map(|metadata| metadata.length)
    };
    let probe = async |insecure, host: &str, path| probe_with(egress(insecure), host, path).await;
    assert_eq!(probe(AllowHttp::No, "good.test", "file").await, Ok(Some(8)));
    // The environment names the certificate, but the options do not.
    let untrusted = probe_with(outbound_trusting(None, AllowHttp::No), "good.test", "file").await;
    assert_eq!(untrusted, Err(SourceError::Unreachable));
    // The address is right, but the certificate is for another name.
    assert_eq!(probe(AllowHttp::Yes, "other.test", "file").await, Err(SourceError::Unreachable));
    assert_eq!(probe(AllowHttp::Yes, "127.0.0.2", "file").await, Err(SourceError::Unreachable));
    // No downgrade to http unless it is allowed.
    assert_eq!(probe(AllowHttp::No, "good.test", "down").await, Err(SourceError::Unreachable));
    assert_eq!(plain.accepted(), 0);
    assert_eq!(probe(AllowHttp::Yes, "good.test", "down").await, Ok(Some(8)));
    assert_eq!(plain.accepted(), 1);
    // A user's headers are not sent in clear text.
    let egress = egress(AllowHttp::Yes);
    let headers = RequestHeaders::parse([("X-Key", "canary")]).unwrap();
    let url =
        egress.validate(&format!("https://good.test:{}/down", server.port)).unwrap().with_headers(headers);
    let fetched = egress.fetch(&url, 100, Duration::from_mins(5)).await.unwrap();
    assert_eq!(fetched.bytes, "the file");
    assert!(plain.requests().iter().all(|request| web::header(request, "x-key").is_none()));
    assert_eq!(plain.accepted(), 2);
}
