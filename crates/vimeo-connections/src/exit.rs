//! Exit statuses. The type of an error decides, never its text.

use std::error::Error;
use std::io;

use app::{AccountError, BackupError, EngineMigrationError, OpenError, RestoreError, StartError};
use key_holders::FailureKind;

use crate::activation::ActivationError;
use crate::cli::UsageError;
use crate::client::{ClientError, TargetError};
use crate::config::ConfigError;
use crate::keyring_source::KeyringSourceError;
use crate::prepare::PrepareError;
use crate::serve::ServeError;
use crate::telemetry;
use crate::wiring::WiringError;

/// Why the process ends, as far as a supervisor can act on it. 64 to 78 are the values of `sysexits.h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ExitStatus {
    /// Any other failure.
    Failure,
    /// The command line is not valid.
    Usage,
    /// The database, the holder of the keyring's keys or the remote service cannot be used now; later it may.
    Unavailable,
    /// The state of the database is unknown, or it was migrated away. A restart recovers it or reports where it is.
    DatabaseFailed,
    /// No connection was found unhealthy, and some could not be verified.
    NotVerified,
    /// The remote service does not accept the API key, or the key lacks a scope; or the same for the holder of the keyring's
    /// keys and the service's credentials there.
    NotPermitted,
    /// The configuration, or a file that it names, must be changed first; a restart does not help.
    Misconfigured,
    /// A second signal, or shutdown took too long.
    Interrupted,
}

impl ExitStatus {
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Failure => 1,
            Self::Usage => 2,
            Self::Unavailable => 69,
            Self::DatabaseFailed => 70,
            Self::NotVerified => 75,
            Self::NotPermitted => 77,
            Self::Misconfigured => 78,
            Self::Interrupted => 130,
        }
    }

    /// The status of an error: that of the first error in its chain of causes whose type has one.
    pub(crate) fn of(error: &(dyn Error + 'static)) -> Self {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(status) = of_type(error) {
                return status;
            }
            next = error.source();
        }
        Self::Failure
    }
}

/// Shown at the end of `--help`.
pub(crate) const HELP: &str = "\
Exit status:
  0    done
  1    failed for another reason; connections verify: a connection is unhealthy
  2    the command line is not valid
  69   the database cannot be used now: unreachable, locked, read-only, full or damaged; or the
       remote service: unreachable, overloaded or limiting requests; or the holder of the
       keyring's keys (keyring.holder): unreachable, sealed or overloaded
  70   serve: the state of the database is unknown, or it was migrated away; restart
  75   connections verify: no connection is unhealthy, but one could not be verified
  77   the remote service does not accept the API key, or the key lacks a scope; or the holder
       of the keyring's keys refuses access
  78   the configuration, or a file that it names, must be changed first
  130  interrupted, or not stopped in time (143 after SIGTERM: upload)";

/// An error whose type decides the exit status.
pub(crate) trait HasExitStatus {
    fn exit_status(&self) -> ExitStatus;
}

/// Flushes the log and ends the process with a status from 0 to 255.
#[expect(clippy::disallowed_methods, reason = "the one place that ends the process")]
pub(crate) fn now(status: u8) -> ! {
    telemetry::finish();
    std::process::exit(i32::from(status))
}

/// Transparent library errors are found in the error that contains them.
fn of_type(error: &(dyn Error + 'static)) -> Option<ExitStatus> {
    fn of<E: HasExitStatus + Error + 'static>(error: &(dyn Error + 'static)) -> Option<ExitStatus> {
        error.downcast_ref::<E>().map(HasExitStatus::exit_status)
    }
    of::<ConfigError>(error)
        .or_else(|| of::<UsageError>(error))
        .or_else(|| of::<TargetError>(error))
        .or_else(|| of::<ClientError>(error))
        .or_else(|| of::<WiringError>(error))
        .or_else(|| of::<KeyringSourceError>(error))
        .or_else(|| of::<PrepareError>(error))
        .or_else(|| of::<ActivationError>(error))
        .or_else(|| of::<ServeError>(error))
        .or_else(|| of::<StartError>(error))
        .or_else(|| of::<OpenError>(error))
        .or_else(|| match error.downcast_ref()? {
            BackupError::Open(error) => Some(error.exit_status()),
            _ => None,
        })
        .or_else(|| match error.downcast_ref()? {
            EngineMigrationError::Open(error) => Some(error.exit_status()),
            _ => None,
        })
        .or_else(|| match error.downcast_ref()? {
            RestoreError::Backup(BackupError::Open(error)) => Some(error.exit_status()),
            _ => None,
        })
        .or_else(|| match error.downcast_ref()? {
            AccountError::Other(error) => of_app_error(error),
            _ => None,
        })
        .or_else(|| of_app_error(error.downcast_ref()?))
}

