//! Connections: a customer's Vimeo app credentials under a name. The rules are those of the HTTP contract, Part 1.

use thiserror::Error;

use crate::id::{AccountId, ConnectionId};
use crate::secret::Secret;
use crate::text;
use crate::time::Timestamp;
use crate::validation::ValidationErrors;

/// Limit for a name, in Unicode scalar values after NFC.
pub const NAME_MAX_CHARS: usize = 100;
/// Limit for a description, in Unicode scalar values.
pub const DESCRIPTION_MAX_CHARS: usize = 250;
/// Limit for each of the three credentials, in characters.
pub const CREDENTIAL_MAX_CHARS: usize = 500;
/// The highest version: 2^53 - 1, the largest integer that every JSON parser represents exactly.
pub const VERSION_MAX: u64 = (1 << 53) - 1;

/// A connection's name: NFC; letters, marks, digits, spaces, `_` and `-`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionName(String);

/// Why a text is not a valid [`ConnectionName`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NameError {
    /// Empty, or only spaces.
    #[error("must not be empty or blank")]
    Blank,
    /// Longer than [`NAME_MAX_CHARS`].
    #[error("must be at most {NAME_MAX_CHARS} characters long")]
    TooLong,
    /// Contains a character that is not allowed.
    #[error("must contain only letters, digits, spaces, hyphens and underscores")]
    Character,
    /// Starts with a combining mark.
    #[error("must not start with a combining mark")]
    LeadingMark,
    /// Contains an invisible character.
    #[error("must not contain invisible characters")]
    Invisible,
}

impl ConnectionName {
    /// Parses a name from a client and normalises it to NFC.
    pub fn parse(input: &str) -> Result<Self, ValidationErrors<NameError>> {
        let name = text::to_nfc(input);
        if name.chars().all(|c| c == ' ') {
            return ValidationErrors::none().add_if(true, NameError::Blank).or(Self(name));
        }
        let is_allowed = |c| matches!(c, ' ' | '_' | '-') || text::is_letter_mark_or_digit(c);
        ValidationErrors::none()
            .add_if(name.chars().count() > NAME_MAX_CHARS, NameError::TooLong)
            .add_if(
                name.chars().any(|c| !text::is_default_ignorable(c) && !is_allowed(c)),
                NameError::Character,
            )
            .add_if(name.chars().any(text::is_default_ignorable), NameError::Invisible)
            .add_if(name.starts_with(text::is_mark), NameError::LeadingMark)
            .or(Self(name))
    }

    /// A name from the store. It was valid when it was stored, perhaps in an older version of Unicode.
    pub fn from_stored(text: String) -> Self {
        Self(text)
    }

    /// The name as it is stored and returned.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part that must be unique in an account: without the spaces at either end.
    pub fn unique_part(&self) -> &str {
        self.0.trim_matches(' ')
    }
}

/// A description of a connection. Never empty: an empty one counts as absent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description(String);

/// Why a text is not a valid [`Description`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DescriptionError {
    /// Longer than [`DESCRIPTION_MAX_CHARS`].
    #[error("must be at most {DESCRIPTION_MAX_CHARS} characters long")]
    TooLong,
    /// Contains a control character.
    #[error("must not contain control characters other than line breaks and tabs")]
    Control,
}

impl Description {
    /// Parses a description; `None` for an empty one.
    pub fn parse(input: &str) -> Result<Option<Self>, ValidationErrors<DescriptionError>> {
        let is_control = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
        ValidationErrors::none()
            .add_if(input.chars().count() > DESCRIPTION_MAX_CHARS, DescriptionError::TooLong)
            .add_if(input.chars().any(is_control), DescriptionError::Control)
            .or((!input.is_empty()).then(|| Self(input.to_owned())))
    }

