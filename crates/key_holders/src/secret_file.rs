//! Secrets in files: a token, a PIN.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use zeroize::Zeroizing;

use crate::error::Failure;

/// Far more than any token.
const MAX_BYTES: u64 = 64 * 1024;

/// The text of a file, without the space around it. Wiped on drop.
pub(crate) struct FileSecret(Zeroizing<String>);

impl FileSecret {
    /// Reads the file for `key`, a configuration key.
    pub(crate) fn read(key: &str, path: &Path) -> Result<Self, Failure> {
        let mut text = Zeroizing::new(String::new());
        let read = File::open(path).and_then(|file| file.take(MAX_BYTES).read_to_string(&mut text));
        read.map_err(|error| {
            Failure::misconfigured(format!("{key} {} cannot be read: {error}", path.display()))
        })?;
        let trimmed = text.trim();
        if trimmed.is_empty() {
            return Err(Failure::misconfigured(format!("{key} {} is empty", path.display())));
        }
        Ok(Self(Zeroizing::new(trimmed.to_owned())))
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for FileSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FileSecret(…)")
    }
}
