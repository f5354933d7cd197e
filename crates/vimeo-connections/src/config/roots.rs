//! The root certificates that the service trusts as a TLS client: for Vimeo, sources, webhooks and PostgreSQL.
//!
//! Read only from `ca_file` or the system's bundle. Libraries would use `SSL_CERT_FILE` and `SSL_CERT_DIR` from the
//! environment.

use std::path::Path;

use domain::text::without_byte_order_mark;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

/// Bundles of root certificates on common systems.
const SYSTEM_BUNDLES: [&str; 7] = [
    "/etc/ssl/certs/ca-certificates.crt", // Debian, Alpine, Arch, NixOS
    "/etc/pki/tls/certs/ca-bundle.crt",   // Fedora, RHEL
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", // RHEL
    "/etc/ssl/ca-bundle.pem",             // SUSE
    "/var/lib/ca-certificates/ca-bundle.pem", // SUSE
    "/etc/ssl/cert.pem",                  // Alpine, macOS, BSD
    "/usr/local/share/certs/ca-root-nss.crt", // FreeBSD
];

/// TLS configuration for a client that trusts the certificates in `ca_file`, else the system's; `None` if there are none.
pub(crate) fn client_tls(ca_file: Option<&Path>) -> Result<Option<ClientConfig>, String> {
    match ca_file {
        Some(path) => of_file(path).map(Some),
        None => Ok(of_system()),
    }
}

/// TLS configuration for clients that trust the certificates in `ca_file`, all of which must be valid.
pub(super) fn of_file(path: &Path) -> Result<ClientConfig, String> {
    let read = |error: &dyn std::fmt::Display| format!("{} cannot be read: {error}", path.display());
    let text = std::fs::read(path).map_err(|error| read(&error))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(without_byte_order_mark(&text)) {
        let certificate = certificate.map_err(|error| read(&error))?;
        roots.add(certificate).map_err(|error| read(&error))?;
    }
    if roots.is_empty() {
        return Err(format!("{} contains no PEM certificate", path.display()));
    }
    Ok(trusting(roots))
}

/// TLS configuration for clients that trust the system's certificates, as far as they are valid; `None` if there are
/// none.
pub(super) fn of_system() -> Option<ClientConfig> {
    SYSTEM_BUNDLES.iter().find_map(|path| {
        let certificates = CertificateDer::pem_file_iter(path).ok()?;
        let mut roots = RootCertStore::empty();
        // Invalid ones are ignored: no server could use them.
        roots.add_parsable_certificates(certificates.filter_map(Result::ok));
        (!roots.is_empty()).then(|| trusting(roots))
    })
}

fn trusting(roots: RootCertStore) -> ClientConfig {
    ClientConfig::builder().with_root_certificates(roots).with_no_client_auth()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_a_certificate_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ca.pem");
        for (content, part) in [
            (None, "cannot be read"),
            (Some(""), "contains no PEM certificate"),
            (Some("nonsense"), "contains no PEM certificate"),
            (Some("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"), "cannot be read"),
            (Some("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), "cannot be read"),
        ] {
            if let Some(content) = content {
                std::fs::write(&path, content).unwrap();
            }
            let error = of_file(&path).unwrap_err();
            assert!(error.contains(part) && error.contains("ca.pem"), "{error}");
        }
    }
}
