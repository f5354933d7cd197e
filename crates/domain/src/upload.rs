//! The settings of an uploaded video, with the values of Vimeo's API. Each is parsed alone;
//! [`UploadSettings::check`] finds contradictions between them.

use thiserror::Error;

use crate::publication::Publication;
use crate::secret::Secret;
use crate::validation::ValidationErrors;
use crate::video::FolderNumber;

/// Vimeo's limit for the name of a video, in Unicode scalar values.
pub const VIDEO_NAME_MAX_CHARS: usize = 128;
/// Vimeo's limit for the description of a video, in Unicode scalar values.
pub const VIDEO_DESCRIPTION_MAX_CHARS: usize = 5_000;
/// Vimeo's limit for the password of a video, in Unicode scalar values.
pub const VIDEO_PASSWORD_MAX_CHARS: usize = 32;
/// Maximum number of embed domains of a video.
pub const EMBED_DOMAINS_MAX: usize = 50;
/// Vimeo's limit for a file: 300 GB.
pub const VIDEO_MAX_BYTES: u64 = 300_000_000_000;

macro_rules! wire_enum {
    ($(#[$doc:meta])* $name:ident, $error:ident, $message:literal: $($(#[$variant_doc:meta])* $variant:ident => $text:literal,)*) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
        }

        #[doc = concat!("The text is not a valid [`", stringify!($name), "`].")]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
        #[error($message)]
        pub struct $error;

        impl $name {
            /// Parses a value of Vimeo's API.
            pub fn parse(text: &str) -> Result<Self, $error> {
                match text {
                    $($text => Ok(Self::$variant),)*
                    _ => Err($error),
                }
            }

            /// The value in Vimeo's API.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }
        }
    };
}

wire_enum! {
    /// Who may watch a video.
    View, ViewError, "must be anybody, password, unlisted, disable, users, contacts or nobody":
    /// Everyone.
    Anybody => "anybody",
    /// Only the owner.
    Nobody => "nobody",
    /// Anyone with the password.
    Password => "password",
    /// Anyone with the link.
    Unlisted => "unlisted",
    /// Only where it is embedded, not on vimeo.com.
    Disable => "disable",
    /// Selected users.
    Users => "users",
    /// The users whom the owner follows.
    Contacts => "contacts",
}

wire_enum! {
    /// Where a video may be embedded.
    Embed, EmbedError, "must be public, private or whitelist":
    /// Anywhere.
    Public => "public",
    /// Nowhere.
    Private => "private",
    /// At the domains of [`UploadSettings::embed_domains`].
    Whitelist => "whitelist",
}

wire_enum! {
    /// Who may comment on a video.
    Comments, CommentsError, "must be anybody, contacts or nobody":
    /// Everyone.
    Anybody => "anybody",
    /// The users whom the owner follows.
    Contacts => "contacts",
    /// No user.
    Nobody => "nobody",
}

wire_enum! {
    /// The content rating of a video.
    ContentRating, ContentRatingError,
    "must be safe, unrated, drugs, language, nudity, violence or advertisement":
    /// For all audiences.
    Safe => "safe",
    /// Not rated.
    Unrated => "unrated",
    /// Drug or alcohol use.
    Drugs => "drugs",
    /// Profanity.
    Language => "language",
    /// Nudity.
    Nudity => "nudity",
    /// Violence.
    Violence => "violence",
    /// An advertisement.
    Advertisement => "advertisement",
}

wire_enum! {
    /// The Creative Commons licence of a video.
    License, LicenseError, "must be by, by-nc, by-nc-nd, by-nc-sa, by-nd, by-sa or cc0":
    /// Attribution.
    By => "by",
    /// Attribution, non-commercial.
    ByNc => "by-nc",
    /// Attribution, non-commercial, no derivatives.
    ByNcNd => "by-nc-nd",
    /// Attribution, non-commercial, share alike.
    ByNcSa => "by-nc-sa",
    /// Attribution, no derivatives.
    ByNd => "by-nd",
    /// Attribution, share alike.
    BySa => "by-sa",
    /// Public domain.
    Cc0 => "cc0",
}

/// Why a text is not valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TextError {
    /// Empty, or only white space.
    #[error("must not be empty or blank")]
    Blank,
    /// Longer than this many characters.
    #[error("must be at most {0} characters long")]
    TooLong(usize),
    /// Contains a control character.
    #[error("must not contain control characters")]
    Control,
}

