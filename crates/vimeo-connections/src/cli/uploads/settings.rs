//! The settings of the video as options, with the rules of the API.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use domain::moment::{Moment, MomentError};
use domain::publication::{Publication, Thumbnail};
use domain::upload::{
    Comments, ContentRating, Domain, EMBED_DOMAINS_MAX, Embed, Folder, FolderName, License, Locale, Privacy,
    SettingsError, TextError, UploadSettings, VIDEO_PASSWORD_MAX_CHARS, VideoDescription, VideoName,
    VideoPassword, View,
};
use domain::validation::ValidationErrors;
use domain::video::{FolderNumber, FolderUriError};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::cli::{BoxError, credentials};

/// Longer than any password with its line end.
const PASSWORD_FILE_MAX_BYTES: u64 = 4 * VIDEO_PASSWORD_MAX_CHARS as u64 + 2;

/// The settings of the video.
#[derive(Args)]
pub(super) struct SettingsArguments {
    /// Its name [default: the file's, without its extension]
    #[arg(long, value_parser = VideoName::parse)]
    name: Option<VideoName>,
    /// Its description
    #[arg(long, value_parser = VideoDescription::parse)]
    description: Option<VideoDescription>,
    /// Who may watch it: anybody, password, unlisted, disable, users, contacts or nobody [default: anybody]
    #[arg(long, value_parser = View::parse)]
    view: Option<View>,
    /// Where it may be embedded: public, private or whitelist
    #[arg(long, value_parser = Embed::parse)]
    embed: Option<Embed>,
    /// A domain that may embed it, with --embed whitelist; may be repeated
    #[arg(long = "embed-domain", value_name = "DOMAIN", value_parser = Domain::parse)]
    embed_domains: Vec<Domain>,
    /// Who may comment on it: anybody, contacts or nobody
    #[arg(long, value_parser = Comments::parse)]
    comments: Option<Comments>,
    /// What it contains: safe, unrated, drugs, language, nudity, violence or advertisement; may be repeated
    #[arg(long = "content-rating", value_name = "RATING", value_parser = ContentRating::parse)]
    content_ratings: Vec<ContentRating>,
    /// The folder for it: a URI such as /users/1/projects/2, or a name, which is created if it does not exist
    #[arg(long, value_parser = read_folder)]
    folder: Option<Folder>,
    /// Its Creative Commons licence: by, by-nc, by-nc-nd, by-nc-sa, by-nd, by-sa or cc0
    #[arg(long, value_parser = License::parse)]
    license: Option<License>,
    /// Its language, such as en or pt-BR
    #[arg(long, value_parser = Locale::parse)]
    locale: Option<Locale>,
    /// The position of its thumbnail
    #[arg(long, value_name = "SECONDS", value_parser = read_moment)]
    thumbnail_at: Option<Moment>,
    /// A file (- is standard input) with the password for --view password
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Rejected. Exists so that the error explains why, instead of suggesting a similar argument.
    #[arg(long, hide = true, num_args = 0..)]
    password: Option<Vec<String>>,
}

/// Why a text is not a valid folder.
#[derive(Debug, Error)]
enum FolderError {
    #[error(transparent)]
    Uri(#[from] FolderUriError),
    #[error(transparent)]
    Name(#[from] ValidationErrors<TextError>),
}

impl SettingsArguments {
    /// The settings, if they are consistent.
    pub(super) fn read(self) -> Result<UploadSettings, BoxError> {
        if self.password.is_some() {
            return Err(
                "a password is never taken from arguments, and this one is now in your shell's history. \
                 Write it to a file, and pass --password-file FILE (- is standard input)"
                    .into(),
            );
        }
        if self.embed_domains.len() > EMBED_DOMAINS_MAX {
            return Err(format!("--embed-domain can be said at most {EMBED_DOMAINS_MAX} times").into());
        }
        let privacy =
            Privacy { view: self.view, embed: self.embed, comments: self.comments, ..Privacy::default() };
        let settings = UploadSettings {
            name: self.name,
            description: self.description,
            privacy,
            password: self.password_file.as_deref().map(read_password).transpose()?,
            embed_domains: self.embed_domains,
            content_rating: self.content_ratings,
            folder: self.folder,
            license: self.license,
            locale: self.locale,
            publication: Publication {
                thumbnail: self.thumbnail_at.map(Thumbnail::At),
                ..Publication::default()
            },
        };
        let faults: Vec<_> = settings.check().into_iter().map(in_words).collect();
        if faults.is_empty() { Ok(settings) } else { Err(faults.join("; ").into()) }
    }
}

fn in_words(error: SettingsError) -> &'static str {
    match error {
        SettingsError::PasswordMissing => "--view password needs --password-file",
        SettingsError::PasswordUnused => "--password-file needs --view password",
        SettingsError::DomainsUnused => "--embed-domain needs --embed whitelist",
        SettingsError::DomainsMissing => "--embed whitelist needs --embed-domain",
    }
}

fn read_folder(text: &str) -> Result<Folder, FolderError> {
    if text.starts_with('/') || text.starts_with("https://") {
        return Ok(Folder::Number(FolderNumber::parse_uri(text)?));
    }
    Ok(Folder::Named(FolderName::parse(text)?))
}

fn read_moment(text: &str) -> Result<Moment, MomentError> {
    let seconds: f64 = text.parse().map_err(|_| MomentError)?;
    let moment = Duration::try_from_secs_f64(seconds).map_err(|_| MomentError)?;
    Moment::from_millis(u64::try_from(moment.as_millis()).map_err(|_| MomentError)?)
}

fn read_password(path: &Path) -> Result<VideoPassword, BoxError> {
    let (what, source) = credentials::open(path)?;
    let mut text = Zeroizing::new(String::with_capacity(usize::try_from(PASSWORD_FILE_MAX_BYTES)? + 1));
    let read = source.take(PASSWORD_FILE_MAX_BYTES + 1).read_to_string(&mut text);
    read.map_err(|error| format!("--password-file: {what} cannot be read: {error}"))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let password = text.strip_suffix('\n').map_or(text, |line| line.trim_end_matches('\r'));
    VideoPassword::parse(password).map_err(|faults| format!("--password-file: the password {faults}").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_a_name_or_a_uri() {
        assert!(matches!(read_folder("/users/1/folders/2").unwrap(), Folder::Number(_)));
        assert!(matches!(read_folder("https://api.vimeo.com/me/projects/2").unwrap(), Folder::Number(_)));
        assert!(matches!(read_folder("Holidays/2026").unwrap(), Folder::Named(_)));
        assert!(read_folder("/albums/2").is_err() && read_folder(" ").is_err());
    }

    #[test]
    fn a_moment_is_in_seconds_with_or_without_a_fraction() {
        assert_eq!(read_moment("1.5").map(Moment::as_millis), Ok(1_500));
        assert_eq!(read_moment("0").map(Moment::as_millis), Ok(0));
        for bad in ["", "-1", "x", "NaN", "inf", "86401", "1e300"] {
            assert_eq!(read_moment(bad), Err(MomentError), "{bad}");
        }
    }
}
