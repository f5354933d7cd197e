//! The service's certificate and key: `serve`, `config check` and SIGHUP read and check them in the same way.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use app::{Check, CheckResult, Clock};
use axum_server::tls_rustls::RustlsConfig;
use domain::text::without_byte_order_mark;
use domain::time::Timestamp;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use thiserror::Error;
use web::CertificateCheck;
use zeroize::Zeroizing;

use crate::config::TlsFiles;

/// How often the dates of the certificate are checked.
const CHECK_INTERVAL: Duration = Duration::from_hours(24);

/// Why a certificate and its key cannot be used.
#[derive(Debug, Error)]
pub(crate) enum CertificateError {
    #[error("{key} {} cannot be read: {source}", path.display())]
    Unreadable { key: &'static str, path: PathBuf, source: io::Error },
    #[error(
        "tls.certificate_file {} has no certificate: it must be PEM, with BEGIN CERTIFICATE in it, the service's own first",
        .0.display()
    )]
    NoCertificate(PathBuf),
    #[error("tls.certificate_file {}: the first certificate in it is damaged", .0.display())]
    Damaged(PathBuf),
    #[error(
        "tls.key_file {} is encrypted with a passphrase: decrypt it (`openssl pkey -in KEY -out PLAIN`), readable by the \
         service alone",
        .0.display()
    )]
    Encrypted(PathBuf),
    #[error("tls.key_file {} has no private key: it must be PEM, with BEGIN PRIVATE KEY in it", .0.display())]
    NoKey(PathBuf),
    #[error("certificate {} and key {} do not match", files.certificate.display(), files.key.display())]
    Mismatch { files: TlsFiles },
    #[error("certificate {} and key {} cannot be used: {source}", files.certificate.display(), files.key.display())]
    Unusable { files: TlsFiles, source: rustls::Error },
}

/// The validity period of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Validity {
    pub(crate) not_before: Timestamp,
    pub(crate) not_after: Timestamp,
}

/// Whether a certificate is valid at a given time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CertificateStatus {
    Valid,
    NotYetValid,
    Expired,
}

impl Validity {
    pub(crate) fn at(self, now: Timestamp) -> CertificateStatus {
        if now < self.not_before {
            CertificateStatus::NotYetValid
        } else if now > self.not_after {
            CertificateStatus::Expired
        } else {
            CertificateStatus::Valid
        }
    }

    /// The readiness check. Never a failure: a probe need not verify the certificate, and taking the only node out of
    /// service would help no client.
    pub(crate) fn check(self, now: Timestamp) -> Check {
        const NAME: &str = "certificate";
        match self.at(now) {
            CertificateStatus::Valid => {
                Check::with(NAME, CheckResult::Pass, format!("valid until {}", self.not_after))
            }
            CertificateStatus::NotYetValid => {
                Check::with(NAME, CheckResult::Warn, format!("not valid before {}", self.not_before))
            }
            CertificateStatus::Expired => {
                Check::with(NAME, CheckResult::Warn, format!("expired {}", self.not_after))
            }
        }
    }

    /// Warns about a certificate that clients reject because of its dates.
    pub(crate) fn warn(self, now: Timestamp, path: &Path) {
        let (not_before, not_after) = (self.not_before, self.not_after);
        match self.at(now) {
            CertificateStatus::Valid => {}
            CertificateStatus::NotYetValid => tracing::warn!(
                certificate = %path.display(), %not_before,
                "the certificate is not valid yet: clients refuse it. Check the clock, or renew the certificate"
            ),
            CertificateStatus::Expired => tracing::warn!(
                certificate = %path.display(), %not_after,
                "the certificate has expired: clients refuse it. Renew it, and send SIGHUP"
            ),
        }
    }
}

/// The certificate in use. Clones share it.
#[derive(Clone)]
pub(crate) struct Tls {
    pub(crate) config: RustlsConfig,
    current: Arc<Mutex<Current>>,
}

struct Current {
    validity: Validity,
    files: TlsFiles,
}

