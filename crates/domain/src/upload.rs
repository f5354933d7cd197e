//! What an upload may be asked to make of a video. Forms are those of Vimeo's API; each is read on its own, and
//! [`UploadSettings::check`] looks at what they say together.

use thiserror::Error;

use crate::secret::Secret;
use crate::validation::ValidationErrors;
use crate::video::FolderNumber;

/// Longest name of a video, in Unicode scalar values: Vimeo's limit.
pub const VIDEO_NAME_MAX_CHARS: usize = 128;
/// Longest description of a video, in Unicode scalar values: Vimeo's limit.
pub const VIDEO_DESCRIPTION_MAX_CHARS: usize = 5_000;
/// Longest password of a video, in Unicode scalar values: Vimeo's limit.
pub const VIDEO_PASSWORD_MAX_CHARS: usize = 32;
/// Most domains that a video may be embedded at.
pub const EMBED_DOMAINS_MAX: usize = 50;
/// The largest file that Vimeo takes, in bytes: 300 GB.
pub const VIDEO_MAX_BYTES: u64 = 300_000_000_000;
/// The longest video, in milliseconds: a day.
const THUMBNAIL_AT_MAX_MILLIS: u64 = 24 * 60 * 60 * 1_000;

macro_rules! choices {
    ($(#[$doc:meta])* $name:ident, $error:ident, $sentence:literal: $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)*) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
        }

        #[doc = concat!("Why a text is no [`", stringify!($name), "`].")]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
        #[error($sentence)]
        pub struct $error;

        impl $name {
            /// Reads Vimeo's word for it.
            pub fn parse(text: &str) -> Result<Self, $error> {
                match text {
                    $($text => Ok(Self::$variant),)*
                    _ => Err($error),
                }
            }

            /// Vimeo's word for it.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }
        }
    };
}

choices! {
    /// Who may watch a video.
    View, ViewError, "must be one of anybody, nobody, password, unlisted, disable, users, contacts":
    /// Everybody.
    Anybody = "anybody",
    /// The owner alone.
    Nobody = "nobody",
    /// Who knows the password.
    Password = "password",
    /// Who knows the link.
    Unlisted = "unlisted",
    /// Nobody on vimeo.com; only where it is embedded.
    Disable = "disable",
    /// Certain users.
    Users = "users",
    /// Those whom the owner follows.
    Contacts = "contacts",
}

choices! {
    /// Where a video may be embedded.
    Embed, EmbedError, "must be one of public, private, whitelist":
    /// Anywhere.
    Public = "public",
    /// Nowhere.
    Private = "private",
    /// At the domains that are listed.
    Whitelist = "whitelist",
}

choices! {
    /// Who may comment on a video.
    Comments, CommentsError, "must be one of anybody, contacts, nobody":
    /// Everybody.
    Anybody = "anybody",
    /// Those whom the owner follows.
    Contacts = "contacts",
    /// Nobody.
    Nobody = "nobody",
}

choices! {
    /// What a video contains.
    ContentRating, ContentRatingError,
    "must be one of safe, unrated, drugs, language, nudity, violence, advertisement":
    /// For all audiences.
    Safe = "safe",
    /// Not said.
    Unrated = "unrated",
    /// Drug or alcohol use.
    Drugs = "drugs",
    /// Profanity.
    Language = "language",
    /// Nudity.
    Nudity = "nudity",
    /// Violence.
    Violence = "violence",
    /// An advertisement.
    Advertisement = "advertisement",
}

choices! {
    /// Under which Creative Commons licence a video stands.
    License, LicenseError, "must be one of by, by-nc, by-nc-nd, by-nc-sa, by-nd, by-sa, cc0":
    /// Attribution.
    By = "by",
    /// Attribution, non-commercial.
    ByNc = "by-nc",
    /// Attribution, non-commercial, no derivatives.
    ByNcNd = "by-nc-nd",
    /// Attribution, non-commercial, share alike.
    ByNcSa = "by-nc-sa",
    /// Attribution, no derivatives.
    ByNd = "by-nd",
    /// Attribution, share alike.
    BySa = "by-sa",
    /// Public domain.
    Cc0 = "cc0",
}

/// Why a text cannot be used as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TextError {
    /// Nothing, or nothing but white space.
    #[error("must not be empty or blank")]
    Blank,
    /// Too long.
    #[error("must be at most {0} characters long")]
    TooLong(usize),
    /// A control character.
    #[error("must not contain control characters")]
    Control,
}

