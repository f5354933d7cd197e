//! Why a holder did not encrypt or decrypt.

use thiserror::Error;

/// A holder did not encrypt or decrypt a key: one variant for each thing that an operator does next. The texts have no
/// secrets.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum HolderError {
    /// No connection, no answer in time, sealed, overloaded, or the token is not present. Later it may work.
    #[error("{holder} cannot be used now: {what}")]
    Unavailable {
        /// Which holder and key.
        holder: String,
        /// What happened, and what to do.
        what: String,
    },
    /// The holder does not accept the service's credentials, or they lack a permission.
    #[error("{holder} refuses access: {what}")]
    Forbidden {
        /// Which holder and key.
        holder: String,
        /// What happened, and what to do.
        what: String,
    },
    /// The key exists and may not be used: disabled, scheduled for deletion, or its version was retired.
    #[error("{holder} is disabled: {what}")]
    KeyDisabled {
        /// Which holder and key.
        holder: String,
        /// What happened, and what to do.
        what: String,
    },
    /// The holder has no such key.
    #[error("{holder} does not exist: {what}")]
    KeyNotFound {
        /// Which holder and key.
        holder: String,
        /// What happened, and what to do.
        what: String,
    },
    /// The ciphertext was changed, or was encrypted by another key or for another key of the keyring.
    #[error("{holder} cannot decrypt what is in the keyring: {what}")]
    WrongContext {
        /// Which holder and key.
        holder: String,
        /// What happened, and what to do.
        what: String,
    },
    /// The configuration, or a file that it names, must be changed.
    #[error("{holder}: {what}")]
    Misconfigured {
        /// Which holder and key.
        holder: String,
        /// What happened, and what to do.
        what: String,
    },
}

/// The variants of [`HolderError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// Wait and retry.
    Unavailable,
    /// Give a permission or valid credentials.
    Forbidden,
    /// Enable the key.
    KeyDisabled,
    /// Name an existing key.
    KeyNotFound,
    /// Restore the keyring file.
    WrongContext,
    /// Change the configuration.
    Misconfigured,
}

impl HolderError {
    /// What an operator does next.
    pub const fn kind(&self) -> FailureKind {
        match self {
            Self::Unavailable { .. } => FailureKind::Unavailable,
            Self::Forbidden { .. } => FailureKind::Forbidden,
            Self::KeyDisabled { .. } => FailureKind::KeyDisabled,
            Self::KeyNotFound { .. } => FailureKind::KeyNotFound,
            Self::WrongContext { .. } => FailureKind::WrongContext,
            Self::Misconfigured { .. } => FailureKind::Misconfigured,
        }
    }
}

/// An error before it is known which holder it is about.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) kind: FailureKind,
    pub(crate) what: String,
}

impl Failure {
    pub(crate) fn new(kind: FailureKind, what: impl Into<String>) -> Self {
        Self { kind, what: what.into() }
    }

    pub(crate) fn unavailable(what: impl Into<String>) -> Self {
        Self::new(FailureKind::Unavailable, what)
    }

    pub(crate) fn misconfigured(what: impl Into<String>) -> Self {
        Self::new(FailureKind::Misconfigured, what)
    }

    pub(crate) fn wrong_context(key_id: &str) -> Self {
        Self::new(
            FailureKind::WrongContext,
            format!(
                "the entry {key_id} was changed, or was encrypted by another key or as another entry. Restore the \
                 keyring file from its backup"
            ),
        )
    }

    pub(crate) fn of(self, holder: &str) -> HolderError {
        let (holder, what) = (holder.to_owned(), self.what);
        match self.kind {
            FailureKind::Unavailable => HolderError::Unavailable { holder, what },
            FailureKind::Forbidden => HolderError::Forbidden { holder, what },
            FailureKind::KeyDisabled => HolderError::KeyDisabled { holder, what },
            FailureKind::KeyNotFound => HolderError::KeyNotFound { holder, what },
            FailureKind::WrongContext => HolderError::WrongContext { holder, what },
            FailureKind::Misconfigured => HolderError::Misconfigured { holder, what },
        }
    }
}