impl Tls {
    pub(crate) fn new((config, validity): (Arc<ServerConfig>, Validity), files: TlsFiles) -> Self {
        let current = Arc::new(Mutex::new(Current { validity, files }));
        Self { config: RustlsConfig::from_config(config), current }
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn validity(&self) -> Validity {
        self.current().validity
    }

    pub(crate) fn files(&self) -> TlsFiles {
        self.current().files.clone()
    }

    /// The readiness check, for the certificate in use at that time.
    pub(crate) fn check(&self) -> CertificateCheck {
        let tls = self.clone();
        CertificateCheck::from_fn(move || tls.validity().check(Clock::system().now()))
    }

    /// Uses another certificate for connections from now on.
    pub(crate) fn replace(&self, (config, validity): (Arc<ServerConfig>, Validity), files: TlsFiles) {
        validity.warn(Clock::system().now(), &files.certificate);
        self.config.reload_from_config(config);
        *self.current() = Current { validity, files };
    }

    /// Warns every day about an expired certificate until it is renewed.
    pub(crate) async fn watch(self) {
        daily(|| {
            let (validity, files) = (self.validity(), self.files());
            validity.warn(Clock::system().now(), &files.certificate);
        })
        .await;
    }
}

/// Calls `check` every day, first after one day: the startup has checked already.
async fn daily(mut check: impl FnMut()) {
    let mut interval = tokio::time::interval(CHECK_INTERVAL);
    interval.tick().await;
    loop {
        interval.tick().await;
        check();
    }
}

/// Reads a certificate chain and its key.
pub(crate) fn read(files: &TlsFiles) -> Result<(Arc<ServerConfig>, Validity), CertificateError> {
    let chain_text = read_file("tls.certificate_file", &files.certificate)?;
    let key_text = Zeroizing::new(read_file("tls.key_file", &files.key)?);
    let damaged = || CertificateError::Damaged(files.certificate.clone());
    let chain = CertificateDer::pem_slice_iter(without_byte_order_mark(&chain_text))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| damaged())?;
    let first = chain.first().ok_or_else(|| CertificateError::NoCertificate(files.certificate.clone()))?;
    let (_, parsed) = x509_parser::parse_x509_certificate(first).map_err(|_| damaged())?;
    let instant = |seconds: i64| Timestamp::from_micros(seconds.saturating_mul(1_000_000));
    let validity = Validity {
        not_before: instant(parsed.validity().not_before.timestamp()),
        not_after: instant(parsed.validity().not_after.timestamp()),
    };
    let has = |text: &[u8]| key_text.windows(text.len()).any(|window| window == text);
    let key = PrivateKeyDer::from_pem_slice(without_byte_order_mark(&key_text)).map_err(|_| {
        if has(b"ENCRYPTED") {
            CertificateError::Encrypted(files.key.clone())
        } else {
            CertificateError::NoKey(files.key.clone())
        }
    })?;
    if has(b"Proc-Type: 4,ENCRYPTED") {
        return Err(CertificateError::Encrypted(files.key.clone()));
    }
    let mut config =
        ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).map_err(|source| {
            match source {
                rustls::Error::InconsistentKeys(_) => CertificateError::Mismatch { files: files.clone() },
                source => CertificateError::Unusable { files: files.clone(), source },
            }
        })?;
    // Clients that support HTTP/2 must not negotiate it.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok((Arc::new(config), validity))
}

fn read_file(key: &'static str, path: &Path) -> Result<Vec<u8>, CertificateError> {
    std::fs::read(path).map_err(|source| CertificateError::Unreadable { key, path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_validity_period_of_a_certificate_is_exact() {
        let at = Timestamp::from_micros;
        let validity = Validity { not_before: at(10), not_after: at(20) };
        let statuses = [9, 10, 20, 21].map(|now| validity.at(at(now)));
        assert_eq!(
            statuses,
            [
                CertificateStatus::NotYetValid,
                CertificateStatus::Valid,
                CertificateStatus::Valid,
                CertificateStatus::Expired
            ]
        );
        let check = [9, 10, 20, 21].map(|now| validity.check(at(now)).result);
        assert_eq!(check, [CheckResult::Warn, CheckResult::Pass, CheckResult::Pass, CheckResult::Warn]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_certificate_is_checked_once_a_day_and_not_at_startup() {
        let checks = Mutex::new(0);
        let after = async |hours| {
            let watching = daily(|| *checks.lock().unwrap() += 1);
            let ended = tokio::time::timeout(Duration::from_hours(hours), watching).await;
            assert!(ended.is_err(), "it never ends");
            std::mem::take(&mut *checks.lock().unwrap())
        };
        for (hours, expected) in [(23, 0), (25, 1), (47, 1), (49, 2), (24 * 7 + 1, 7)] {
            assert_eq!(after(hours).await, expected, "after {hours} hours");
        }
    }
}