macro_rules! text {
    ($(#[$doc:meta])* $name:ident, $most:expr, $is_control:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $name(String);

        impl $name {
            /// Reads one as a client sent it.
            pub fn parse(text: &str) -> Result<Self, ValidationErrors<TextError>> {
                ValidationErrors::none()
                    .add_if(text.trim().is_empty(), TextError::Blank)
                    .add_if(text.chars().count() > $most, TextError::TooLong($most))
                    .add_if(text.chars().any($is_control), TextError::Control)
                    .or(Self(text.to_owned()))
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
    };
}

text! {
    /// A video's name.
    VideoName, VIDEO_NAME_MAX_CHARS, |c: char| c.is_control()
}

text! {
    /// A video's description.
    VideoDescription, VIDEO_DESCRIPTION_MAX_CHARS, |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t')
}

text! {
    /// A folder's name.
    FolderName, VIDEO_NAME_MAX_CHARS, |c: char| c.is_control()
}

/// A video's password.
#[derive(Debug, Clone)]
pub struct VideoPassword(Secret);

impl VideoPassword {
    /// Reads one as a client sent it.
    pub fn parse(text: &str) -> Result<Self, ValidationErrors<TextError>> {
        ValidationErrors::none()
            .add_if(text.trim().is_empty(), TextError::Blank)
            .add_if(
                text.chars().count() > VIDEO_PASSWORD_MAX_CHARS,
                TextError::TooLong(VIDEO_PASSWORD_MAX_CHARS),
            )
            .add_if(text.chars().any(char::is_control), TextError::Control)
            .or(Self(Secret::new(text.to_owned())))
    }

    /// The password, for Vimeo.
    pub fn as_secret(&self) -> &Secret {
        &self.0
    }
}

/// A host at which a video may be embedded: in lower case, perhaps with a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Domain(String);

/// Why a text is no [`Domain`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("must be a domain such as www.example.com, without scheme and path")]
pub struct DomainError;

impl Domain {
    /// Reads one as a client sent it.
    pub fn parse(text: &str) -> Result<Self, DomainError> {
        let text = text.to_lowercase();
        let (host, port) = text.split_once(':').map_or((&*text, None), |(host, port)| (host, Some(port)));
        let is_label = |label: &str| {
            let is_plain = |c: char| c.is_alphanumeric() || c == '-';
            (1..=63).contains(&label.len())
                && label.chars().all(is_plain)
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        let mut labels = host.split('.').enumerate();
        let is_host = host.len() <= 253
            && labels.all(|(place, label)| (place == 0 && label == "*" && host.len() > 2) || is_label(label));
        let is_port = port
            .is_none_or(|port| port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok());
        (is_host && is_port).then_some(Self(text)).ok_or(DomainError)
    }

    /// The domain.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A language, as Vimeo names it: `en`, `pt-BR`, `zh-Hans`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Locale(String);

/// Why a text is no [`Locale`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("must be a language tag such as en or pt-BR")]
pub struct LocaleError;

impl Locale {
    /// Reads one as a client sent it. Whether Vimeo knows it, Vimeo says.
    pub fn parse(text: &str) -> Result<Self, LocaleError> {
        let mut parts = text.split(['-', '_']);
        let is_language = parts.next().is_some_and(|part| (2..=3).contains(&part.len()) && is_letters(part));
        let is_rest = parts.all(|part| {
            (2..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
        });
        (is_language && is_rest && text.len() <= 35).then(|| Self(text.to_owned())).ok_or(LocaleError)
    }

    /// The tag.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_letters(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphabetic())
}

/// The folder that a video is put into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Folder {
    /// One that is there.
    Number(FolderNumber),
    /// The one of this name, which is made if there is none.
    Named(FolderName),
}

/// A moment of a video, in milliseconds from its beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment(u64);

/// Why a number is no [`Moment`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("must be a number of seconds from 0 to 86400")]
pub struct MomentError;

impl Moment {
    /// So many milliseconds from the beginning.
    pub fn from_millis(millis: u64) -> Result<Self, MomentError> {
        (millis <= THUMBNAIL_AT_MAX_MILLIS).then_some(Self(millis)).ok_or(MomentError)
    }

    /// Milliseconds from the beginning.
    pub fn as_millis(self) -> u64 {
        self.0
    }
}

/// Who may do what with a video. What is not said stays as Vimeo has it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Privacy {
    /// Who may watch it; everybody if nothing is said.
    pub view: Option<View>,
    /// Where it may be embedded.
    pub embed: Option<Embed>,
    /// Who may comment on it.
    pub comments: Option<Comments>,
    /// Whether it may be downloaded.
    pub is_downloadable: Option<bool>,
    /// Whether others may add it to their collections.
    pub is_addable: Option<bool>,
}

/// What is to become of a video beside its bytes.
#[derive(Debug, Clone, Default)]
pub struct UploadSettings {
    /// Its name.
    pub name: Option<VideoName>,
    /// Its description.
    pub description: Option<VideoDescription>,
    /// Who may do what with it.
    pub privacy: Privacy,
    /// Its password.
    pub password: Option<VideoPassword>,
    /// The domains at which it may be embedded.
    pub embed_domains: Vec<Domain>,
    /// What it contains.
    pub content_rating: Vec<ContentRating>,
    /// The folder that it is put into.
    pub folder: Option<Folder>,
    /// Its licence.
    pub license: Option<License>,
    /// Its language.
    pub locale: Option<Locale>,
    /// The moment that is its thumbnail.
    pub thumbnail_at: Option<Moment>,
}

/// What settings say together that cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SettingsError {
    /// A password is needed.
    #[error("is required when privacy.view is password")]
    PasswordMissing,
    /// A password is of no use.
    #[error("needs privacy.view to be password")]
    PasswordUnused,
    /// Domains are of no use.
    #[error("needs privacy.embed to be whitelist")]
    DomainsUnused,
    /// There are no domains.
    #[error("is required when privacy.embed is whitelist")]
    DomainsMissing,
}

impl SettingsError {
    /// The field that has to be mended, by its name in Vimeo's API.
    pub fn field(self) -> &'static str {
        match self {
            Self::PasswordMissing | Self::PasswordUnused => "password",
            Self::DomainsUnused | Self::DomainsMissing => "embed_domains",
        }
    }
}

impl UploadSettings {
    /// Everything that the settings say together and that cannot be.
    pub fn check(&self) -> Vec<SettingsError> {
        let wants_password = self.privacy.view == Some(View::Password);
        let is_whitelisted = self.privacy.embed == Some(Embed::Whitelist);
        let has_domains = !self.embed_domains.is_empty();
        [
            (wants_password && self.password.is_none(), SettingsError::PasswordMissing),
            (!wants_password && self.password.is_some(), SettingsError::PasswordUnused),
            (!is_whitelisted && has_domains, SettingsError::DomainsUnused),
            (is_whitelisted && !has_domains, SettingsError::DomainsMissing),
        ]
        .into_iter()
        .filter_map(|(is_so, error)| is_so.then_some(error))
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vimeos_words_are_read_and_written_alike() {
        for word in ["anybody", "nobody", "password", "unlisted", "disable", "users", "contacts"] {
            assert_eq!(View::parse(word).map(View::as_str), Ok(word));
        }
        assert_eq!(License::parse("by-nc-sa").map(License::as_str), Ok("by-nc-sa"));
        assert_eq!(View::parse("Anybody"), Err(ViewError));
        assert!(ViewError.to_string().contains("unlisted"));
    }

    #[test]
    fn a_domain_has_neither_scheme_nor_path() {
        for (good, read) in [
            ("Example.com", "example.com"),
            ("*.example.com", "*.example.com"),
            ("localhost:3000", "localhost:3000"),
            ("b\u{fc}cher.example", "b\u{fc}cher.example"),
        ] {
            assert_eq!(Domain::parse(good).unwrap().as_str(), read);
        }
        for bad in [
            "",
            "*",
            "*.",
            "https://example.com",
            "example.com/a",
            "a b",
            "-a.com",
            "example..com",
            "example.com:x",
            "example.com:70000",
            "a.*.com",
            "../x",
            "example.com?x",
            "example.com:+1",
        ] {
            assert_eq!(Domain::parse(bad), Err(DomainError), "{bad}");
        }
    }

    #[test]
    fn a_language_is_a_tag() {
        for good in ["en", "pt-BR", "zh-Hans", "fil", "en_US"] {
            assert_eq!(Locale::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", "e", "english", "en-", "e n", "en-\u{e9}\u{e9}", "12"] {
            assert_eq!(Locale::parse(bad), Err(LocaleError), "{bad}");
        }
    }

    #[test]
    fn settings_that_contradict_each_other_are_all_named() {
        let mut settings = UploadSettings::default();
        assert!(settings.check().is_empty());
        settings.password = Some(VideoPassword::parse("secret").unwrap());
        settings.embed_domains = vec![Domain::parse("example.com").unwrap()];
        assert_eq!(settings.check(), [SettingsError::PasswordUnused, SettingsError::DomainsUnused]);
        settings.privacy =
            Privacy { view: Some(View::Password), embed: Some(Embed::Whitelist), ..Privacy::default() };
        assert!(settings.check().is_empty());
        settings.password = None;
        settings.embed_domains.clear();
        let errors = settings.check();
        assert_eq!(errors, [SettingsError::PasswordMissing, SettingsError::DomainsMissing]);
        let fields: Vec<_> = errors.into_iter().map(SettingsError::field).collect();
        assert_eq!(fields, ["password", "embed_domains"]);
    }

    #[test]
    fn a_password_does_not_show_itself() {
        let password = VideoPassword::parse("hunter2-canary").unwrap();
        assert!(!format!("{password:?}").contains("hunter2"));
        assert!(VideoPassword::parse(&"x".repeat(33)).is_err());
    }
}
