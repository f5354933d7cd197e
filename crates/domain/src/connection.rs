//! A connection: a customer's Vimeo app credentials under a name. Rules from the HTTP contract, Part 1.

use thiserror::Error;

use crate::faults::Faults;
use crate::id::{AccountId, ConnectionId};
use crate::secret::Secret;
use crate::text;
use crate::time::Timestamp;

/// Longest name, in Unicode scalar values after NFC.
pub const NAME_MAX_CHARS: usize = 100;
/// Longest description, in Unicode scalar values.
pub const DESCRIPTION_MAX_CHARS: usize = 250;
/// Longest of each of the three credentials, in characters.
pub const CREDENTIAL_MAX_CHARS: usize = 500;
/// The highest version that a client can name: 2^53 - 1, the last integer that every JSON reader keeps exactly.
pub const VERSION_MAX: u64 = (1 << 53) - 1;

/// A connection's name: NFC; letters, marks, digits, spaces, `_` and `-`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionName(String);

/// Why a text is no [`ConnectionName`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NameError {
    /// Nothing, or nothing but spaces.
    #[error("must not be empty or blank")]
    Blank,
    /// Over [`NAME_MAX_CHARS`].
    #[error("must be at most {NAME_MAX_CHARS} characters long")]
    TooLong,
    /// A character outside the rule.
    #[error("must contain only letters, digits, spaces, hyphens and underscores")]
    Character,
    /// A combining mark with nothing to stand on.
    #[error("must not begin with a combining mark")]
    LeadingMark,
    /// A character that is not drawn.
    #[error("must not contain invisible characters")]
    Invisible,
}

impl ConnectionName {
    /// Reads a name as a client sent it, and brings it to NFC.
    pub fn parse(input: &str) -> Result<Self, Faults<NameError>> {
        let name = text::to_nfc(input);
        if name.chars().all(|c| c == ' ') {
            return Faults::none().add_if(true, NameError::Blank).or(Self(name));
        }
        let is_allowed = |c| matches!(c, ' ' | '_' | '-') || text::is_letter_mark_or_digit(c);
        Faults::none()
            .add_if(name.chars().count() > NAME_MAX_CHARS, NameError::TooLong)
            .add_if(
                name.chars().any(|c| !text::is_default_ignorable(c) && !is_allowed(c)),
                NameError::Character,
            )
            .add_if(name.chars().any(text::is_default_ignorable), NameError::Invisible)
            .add_if(name.starts_with(text::is_mark), NameError::LeadingMark)
            .or(Self(name))
    }

    /// One as the store keeps it: it was parsed when it came in, perhaps under an older edition of Unicode.
    pub fn from_stored(text: String) -> Self {
        Self(text)
    }

    /// The name as it is stored and returned.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What must be unique in an account: the name without the spaces at its ends.
    pub fn unique_part(&self) -> &str {
        self.0.trim_matches(' ')
    }
}

/// What a person wrote to remember the connection by. Never empty: an empty one counts as none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description(String);

/// Why a text is no [`Description`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DescriptionError {
    /// Over [`DESCRIPTION_MAX_CHARS`].
    #[error("must be at most {DESCRIPTION_MAX_CHARS} characters long")]
    TooLong,
    /// A control character.
    #[error("must not contain control characters other than line breaks and tabs")]
    Control,
}

impl Description {
    /// Reads a description; `None` for an empty one.
    pub fn parse(input: &str) -> Result<Option<Self>, Faults<DescriptionError>> {
        let is_control = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
        Faults::none()
            .add_if(input.chars().count() > DESCRIPTION_MAX_CHARS, DescriptionError::TooLong)
            .add_if(input.chars().any(is_control), DescriptionError::Control)
            .or((!input.is_empty()).then(|| Self(input.to_owned())))
    }

    /// One as the store keeps it: it was parsed when it came in, perhaps under an older edition of Unicode.
    pub fn from_stored(text: String) -> Self {
        Self(text)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a text is none of the three credentials. What comes along when one is copied is named, never the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CredentialError {
    /// Nothing at all.
    #[error("must not be empty")]
    Empty,
    /// Over [`CREDENTIAL_MAX_CHARS`].
    #[error("must be at most {CREDENTIAL_MAX_CHARS} characters long")]
    TooLong,
    /// Copied as a line.
    #[error("has a line break at its end: remove it")]
    LineBreakAtEnd,
    /// Copied with what is around it.
    #[error("has a space or an invisible character at its beginning or end: remove it")]
    SpaceAround,
    /// Copied from a header.
    #[error("begins with `Bearer `: send only what follows it")]
    Scheme,
    /// Copied from a text; quotation marks of ASCII could be a part of it.
    #[error("is in quotation marks: remove them")]
    InQuotes,
    /// A character outside the rule.
    #[error("must contain only visible ASCII characters, without spaces or line breaks")]
    Character,
}

fn check_credential(input: &str) -> Result<(), Faults<CredentialError>> {
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
    Faults::none()
        .add_if(input.is_empty(), CredentialError::Empty)
        .add_if(input.chars().count() > CREDENTIAL_MAX_CHARS, CredentialError::TooLong)
        .add_if(is_line && !copied.is_empty(), CredentialError::LineBreakAtEnd)
        .add_if(has_space && !copied.is_empty(), CredentialError::SpaceAround)
        .add_if(has_scheme, CredentialError::Scheme)
        .add_if(quoted.is_some(), CredentialError::InQuotes)
        .add_if(has_other, CredentialError::Character)
        .or(())
}

/// The public half of a Vimeo app's credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientIdentifier(String);

impl ClientIdentifier {
    /// Reads one as a client sent it.
    pub fn parse(input: &str) -> Result<Self, Faults<CredentialError>> {
        check_credential(input)?;
        Ok(Self(input.to_owned()))
    }

    /// One as the store keeps it: it was parsed when it came in, perhaps under an older edition of Unicode.
    pub fn from_stored(text: String) -> Self {
        Self(text)
    }

    /// The identifier, which is no secret.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it begins and ends with a quotation mark, as what was copied from a program does.
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
            /// Reads one as a client sent it.
            pub fn parse(input: &str) -> Result<Self, Faults<CredentialError>> {
                check_credential(input)?;
                Ok(Self(Secret::new(input.to_owned())))
            }

            /// The secret itself.
            pub fn expose(&self) -> &str {
                self.0.expose()
            }

            /// Whether two are the same; see [`Secret::is_same`].
            pub fn is_same(&self, other: &Self) -> bool {
                self.0.is_same(&other.0)
            }

            /// Whether it begins and ends with a quotation mark, as what was copied from a program does.
            pub fn is_in_quotes(&self) -> bool {
                text::without_quotes(self.0.expose()).is_some()
            }
        }
    };
}