fn of_app_error(error: &app::Error) -> Option<ExitStatus> {
    match error {
        app::Error::StoreUnavailable(_)
        | app::Error::KeyringLacksKey
        | app::Error::Overloaded
        | app::Error::OutcomeUnknown => Some(ExitStatus::Unavailable),
        _ => None,
    }
}

impl HasExitStatus for ConfigError {
    fn exit_status(&self) -> ExitStatus {
        ExitStatus::Misconfigured
    }
}

impl HasExitStatus for ActivationError {
    fn exit_status(&self) -> ExitStatus {
        ExitStatus::Misconfigured
    }
}

impl HasExitStatus for WiringError {
    fn exit_status(&self) -> ExitStatus {
        match self {
            Self::NoKeyringToRestoreWith(_)
            | Self::OperatorUrl(_)
            | Self::OperatorSecretFile { .. }
            | Self::OperatorSecret { .. }
            | Self::OidcSecretFile { .. }
            | Self::OidcSecret { .. }
            | Self::Oidc(_)
            | Self::Vimeo(_)
            | Self::Egress(_) => ExitStatus::Misconfigured,
            Self::Keyring(error) => error.exit_status(),
            Self::Start(error) => error.exit_status(),
            Self::Open(error) => error.exit_status(),
        }
    }
}

impl HasExitStatus for KeyringSourceError {
    fn exit_status(&self) -> ExitStatus {
        match self {
            Self::Holder(error) => match error.kind() {
                FailureKind::Unavailable => ExitStatus::Unavailable,
                FailureKind::Forbidden => ExitStatus::NotPermitted,
                FailureKind::KeyDisabled
                | FailureKind::KeyNotFound
                | FailureKind::WrongContext
                | FailureKind::Misconfigured => ExitStatus::Misconfigured,
            },
            Self::Value
            | Self::NoKeyringYet(_)
            | Self::KeyringLost { .. }
            | Self::Damaged(_)
            | Self::File(_)
            | Self::Sealed { .. }
            | Self::Decrypted { .. }
            | Self::OtherHolder { .. } => ExitStatus::Misconfigured,
            Self::Open(error) => error.exit_status(),
        }
    }
}

impl HasExitStatus for StartError {
    fn exit_status(&self) -> ExitStatus {
        match self {
            Self::WrongKeyring { .. } => ExitStatus::Misconfigured,
            Self::Open(error) => error.exit_status(),
            Self::ServiceSecret | Self::Store(_) => ExitStatus::Unavailable,
        }
    }
}

impl HasExitStatus for OpenError {
    fn exit_status(&self) -> ExitStatus {
        match self {
            // `database_url` names something that must not be served, or not by this version.
            Self::Url(_)
            | Self::Foreign(_)
            | Self::ForeignSchema
            | Self::TooNew { .. }
            | Self::MigrationMismatch { .. }
            | Self::MigrationsPending { .. }
            | Self::EngineMigrationRunning { .. }
            | Self::MigratedAway { .. }
            | Self::UnfinishedCopy { .. }
            | Self::ServerConfiguration(_) => ExitStatus::Misconfigured,
            Self::Io { .. }
            | Self::DiskFull { .. }
            | Self::Locked(_)
            | Self::ReadOnly(_)
            | Self::Damaged { .. }
            | Self::Server(_)
            | Self::Engine(_) => ExitStatus::Unavailable,
        }
    }
}