    /// A description from the store. It was valid when it was stored, perhaps in an older version of Unicode.
    pub fn from_stored(text: String) -> Self {
        Self(text)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a text is not a valid credential. Common copying mistakes are reported; the text itself is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CredentialError {
    /// Empty.
    #[error("must not be empty")]
    Empty,
    /// Longer than [`CREDENTIAL_MAX_CHARS`].
    #[error("must be at most {CREDENTIAL_MAX_CHARS} characters long")]
    TooLong,
    /// Copied with its line break.
    #[error("has a line break at its end: remove it")]
    LineBreakAtEnd,
    /// Copied with surrounding spaces.
    #[error("has a space or an invisible character at its start or end: remove it")]
    SpaceAround,
    /// Copied from a header.
    #[error("starts with `Bearer `: send only what follows it")]
    Scheme,
    /// Copied from a text. ASCII quotation marks are allowed, because they could belong to the credential.
    #[error("is in quotation marks: remove them")]
    InQuotes,
    /// Contains a character that is not allowed.
    #[error("must contain only visible ASCII characters, without spaces or line breaks")]
    Character,
}

fn check_credential(input: &str) -> Result<(), ValidationErrors<CredentialError>> {
    let is_space = |c: char| c.is_whitespace() || text::is_default_ignorable(c);
    let copied = input.trim_matches(is_space);
    let rest = input.get(copied.as_ptr().addr() - input.as_ptr().addr() + copied.len()..).unwrap_or_default();
    let is_line = rest.contains(['\r', '\n']);
    let has_space = copied.len() + rest.len() < input.len() || (!rest.is_empty() && !is_line);
    let (has_scheme, bare) = match copied.split_once(' ') {
        Some((scheme, bare)) if scheme.eq_ignore_ascii_case("bearer") => (true, bare.trim_start()),
        _ => (false, copied),
    };
    let quoted = text::without_quotes(bare).filter(|_| !bare.is_ascii());
    let has_other = !text::is_visible_ascii(quoted.unwrap_or(bare)) || (bare.is_empty() && !input.is_empty());
    ValidationErrors::none()
        .add_if(input.is_empty(), CredentialError::Empty)
        .add_if(input.chars().count() > CREDENTIAL_MAX_CHARS, CredentialError::TooLong)
        .add_if(is_line && !copied.is_empty(), CredentialError::LineBreakAtEnd)
        .add_if(has_space && !copied.is_empty(), CredentialError::SpaceAround)
        .add_if(has_scheme, CredentialError::Scheme)
        .add_if(quoted.is_some(), CredentialError::InQuotes)
        .add_if(has_other, CredentialError::Character)
        .or(())
}

/// The public part of a Vimeo app's credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientIdentifier(String);

impl ClientIdentifier {
    /// Parses an identifier from a client.
    pub fn parse(input: &str) -> Result<Self, ValidationErrors<CredentialError>> {
        check_credential(input)?;
        Ok(Self(input.to_owned()))
    }

    /// An identifier from the store. It was valid when it was stored, perhaps in an older version of Unicode.
    pub fn from_stored(text: String) -> Self {
        Self(text)
    }

    /// The identifier, which is not secret.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is enclosed in quotation marks, as if copied from a program.
    pub fn is_in_quotes(&self) -> bool {
        text::without_quotes(&self.0).is_some()
    }
}

macro_rules! secret_credential {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone)]
        pub struct $name(Secret);

        impl $name {
            /// Parses a credential from a client.
            pub fn parse(input: &str) -> Result<Self, ValidationErrors<CredentialError>> {
                check_credential(input)?;
                Ok(Self(Secret::new(input.to_owned())))
            }

            /// The secret itself.
            pub fn expose(&self) -> &str {
                self.0.expose()
            }

            /// Whether both are equal; see [`Secret::is_same`].
            pub fn is_same(&self, other: &Self) -> bool {
                self.0.is_same(&other.0)
            }

            /// Whether it is enclosed in quotation marks, as if copied from a program.
            pub fn is_in_quotes(&self) -> bool {
                text::without_quotes(self.0.expose()).is_some()
            }
        }
    };
}

secret_credential! {
    /// The secret part of a Vimeo app's credentials.
    ClientSecret
}
secret_credential! {
    /// A token that acts for a Vimeo user.
    AccessToken
}

/// The three credentials of a connection.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// Identifies the Vimeo app.
    pub client_identifier: ClientIdentifier,
    /// The app's secret.
    pub client_secret: ClientSecret,
    /// The user's token.
    pub access_token: AccessToken,
}

/// The two credentials that are encrypted.
#[derive(Debug, Clone)]
pub struct SecretCredentials {
    /// The app's secret.
    pub client_secret: ClientSecret,
    /// The user's token.
    pub access_token: AccessToken,
}

impl SecretCredentials {
    /// Whether both are equal; see [`Secret::is_same`].
    pub fn is_same(&self, other: &Self) -> bool {
        self.client_secret.is_same(&other.client_secret) && self.access_token.is_same(&other.access_token)
    }
}

