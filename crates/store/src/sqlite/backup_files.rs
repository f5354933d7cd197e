//! The file of a backup: a readable line, followed by the bytes of a database.
//!
//! In every format the line ends with a hash of itself. The rest of it describes what follows.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read, Write};
use std::path::Path;

use domain::secret::KeyringKeyId;
use sha2::{Digest as _, Sha256};

use crate::hex::hex;
use crate::{BackupError, BackupHeader};

const MAGIC: &str = "vimeo-connections-backup ";
const FORMAT: &str = "1";
/// Before the line's own hash.
const CHECK: &str = " check=";
/// The longest line that is read: several hundred keyring keys.
const HEADER_MAX_BYTES: u64 = 16 * 1024;
const CHUNK_BYTES: usize = 256 * 1024;

/// The number of bytes, and their hash.
pub(super) type Content = (u64, String);

/// Writes the file: the line, then the database. Its length and hash in the header must be those of the database.
pub(super) fn write(header: &BackupHeader, database: &Path, file: &Path) -> Result<Content, std::io::Error> {
    let mut file = std::fs::OpenOptions::new().write(true).open(file)?;
    file.write_all(line(header).as_bytes())?;
    each_chunk(File::open(database)?, |chunk| file.write_all(chunk))
}

/// Reads the line, and compares the length and the hash of what follows. Nothing is written.
pub(super) fn verify(path: &Path) -> Result<BackupHeader, BackupError> {
    let (header, content) = open(path)?;
    let found = each_chunk(content, |_| Ok(())).map_err(|error| not_read(path, error))?;
    compare(&header, found, path)?;
    Ok(header)
}

/// Copies the database out of the file. It may have changed since it was verified, and is compared again.
pub(super) fn unpack(path: &Path, target: &Path) -> Result<BackupHeader, BackupError> {
    let (header, content) = open(path)?;
    let failed = |error| BackupError::NotRestored { path: target.to_owned(), source: Box::new(error) };
    let mut file = std::fs::OpenOptions::new().write(true).open(target).map_err(failed)?;
    let mut written = Ok(());
    let found = each_chunk(content, |chunk| {
        if written.is_ok() {
            written = file.write_all(chunk);
        }
        Ok(())
    });
    written.map_err(failed)?;
    compare(&header, found.map_err(|error| not_read(path, error))?, path)?;
    Ok(header)
}

/// The length and the hash of a file.
pub(super) fn content_of(path: &Path) -> Result<Content, std::io::Error> {
    each_chunk(File::open(path)?, |_| Ok(()))
}

/// The header, and what follows it.
fn open(path: &Path) -> Result<(BackupHeader, BufReader<File>), BackupError> {
    // Opening a pipe would wait for a writer.
    let metadata = std::fs::metadata(path).map_err(|error| not_read(path, error))?;
    if !metadata.is_file() {
        let kind = if metadata.is_dir() { "it is a directory" } else { "it is not a regular file" };
        return Err(BackupError::NotRead { path: path.to_owned(), source: kind.into() });
    }
    let file = File::open(path).map_err(|error| not_read(path, error))?;
    let mut reader = BufReader::with_capacity(CHUNK_BYTES, file);
    let mut line = Vec::new();
    reader
        .by_ref()
        .take(HEADER_MAX_BYTES)
        .read_until(b'\n', &mut line)
        .map_err(|error| not_read(path, error))?;
    let header = read_line(&line, path)?;
    let (expected, length) = ((line.len() as u64).saturating_add(header.bytes), metadata.len());
    if length != expected {
        let what = match length.checked_sub(expected) {
            Some(more) => format!("{more} bytes were appended to it"),
            None => format!("it is truncated: it has {length} of {expected} bytes"),
        };
        return Err(damaged(path, what));
    }
    Ok((header, reader))
}

/// The line in the form that is written.
fn line(header: &BackupHeader) -> String {
    let keys: Vec<_> = header.keyring_keys.iter().map(|key| key.0.as_str()).collect();
    let said = format!(
        "{MAGIC}format={FORMAT} schema={} made_at={} keyring_keys={} bytes={} sha256={}",
        header.schema,
        header.made_at,
        keys.join(","),
        header.bytes,
        header.sha256
    );
    let check = hex(Sha256::digest(&said));
    format!("{said}{CHECK}{check}\n")
}

