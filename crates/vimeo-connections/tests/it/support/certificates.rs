//! Self-signed certificates.

use std::path::Path;
use std::process::Command;

use crate::support::harness::printed;

/// Creates a self-signed certificate and its key, in `NAME.pem` and `NAME.key`.
pub(crate) fn make_certificate(directory: &Path, name: &str) {
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
        .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"])
        .args(["-keyout", &format!("{name}.key"), "-out", &format!("{name}.pem")])
        .current_dir(directory)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", printed(&made));
}

/// Creates a certificate authority in `AUTHORITY.pem`, and with it a certificate for this machine and its key in
/// `NAME.pem` and `NAME.key`.
pub(crate) fn make_certificate_of(directory: &Path, authority: &str, name: &str) {
    make_certificate(directory, authority);
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
        .args(["-CA", &format!("{authority}.pem"), "-CAkey", &format!("{authority}.key")])
        .args(["-subj", "/CN=service", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-keyout", &format!("{name}.key"), "-out", &format!("{name}.pem")])
        .current_dir(directory)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", printed(&made));
}
