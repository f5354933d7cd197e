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
