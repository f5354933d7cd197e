//! The file of profiles: URLs and API keys by name. Refused if other users can read it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use thiserror::Error;
use zeroize::Zeroizing;

/// Below the user's directory of configuration.
const PLACE: &str = "vimeo-connections/profiles.toml";
const FILE_MAX_BYTES: u64 = 64 * 1024;
/// What the group and others may do.
const OTHERS: u32 = 0o077;
const ROOT: u32 = 0;

/// A service and a key of it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Profile {
    pub(crate) url: String,
    pub(crate) api_key: Option<Zeroizing<String>>,
    /// Relative to the file's directory.
    pub(crate) ca_file: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Profiles {
    #[serde(default)]
    profiles: BTreeMap<String, Profile>,
}

/// Why a profile cannot be used. Never contains the content of the file.
#[derive(Debug, Error)]
pub(crate) enum ProfileError {
    #[error("there is no place for profiles: neither XDG_CONFIG_HOME nor HOME is set")]
    NoPlace,
    #[error("{} cannot be read", path.display())]
    Unreadable {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(
        "{} can be read by other users (mode {mode:04o}), and contains API keys: run `chmod 600` on it",
        path.display()
    )]
    Exposed { path: PathBuf, mode: u32 },
    #[error("{} belongs to another user, who can change it: run `chown` on it", .0.display())]
    ForeignOwner(PathBuf),
    #[error("{} is larger than 64 KiB", .0.display())]
    TooLarge(PathBuf),
    #[error(
        "{}, line {line}: not a valid file of profiles; each needs [profiles.NAME] and url = \"…\", \
         and may have api_key = \"…\" and ca_file = \"…\"",
        path.display()
    )]
    Malformed { path: PathBuf, line: usize },
    #[error("{} has no profile of this name; it has: {names}", path.display())]
    Unknown { path: PathBuf, names: String },
}

/// The profile of this name. `config_home`: the user's directory of configuration.
pub(super) fn find(name: &str, config_home: Option<&Path>) -> Result<Profile, ProfileError> {
    let path = config_home.ok_or(ProfileError::NoPlace)?.join(PLACE);
    let text = read(&path)?;
    let mut profiles = parse(&text).map_err(|line| ProfileError::Malformed { path: path.clone(), line })?;
    let Some(mut profile) = profiles.remove(name) else {
        let names = profiles.into_keys().collect::<Vec<_>>().join(", ");
        let names = if names.is_empty() { "none".to_owned() } else { names };
        return Err(ProfileError::Unknown { path, names });
    };
    let directory = path.parent().unwrap_or(Path::new(""));
    profile.ca_file = profile.ca_file.map(|ca_file| directory.join(ca_file));
    Ok(profile)
}

/// The open file is checked, not the path: it cannot be replaced in between.
fn read(path: &Path) -> Result<Zeroizing<String>, ProfileError> {
    let unreadable = |source| ProfileError::Unreadable { path: path.to_owned(), source };
    let file = File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    check(metadata.uid(), metadata.mode(), rustix::process::geteuid().as_raw(), path)?;
    let mut text = Zeroizing::new(String::new());
    file.take(FILE_MAX_BYTES + 1).read_to_string(&mut text).map_err(unreadable)?;
    if text.len() as u64 > FILE_MAX_BYTES {
        return Err(ProfileError::TooLarge(path.to_owned()));
    }
    Ok(text)
}

fn check(owner: u32, mode: u32, user: u32, path: &Path) -> Result<(), ProfileError> {
    if mode & OTHERS != 0 {
        return Err(ProfileError::Exposed { path: path.to_owned(), mode: mode & 0o777 });
    }
    if owner != user && owner != ROOT && user != ROOT {
        return Err(ProfileError::ForeignOwner(path.to_owned()));
    }
    Ok(())
}

/// The profiles, or the first line that is wrong. The parser's own message would repeat the line, perhaps with a key.
fn parse(text: &str) -> Result<BTreeMap<String, Profile>, usize> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    toml::from_str::<Profiles>(text).map(|read| read.profiles).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_are_read_and_nothing_else_is_accepted() {
        let text = "# mine\n[profiles.a]\nurl = \"https://a\"\napi_key = \"k\"\n[profiles.b]\nurl = \"https://b\"\nca_file = \"ca.pem\"\n";
        let profiles = parse(text).ok().unwrap();
        assert_eq!(profiles["a"].api_key.as_deref().map(String::as_str), Some("k"));
        assert_eq!((profiles["b"].api_key.is_none(), profiles["b"].url.as_str()), (true, "https://b"));
        assert!(parse("").ok().unwrap().is_empty());
        for (text, line) in [
            ("[profiles.a]\nurl = 5\n", 2),
            ("[profiles.a]\nurl = \"https://a\"\nkey = \"canary\"\n", 3),
            ("[profile.a]\n", 1),
            ("\n\nnonsense\n", 3),
        ] {
            assert_eq!(parse(text).err(), Some(line), "{text}");
        }
    }

    #[test]
    fn a_file_that_others_can_read_or_own_is_refused() {
        const USER: u32 = 1000;
        let path = Path::new("profiles.toml");
        for (owner, mode, user, is_good) in [
            (USER, 0o600, USER, true),
            (USER, 0o400, USER, true),
            (ROOT, 0o600, USER, true),
            (USER, 0o600, ROOT, true),
            (USER, 0o640, USER, false),
            (USER, 0o604, USER, false),
            (USER, 0o620, USER, false),
            (1001, 0o600, USER, false),
        ] {
            assert_eq!(check(owner, mode, user, path).is_ok(), is_good, "{owner} {mode:o}");
        }
    }
}