fn read_line(line: &[u8], path: &Path) -> Result<BackupHeader, BackupError> {
    if !line.starts_with(MAGIC.as_bytes()) {
        return Err(BackupError::Foreign(path.to_owned()));
    }
    let bad = || damaged(path, "its first line is not as it was written".to_owned());
    let text = std::str::from_utf8(line).ok().and_then(|text| text.strip_suffix('\n')).ok_or_else(bad)?;
    let (said, check) = text.rsplit_once(CHECK).ok_or_else(bad)?;
    if hex(Sha256::digest(said)) != check {
        return Err(bad());
    }
    let value = |name: &str| said.split(' ').find_map(|field| field.strip_prefix(name)?.strip_prefix('='));
    let format = value("format").ok_or_else(bad)?;
    if format != FORMAT {
        let format = format.chars().take(20).collect::<String>().escape_default().to_string();
        return Err(BackupError::NewerFormat { path: path.to_owned(), format });
    }
    let keys = value("keyring_keys").ok_or_else(bad)?.split(',').filter(|key| !key.is_empty());
    let header = BackupHeader {
        schema: value("schema").and_then(|text| text.parse().ok()).ok_or_else(bad)?,
        made_at: value("made_at").map(str::to_owned).ok_or_else(bad)?,
        keyring_keys: keys.map(|key| KeyringKeyId(key.to_owned())).collect(),
        bytes: value("bytes").and_then(|text| text.parse().ok()).ok_or_else(bad)?,
        sha256: value("sha256").map(str::to_owned).ok_or_else(bad)?,
    };
    // What is shown to the operator is plain, and nothing is in the line that was not read.
    if self::line(&header).as_bytes() != line || !said.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return Err(bad());
    }
    Ok(header)
}

fn compare(header: &BackupHeader, (bytes, sha256): Content, path: &Path) -> Result<(), BackupError> {
    if bytes != header.bytes || sha256 != header.sha256 {
        return Err(damaged(path, "its bytes are not those that were written (SHA-256)".to_owned()));
    }
    Ok(())
}

fn each_chunk(
    mut reader: impl Read,
    mut take: impl FnMut(&[u8]) -> std::io::Result<()>,
) -> std::io::Result<Content> {
    let (mut hash, mut bytes) = (Sha256::new(), 0);
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        let count = match reader.read(&mut buffer) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            read => read?,
        };
        let chunk = buffer.get(..count).unwrap_or_default();
        if chunk.is_empty() {
            return Ok((bytes, hex(hash.finalize())));
        }
        hash.update(chunk);
        take(chunk)?;
        bytes += count as u64;
    }
}

pub(super) fn damaged(path: &Path, what: String) -> BackupError {
    BackupError::Damaged { path: path.to_owned(), what }
}

fn not_read(path: &Path, error: std::io::Error) -> BackupError {
    BackupError::NotRead { path: path.to_owned(), source: Box::new(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> BackupHeader {
        BackupHeader {
            schema: 2,
            made_at: "2026-01-31T09:05:00.042Z".to_owned(),
            keyring_keys: vec![KeyringKeyId("k_1".to_owned()), KeyringKeyId("k_2".to_owned())],
            bytes: 8192,
            sha256: hex([7; 32]),
        }
    }

    #[test]
    fn a_header_is_read_as_it_was_written() {
        let line = line(&header());
        assert!(line.starts_with(
            "vimeo-connections-backup format=1 schema=2 made_at=2026-01-31T09:05:00.042Z keyring_keys=k_1,k_2 \
             bytes=8192 sha256=0707"
        ));
        assert_eq!(read_line(line.as_bytes(), Path::new("x")).unwrap(), header());
        let none = BackupHeader { keyring_keys: Vec::new(), ..header() };
        assert_eq!(read_line(self::line(&none).as_bytes(), Path::new("x")).unwrap(), none);
    }

    #[test]
    fn no_bit_of_a_header_can_be_changed_and_no_byte_be_missing() {
        let line = line(&header()).into_bytes();
        for at in 0..line.len() {
            for bit in 0..8 {
                let mut altered = line.clone();
                altered[at] ^= 1 << bit;
                read_line(&altered, Path::new("x")).unwrap_err();
            }
            read_line(&line[..at], Path::new("x")).unwrap_err();
        }
    }

    #[test]
    fn a_header_that_says_more_than_is_read_or_what_no_terminal_should_show_is_refused() {
        let checked = |said: &str| format!("{said}{CHECK}{}\n", hex(Sha256::digest(said)));
        let line = line(&header());
        let said = line.rsplit_once(CHECK).unwrap().0;
        assert_eq!(checked(said), line);
        for other in [
            format!("{said} more=1"),
            said.replace("schema=2", "schema=+2"),
            said.replace("schema=2", "schema=02"),
            said.replace("schema=2", "schema=99999999999"),
            said.replace("2026", "\u{1b}[31m"),
            said.replace("bytes=8192", ""),
        ] {
            let refused = read_line(checked(&other).as_bytes(), Path::new("x"));
            assert!(matches!(refused, Err(BackupError::Damaged { .. })), "{other}: {refused:?}");
        }
        let newer = checked(&said.replace("format=1 schema=2", "format=2 anything"));
        let refused = read_line(newer.as_bytes(), Path::new("x"));
        assert!(matches!(refused, Err(BackupError::NewerFormat { .. })), "{refused:?}");
    }
}