macro_rules! limited_text {
    ($(#[$doc:meta])* $name:ident, $max_chars:expr, $is_control:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $name(String);

        impl $name {
            /// Parses a text from a client.
            pub fn parse(text: &str) -> Result<Self, ValidationErrors<TextError>> {
                ValidationErrors::none()
                    .add_if(text.trim().is_empty(), TextError::Blank)
                    .add_if(text.chars().count() > $max_chars, TextError::TooLong($max_chars))
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

limited_text! {
    /// A video's name.
    VideoName, VIDEO_NAME_MAX_CHARS, |c: char| c.is_control()
}

limited_text! {
    /// A video's description.
    VideoDescription, VIDEO_DESCRIPTION_MAX_CHARS, |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t')
}

limited_text! {
    /// A folder's name.
    FolderName, VIDEO_NAME_MAX_CHARS, |c: char| c.is_control()
}

/// A video's password.
#[derive(Debug, Clone)]
pub struct VideoPassword(Secret);

impl VideoPassword {
    /// Parses a password from a client.
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

    /// The password itself.
    pub fn as_secret(&self) -> &Secret {
        &self.0
    }
}

/// A host at which a video may be embedded, in lower case, optionally with a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Domain(String);

/// The text is not a valid [`Domain`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("must be a domain such as www.example.com, without scheme and path")]
pub struct DomainError;

impl Domain {
    /// Parses a domain from a client.
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

/// A language tag of Vimeo's API: `en`, `pt-BR`, `zh-Hans`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Locale(String);

/// The text is not a valid [`Locale`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("must be a language tag such as en or pt-BR")]
pub struct LocaleError;

impl Locale {
    /// Parses a tag from a client. Only the format is checked: Vimeo decides which tags it supports.
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

/// The folder that a video is added to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Folder {
    /// An existing folder.
    Number(FolderNumber),
    /// The folder of this name, which is created if it does not exist.
    Named(FolderName),
}

/// The privacy of a video. `None` keeps Vimeo's default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Privacy {
    /// Who may watch it. `None`: everyone.
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

/// The settings of an uploaded video.
#[derive(Debug, Clone, Default)]
pub struct UploadSettings {
    /// Its name.
    pub name: Option<VideoName>,
    /// Its description.
    pub description: Option<VideoDescription>,
    /// Its privacy.
    pub privacy: Privacy,
    /// Its password.
    pub password: Option<VideoPassword>,
    /// The domains at which it may be embedded.
    pub embed_domains: Vec<Domain>,
    /// Its content rating.
    pub content_rating: Vec<ContentRating>,
    /// The folder that it is added to.
    pub folder: Option<Folder>,
    /// Its licence.
    pub license: Option<License>,
    /// Its language.
    pub locale: Option<Locale>,
    /// What it is published with beside these.
    pub publication: Publication,
}

/// A contradiction between settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SettingsError {
    /// `privacy.view` requires a password.
    #[error("is required when privacy.view is password")]
    PasswordMissing,
    /// A password has no effect with this `privacy.view`.
    #[error("needs privacy.view to be password")]
    PasswordUnused,
    /// Domains have no effect with this `privacy.embed`.
    #[error("needs privacy.embed to be whitelist")]
    DomainsUnused,
    /// `privacy.embed` requires domains.
    #[error("is required when privacy.embed is whitelist")]
    DomainsMissing,
}

impl SettingsError {
    /// The invalid field, by its name in Vimeo's API.
    pub fn field(self) -> &'static str {
        match self {
            Self::PasswordMissing | Self::PasswordUnused => "password",
            Self::DomainsUnused | Self::DomainsMissing => "embed_domains",
        }
    }
}

impl UploadSettings {
    /// All contradictions between the settings.
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
        .filter_map(|(has_error, error)| has_error.then_some(error))
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_vimeos_api_are_parsed_and_written_back() {
        for value in ["anybody", "nobody", "password", "unlisted", "disable", "users", "contacts"] {
            assert_eq!(View::parse(value).map(View::as_str), Ok(value));
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
    fn a_locale_is_a_language_tag() {
        for good in ["en", "pt-BR", "zh-Hans", "fil", "en_US"] {
            assert_eq!(Locale::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", "e", "english", "en-", "e n", "en-\u{e9}\u{e9}", "12"] {
            assert_eq!(Locale::parse(bad), Err(LocaleError), "{bad}");
        }
    }

    #[test]
    fn all_contradictions_between_settings_are_reported() {
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
    fn a_password_is_redacted_in_debug_output() {
        let password = VideoPassword::parse("hunter2-canary").unwrap();
        assert!(!format!("{password:?}").contains("hunter2"));
        assert!(VideoPassword::parse(&"x".repeat(33)).is_err());
    }
}
