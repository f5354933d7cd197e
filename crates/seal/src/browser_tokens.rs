//! The tokens that a person's browser has while it authorizes a connection. Only their keyed hashes are stored.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::authorization::TokenHash;
use domain::id::AccountId;
use domain::secret::Secret;

use crate::Randomness;
use crate::cipher::length_prefixed;
use crate::service::ServiceKeys;

/// Length of the random part in bytes.
const TOKEN_LEN: usize = 32;
/// The random part in characters.
const TOKEN_CHARS: usize = 43;
/// What precedes an account's identifier, and is left out of a token.
const ACCOUNT_PREFIX: &str = "acc_";

/// What a token is for. A token of one kind is not accepted as another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// Opens the page of an authorization.
    Connect,
    /// The `state` of a redirect to Vimeo.
    State,
    /// In the cookie of the browser that was redirected.
    Binding,
}

impl TokenKind {
    fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::State => "state",
            Self::Binding => "binding",
        }
    }
}

/// A new token of an account: the account's part and 256 random bits, in characters that a URL and a cookie may have. The
/// account's part is not secret: it finds the row, of which all keys start with the account.
pub fn new_token(account: &AccountId, randomness: &Randomness) -> Secret {
    let account = account.as_str().strip_prefix(ACCOUNT_PREFIX).unwrap_or_default();
    Secret::new(format!("{account}{}", URL_SAFE_NO_PAD.encode(randomness.bytes::<TOKEN_LEN>())))
}

/// The account of a token; `None` if the service cannot have made it.
pub fn account_of_token(text: &str) -> Option<AccountId> {
    let (account, random) = text.split_at_checked(text.len().checked_sub(TOKEN_CHARS)?)?;
    let is_random = random.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    AccountId::parse(&format!("{ACCOUNT_PREFIX}{account}")).filter(|_| is_random)
}

impl ServiceKeys {
    /// The hash that a new token is stored as.
    pub fn hash_browser_token(&self, kind: TokenKind, token: &str) -> TokenHash {
        TokenHash(self.sign(|keys| &keys.browser_token, &token_bytes(kind, token)))
    }

    /// The hashes that a stored token may have, that of a new one first.
    pub fn hashes_of_browser_token(&self, kind: TokenKind, token: &str) -> Vec<TokenHash> {
        let hashes = self.signatures(|keys| &keys.browser_token, &token_bytes(kind, token));
        hashes.into_iter().map(TokenHash).collect()
    }

    /// Whether a token has this hash.
    pub fn is_browser_token(&self, kind: TokenKind, token: &str, hash: &TokenHash) -> bool {
        self.verify(|keys| &keys.browser_token, &token_bytes(kind, token), &hash.0)
    }
}

fn token_bytes(kind: TokenKind, token: &str) -> Vec<u8> {
    length_prefixed(&[kind.name().as_bytes(), token.as_bytes()])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cipher::Key;

    fn keys() -> ServiceKeys {
        ServiceKeys::new(&Key::random(&Randomness::system()), None, &[])
    }

    #[test]
    fn a_token_names_its_account_and_nothing_else_does() {
        let account = AccountId::from_random([7; 16]);
        let token = new_token(&account, &Randomness::system());
        let text = token.expose();
        assert_eq!(text.len(), 63);
        assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)), "{text}");
        assert_eq!(account_of_token(text), Some(account.clone()));
        assert_ne!(new_token(&account, &Randomness::system()).expose(), text);
        let other = text.replacen(&text[..1], "A", 1);
        for bad in ["", "x", &text[1..], &format!("{text}0"), &format!("{}.", &text[..62]), &other, "é"] {
            assert_eq!(account_of_token(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_token_of_one_kind_or_service_is_not_accepted_as_another() {
        let keys = keys();
        let hash = keys.hash_browser_token(TokenKind::State, "token");
        assert!(keys.is_browser_token(TokenKind::State, "token", &hash));
        assert!(!keys.is_browser_token(TokenKind::State, "Token", &hash));
        assert!(!keys.is_browser_token(TokenKind::Connect, "token", &hash));
        assert!(!keys.is_browser_token(TokenKind::Binding, "token", &hash));
        assert!(!self::keys().is_browser_token(TokenKind::State, "token", &hash));
    }
}