impl HasExitStatus for PrepareError {
    fn exit_status(&self) -> ExitStatus {
        match self {
            Self::Listen { source, .. } => of_listening(source.kind()),
            Self::Certificate(_)
            | Self::Spool { .. }
            | Self::KeyFile { .. }
            | Self::Key { .. }
            | Self::BootstrapKey { .. }
            | Self::Exposed(_)
            | Self::Socket(_)
            | Self::ExposedSocket(_) => ExitStatus::Misconfigured,
            Self::Wiring(error) => error.exit_status(),
        }
    }
}

impl HasExitStatus for ServeError {
    fn exit_status(&self) -> ExitStatus {
        match self {
            Self::KeyFile { .. } | Self::Key { .. } => ExitStatus::Misconfigured,
        }
    }
}

/// An address in use may be free at the next start. An address that this machine does not have, or may not use, is a
/// configuration error.
fn of_listening(kind: io::ErrorKind) -> ExitStatus {
    match kind {
        io::ErrorKind::AddrNotAvailable | io::ErrorKind::PermissionDenied => ExitStatus::Misconfigured,
        _ => ExitStatus::Failure,
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use key_holders::HolderError;
    use thiserror::Error;

    use super::*;

    #[derive(Debug, Error)]
    #[error("around it")]
    struct Around(#[source] WiringError);

    fn io(kind: io::ErrorKind) -> io::Error {
        kind.into()
    }

    #[test]
    fn the_type_of_an_error_decides_the_status() {
        let path = || PathBuf::from("x");
        let address = "192.0.2.1:1".parse().unwrap();
        let listen = |kind| PrepareError::Listen { key: "listen", address, source: io(kind) };
        let no_keyring = || KeyringSourceError::NoKeyringYet(path());
        let away = HolderError::Unavailable { holder: String::new(), what: String::new() };
        let refuses = HolderError::Forbidden { holder: String::new(), what: String::new() };
        let cases: [(Box<dyn Error>, u8); 18] = [
            (Box::new(no_keyring()), 78),
            (Box::new(WiringError::Keyring(KeyringSourceError::Holder(away))), 69),
            (Box::new(WiringError::Keyring(KeyringSourceError::Holder(refuses))), 77),
            (Box::new(WiringError::NoKeyringToRestoreWith(path())), 78),
            (Box::new(Around(WiringError::Keyring(no_keyring()))), 78),
            (Box::new(WiringError::Start(StartError::ServiceSecret)), 69),
            (Box::new(WiringError::Start(OpenError::ForeignSchema.into())), 78),
            (Box::new(WiringError::Open(OpenError::Server("away".into()))), 69),
            (Box::new(OpenError::Io { path: path(), source: io(io::ErrorKind::StorageFull) }), 69),
            (Box::new(OpenError::Damaged { path: path(), source: "x".into() }), 69),
            (Box::new(OpenError::MigratedAway { path: path(), to: String::new() }), 78),
            (Box::new(BackupError::Open(OpenError::Engine("locked".into()))), 69),
            (Box::new(BackupError::OtherEngine), 1),
            (Box::new(RestoreError::Start(StartError::ServiceSecret)), 69),
            (Box::new(app::Error::StoreUnavailable("away".into())), 69),
            (Box::new(app::Error::ConnectionNotFound), 1),
            (Box::new(listen(io::ErrorKind::AddrNotAvailable)), 78),
            (Box::new(listen(io::ErrorKind::AddrInUse)), 1),
        ];
        for (error, code) in cases {
            assert_eq!(ExitStatus::of(&*error).code(), code, "{error:?}");
        }
    }

    /// Only the type counts, even if the text is the same.
    #[test]
    fn the_text_of_an_error_does_not_decide_the_status() {
        let text: Box<dyn Error> = KeyringSourceError::NoKeyringYet(PathBuf::from("x")).to_string().into();
        assert_eq!(ExitStatus::of(&*text), ExitStatus::Failure);
    }

    #[test]
    fn the_help_names_every_status() {
        use ExitStatus::{
            DatabaseFailed, Failure, Interrupted, Misconfigured, NotPermitted, NotVerified, Unavailable,
            Usage,
        };
        let all = [
            Failure,
            Usage,
            Unavailable,
            DatabaseFailed,
            NotVerified,
            NotPermitted,
            Misconfigured,
            Interrupted,
        ];
        for status in all {
            let line = format!("\n  {:<5}", status.code());
            assert!(HELP.contains(&line), "{status:?}");
        }
    }
}