/// Whether a connection is enabled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Availability {
    /// It can be used.
    Enabled,
    /// It is stored but cannot be used.
    Disabled,
}

impl Availability {
    /// From the API's `enabled`.
    pub fn from_enabled(enabled: bool) -> Self {
        if enabled { Self::Enabled } else { Self::Disabled }
    }

    /// As the API's `enabled`.
    pub fn is_enabled(self) -> bool {
        self == Self::Enabled
    }
}

/// A new connection with validated fields.
#[derive(Debug, Clone)]
pub struct ConnectionDraft {
    /// Its name.
    pub name: ConnectionName,
    /// Its description, if any.
    pub description: Option<Description>,
    /// Whether it is enabled.
    pub availability: Availability,
    /// Its credentials.
    pub credentials: Credentials,
}

/// The change of a description.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum DescriptionChange {
    /// Keep it.
    #[default]
    Keep,
    /// Remove it.
    Clear,
    /// Replace it.
    Replace(Description),
}

/// An update of a connection. `None` keeps a value.
#[derive(Debug, Clone)]
pub struct ConnectionChange {
    /// The version that the update is based on. At any other version nothing changes.
    pub expected_version: u64,
    /// A new name.
    pub name: Option<ConnectionName>,
    /// The change of the description.
    pub description: DescriptionChange,
    /// Whether it is enabled.
    pub availability: Option<Availability>,
    /// Another app's identifier.
    pub client_identifier: Option<ClientIdentifier>,
    /// The app's new secret.
    pub client_secret: Option<ClientSecret>,
    /// A new token.
    pub access_token: Option<AccessToken>,
}

impl ConnectionChange {
    /// An update that changes only the version.
    pub fn none(expected_version: u64) -> Self {
        Self {
            expected_version,
            name: None,
            description: DescriptionChange::Keep,
            availability: None,
            client_identifier: None,
            client_secret: None,
            access_token: None,
        }
    }
}

