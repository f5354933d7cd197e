//! The key in a keyring file.

use std::fs;
use std::path::Path;

/// The base64 of the only key in the keyring file.
pub(crate) fn keyring_key(directory: &Path) -> String {
    let text = fs::read_to_string(directory.join("vimeo-connections.keyring")).unwrap();
    text.rsplit('"').nth(1).unwrap().to_owned()
}