secret_credential! {
    /// The secret half of a Vimeo app's credentials.
    ClientSecret
}
secret_credential! {
    /// What acts for a Vimeo user.
    AccessToken
}

/// The three credentials together.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// Which Vimeo app.
    pub client_identifier: ClientIdentifier,
    /// That app's secret.
    pub client_secret: ClientSecret,
    /// For which Vimeo user.
    pub access_token: AccessToken,
}

/// The two of the three that are sealed.
#[derive(Debug, Clone)]
pub struct SecretCredentials {
    /// The app's secret.
    pub client_secret: ClientSecret,
    /// The user's token.
    pub access_token: AccessToken,
}

impl SecretCredentials {
    /// Whether both are the same; see [`Secret::is_same`].
    pub fn is_same(&self, other: &Self) -> bool {
        self.client_secret.is_same(&other.client_secret) && self.access_token.is_same(&other.access_token)
    }
}

/// Whether a connection may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Availability {
    /// It may.
    Enabled,
    /// It is kept, but not usable.
    Disabled,
}

impl Availability {
    /// From the contract's `enabled`.
    pub fn from_enabled(enabled: bool) -> Self {
        if enabled { Self::Enabled } else { Self::Disabled }
    }

    /// As the contract's `enabled`.
    pub fn is_enabled(self) -> bool {
        self == Self::Enabled
    }
}

/// What a connection is made from, every field by the rules.
#[derive(Debug, Clone)]
pub struct ConnectionDraft {
    /// Its name.
    pub name: ConnectionName,
    /// Its description, if it has one.
    pub description: Option<Description>,
    /// Whether it may be used.
    pub availability: Availability,
    /// Its credentials.
    pub credentials: Credentials,
}

/// What an update says of the description.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum DescriptionChange {
    /// Nothing: it stays.
    #[default]
    Keep,
    /// There shall be none.
    Clear,
    /// It shall be this.
    Replace(Description),
}

/// A wish to change a connection; what is `None` stays as it is.
#[derive(Debug, Clone)]
pub struct ConnectionChange {
    /// The version that the wish was made from. At another one nothing is changed.
    pub expected_version: u64,
    /// A new name.
    pub name: Option<ConnectionName>,
    /// What becomes of the description.
    pub description: DescriptionChange,
    /// Whether it may be used.
    pub availability: Option<Availability>,
    /// Another app.
    pub client_identifier: Option<ClientIdentifier>,
    /// The app's new secret.
    pub client_secret: Option<ClientSecret>,
    /// Another token.
    pub access_token: Option<AccessToken>,
}

impl ConnectionChange {
    /// One that changes nothing but the version.
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

/// A connection as it is stored and shown: without its secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// Its identifier.
    pub id: ConnectionId,
    /// Whose it is.
    pub account_id: AccountId,
    /// Its name.
    pub name: ConnectionName,
    /// Its description, if it has one.
    pub description: Option<Description>,
    /// Whether it may be used.
    pub availability: Availability,
    /// Which Vimeo app.
    pub client_identifier: ClientIdentifier,
    /// When it was made: the time in its identifier.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// 1 at first, one more with every change.
    pub version: u64,
    /// The version at which its secrets were last sealed; part of what their seal is bound to.
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
    fn what_a_name_may_not_be() {
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
    fn every_fault_of_a_value_is_told_at_once() {
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
    fn spaces_at_the_ends_are_kept_and_do_not_tell_names_apart() {
        let padded = ConnectionName::parse("  My Vimeo ").unwrap();
        assert_eq!(padded.as_str(), "  My Vimeo ");
        assert_eq!(padded.unique_part(), "My Vimeo");
    }

    #[test]
    fn a_description_takes_line_breaks_and_no_other_control() {
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
    fn what_was_copied_along_with_a_credential_is_named() {
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
        // Quotation marks of ASCII are visible ASCII, which a credential may be made of.
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
    fn credentials_do_not_show_themselves() {
        let token = AccessToken::parse("canary").unwrap();
        assert!(!format!("{token:?}").contains("canary"));
    }
}
