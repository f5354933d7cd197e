//! Keys of the keyring that are held elsewhere.

mod files;
#[cfg(feature = "kms")]
mod kms;
#[cfg(feature = "pkcs11")]
mod pkcs11;
mod transit;