/// A connection as stored and shown, without its secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// Its identifier.
    pub id: ConnectionId,
    /// The account it belongs to.
    pub account_id: AccountId,
    /// Its name.
    pub name: ConnectionName,
    /// Its description, if any.
    pub description: Option<Description>,
    /// Whether it is enabled.
    pub availability: Availability,
    /// Identifies the Vimeo app.
    pub client_identifier: ClientIdentifier,
    /// When it was created: the time in its identifier.
    pub created_at: Timestamp,
    /// When it was last updated.
    pub updated_at: Timestamp,
    /// Starts at 1 and increases by one with every update.
    pub version: u64,
    /// The version at which its secrets were last encrypted; part of their associated data.
    pub sealed_version: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(input: &str) -> Result<String, Vec<NameError>> {
        ConnectionName::parse(input).map(|n| n.as_str().to_owned()).map_err(|f| f.as_slice().to_vec())
    }

    #[test]
    fn a_name_is_composed_before_it_is_counted() {
        assert_eq!(name(&"e\u{301}".repeat(100)), Ok("\u{e9}".repeat(100)));
        assert_eq!(name(&"e\u{301}".repeat(101)), Err(vec![NameError::TooLong]));
        assert_eq!(name("Ünï-cödé 名前 ١٢٣ _"), Ok("Ünï-cödé 名前 ١٢٣ _".to_owned()));
        assert_eq!(name("हिन्दी"), Ok("हिन्दी".to_owned()));
    }

    #[test]
    fn invalid_names_are_rejected() {
        for (input, error) in [
            ("", NameError::Blank),
            ("   ", NameError::Blank),
            ("a.b", NameError::Character),
            ("a\tb", NameError::Character),
            ("a\u{a0}b", NameError::Character),
            ("\u{2167}", NameError::Character),
            ("x\u{b2}", NameError::Character),
            ("\u{1f600}", NameError::Character),
            ("\u{301}a", NameError::LeadingMark),
            ("a\u{200d}b", NameError::Invisible),
            ("a\u{fe0f}", NameError::Invisible),
            ("\u{3164}", NameError::Invisible),
            ("a\u{34f}b", NameError::Invisible),
        ] {
            assert_eq!(name(input), Err(vec![error]), "{input:?}");
        }
    }

    #[test]
    fn all_errors_of_a_value_are_reported_at_once() {
        let name = ConnectionName::parse(&format!("\u{301}{}\u{200d}!", "x".repeat(100))).unwrap_err();
        let all = [NameError::TooLong, NameError::Character, NameError::Invisible, NameError::LeadingMark];
        assert_eq!(name.as_slice(), all);
        let secret = ClientSecret::parse(&" ".repeat(501)).unwrap_err();
        assert_eq!(
            secret.to_string(),
            "must be at most 500 characters long; \
             must contain only visible ASCII characters, without spaces or line breaks"
        );
    }

    #[test]
    fn spaces_at_the_ends_are_kept_and_ignored_for_uniqueness() {
        let padded = ConnectionName::parse("  My Vimeo ").unwrap();
        assert_eq!(padded.as_str(), "  My Vimeo ");
        assert_eq!(padded.unique_part(), "My Vimeo");
    }

    #[test]
    fn a_description_may_contain_line_breaks_but_no_other_control_characters() {
        assert_eq!(Description::parse(""), Ok(None));
        assert!(Description::parse("a\r\n\tb\u{1f600}").unwrap().is_some());
        assert_eq!(Description::parse("a\u{0}b").unwrap_err().as_slice(), [DescriptionError::Control]);
        assert_eq!(Description::parse("a\u{85}b").unwrap_err().as_slice(), [DescriptionError::Control]);
        assert!(Description::parse(&"\u{1f600}".repeat(250)).is_ok());
        assert_eq!(Description::parse(&"x".repeat(251)).unwrap_err().as_slice(), [DescriptionError::TooLong]);
    }

    #[test]
    fn a_credential_is_visible_ascii() {
        assert!(ClientSecret::parse(&"x".repeat(500)).is_ok());
        assert_eq!(ClientSecret::parse(&"x".repeat(501)).unwrap_err().as_slice(), [CredentialError::TooLong]);
        assert_eq!(AccessToken::parse("").unwrap_err().as_slice(), [CredentialError::Empty]);
        assert_eq!(AccessToken::parse("ab\nc").unwrap_err().as_slice(), [CredentialError::Character]);
        assert_eq!(
            ClientIdentifier::parse("caf\u{e9}").unwrap_err().as_slice(),
            [CredentialError::Character]
        );
    }

    #[test]
    fn common_copying_mistakes_of_credentials_are_named() {
        use CredentialError::{Character, InQuotes, LineBreakAtEnd, Scheme, SpaceAround};
        for (input, errors) in [
            ("abc\n", &[LineBreakAtEnd][..]),
            ("abc\r\n", &[LineBreakAtEnd]),
            ("abc \n", &[LineBreakAtEnd]),
            ("abc\u{2028}", &[SpaceAround]),
            (" abc", &[SpaceAround]),
            ("abc\t", &[SpaceAround]),
            ("\nabc", &[SpaceAround]),
            ("\u{feff}abc", &[SpaceAround]),
            ("abc\u{200b}", &[SpaceAround]),
            ("abc\u{a0}", &[SpaceAround]),
            (" abc\n", &[LineBreakAtEnd, SpaceAround]),
            ("Bearer abc", &[Scheme]),
            ("bearer  abc\n", &[LineBreakAtEnd, Scheme]),
            ("\u{201c}abc\u{201d}", &[InQuotes]),
            ("Bearer \u{2018}abc\u{2019}\n", &[LineBreakAtEnd, Scheme, InQuotes]),
            ("a\u{e9}c\n", &[LineBreakAtEnd, Character]),
            ("Basic abc", &[Character]),
            ("a b", &[Character]),
            ("Bearer a b", &[Scheme, Character]),
            ("\n", &[Character]),
            (" ", &[Character]),
        ] {
            assert_eq!(ClientSecret::parse(input).unwrap_err().as_slice(), errors, "{input:?}");
        }
        // ASCII quotation marks are visible ASCII and may belong to a credential.
        for (input, is_in_quotes) in [
            ("\"abc\"", true),
            ("'abc'", true),
            ("`abc`", true),
            ("\"abc'", false),
            ("\"", false),
            ("abc", false),
        ] {
            assert_eq!(AccessToken::parse(input).unwrap().is_in_quotes(), is_in_quotes, "{input}");
            assert_eq!(ClientIdentifier::parse(input).unwrap().is_in_quotes(), is_in_quotes, "{input}");
        }
        assert!(AccessToken::parse("Bearer").is_ok());
    }

    #[test]
    fn credentials_are_redacted_in_debug_output() {
        let token = AccessToken::parse("canary").unwrap();
        assert!(!format!("{token:?}").contains("canary"));
    }
}
