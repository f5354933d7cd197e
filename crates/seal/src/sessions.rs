//! The hashes and MACs of sessions of the dashboard.

use domain::id::{AccountId, ApiKeyId};
use domain::session::{HashedToken, Role, Session, SessionRow, SessionToken};
use domain::time::Timestamp;

use crate::cipher::length_prefixed;
use crate::service::{ServiceKeys, hex, is_equal};

impl ServiceKeys {
    /// The hash that the token of a session or a sign-in link is stored as.
    pub fn hash_session_token(&self, token: &SessionToken) -> HashedToken {
        HashedToken(self.sign(|keys| &keys.session_token, token.expose().as_bytes()))
    }

    /// Whether this is the token with this hash, in constant time.
    pub fn verify_session_token(&self, token: &SessionToken, hash: &HashedToken) -> bool {
        self.verify(|keys| &keys.session_token, token.expose().as_bytes(), &hash.0)
    }

    /// The MAC of a session's row: over all columns but the last request.
    pub fn mac_session(&self, session: &Session, token: &HashedToken) -> [u8; 32] {
        self.sign(|keys| &keys.session_row, &session_row_bytes(session, token))
    }

    /// Whether this service wrote the row of a session.
    pub fn verify_session(&self, row: &SessionRow) -> bool {
        self.verify_row(|keys| &keys.session_row, &session_row_bytes(&row.session, &row.token), &row.mac)
    }

    /// What the forms of a page carry, so that no other site can send them: a MAC of whom they belong to, a session or a guest's
    /// cookie. In hexadecimal digits.
    pub fn form_token(&self, owner: &str) -> String {
        hex(&self.sign(|keys| &keys.form_token, owner.as_bytes()))
    }

    /// Whether a form carries the token that belongs to its owner, in constant time.
    pub fn verify_form_token(&self, owner: &str, token: &str) -> bool {
        let tokens = self.signatures(|keys| &keys.form_token, owner.as_bytes());
        tokens.iter().any(|expected| is_equal(hex(expected).as_bytes(), token.as_bytes()))
    }

    /// Bytes that only this service can compute, the same for each time that a form is sent. `N`: up to 32; `purpose`: what they
    /// are for; `request`: the random text that identifies the form.
    pub fn form_bytes<const N: usize>(&self, purpose: &str, account: &AccountId, request: &str) -> [u8; N] {
        first_bytes(&self.sign(|keys| &keys.form_request, &form_message(purpose, account, request)))
    }

    /// The bytes that the other secrets have computed for the form: it may have been sent before a replacement.
    pub fn former_form_bytes<const N: usize>(
        &self,
        purpose: &str,
        account: &AccountId,
        request: &str,
    ) -> Vec<[u8; N]> {
        let signatures = self.signatures(|keys| &keys.form_request, &form_message(purpose, account, request));
        signatures.iter().skip(1).map(first_bytes).collect()
    }

    /// What an identity provider sends back with the browser: a MAC over the cookie of the attempt to sign in. A browser that
    /// presents both is the one in which the attempt started, and the cookie was not changed. In hexadecimal digits.
    pub fn sign_in_state(&self, cookie: &str) -> String {
        hex(&self.sign(|keys| &keys.sign_in_state, cookie.as_bytes()))
    }

    /// Whether a state belongs to the cookie, in constant time.
    pub fn verify_sign_in_state(&self, cookie: &str, state: &str) -> bool {
        let states = self.signatures(|keys| &keys.sign_in_state, cookie.as_bytes());
        states.iter().any(|expected| is_equal(hex(expected).as_bytes(), state.as_bytes()))
    }
}

fn form_message(purpose: &str, account: &AccountId, request: &str) -> Vec<u8> {
    length_prefixed(&[purpose.as_bytes(), account.as_str().as_bytes(), request.as_bytes()])
}

#[expect(clippy::indexing_slicing, reason = "the assertion holds at compile time")]
fn first_bytes<const N: usize>(bytes: &[u8; 32]) -> [u8; N] {
    const { assert!(N <= 32) };
    std::array::from_fn(|at| bytes[at])
}

/// Everything that decides what a session allows, and what is shown of it.
fn session_row_bytes(session: &Session, token: &HashedToken) -> Vec<u8> {
    let optional = |text: Option<&str>| text.map_or_else(Vec::new, |text| [&[1], text.as_bytes()].concat());
    let instant = |at: Timestamp| at.as_micros().to_be_bytes();
    length_prefixed(&[
        session.id.as_str().as_bytes(),
        session.account_id.as_str().as_bytes(),
        session.state.as_str().as_bytes(),
        session.method.as_str().as_bytes(),
        &optional(session.method.key_id().map(ApiKeyId::as_str)),
        session.person.as_str().as_bytes(),
        &optional(session.role.map(Role::as_str)),
        session.scopes.to_stored().as_bytes(),
        &instant(session.created_at),
        &instant(session.authenticated_at),
        &instant(session.expires_at),
        &optional(session.remote.as_deref()),
        &optional(session.user_agent.as_deref()),
        &optional(session.subject.as_deref()),
        &token.0,
    ])
}

#[cfg(test)]
mod tests {
    use domain::account::Label;
    use domain::id::{AccountId, SessionId};
    use domain::session::{SessionState, SignInMethod};

    use super::*;
    use crate::cipher::Key;

    fn keys() -> ServiceKeys {
        ServiceKeys::new(&Key([7; 32]), None, &[])
    }

    fn session() -> Session {
        Session {
            id: SessionId::from_random([1; 16]),
            account_id: AccountId::from_random([2; 16]),
            state: SessionState::Active,
            method: SignInMethod::ApiKey(ApiKeyId::from_random([3; 16])),
            person: Label::from_stored("Anna".to_owned()),
            role: Some(Role::Member),
            scopes: Role::Member.scopes(),
            created_at: Timestamp::from_micros(1),
            authenticated_at: Timestamp::from_micros(2),
            expires_at: Timestamp::from_micros(3),
            last_seen_at: Timestamp::from_micros(4),
            remote: Some("127.0.0.1".to_owned()),
            user_agent: None,
            subject: None,
        }
    }

    type Change = fn(&mut Session);

    #[test]
    fn every_column_but_the_last_request_is_authenticated() {
        let (keys, plain) = (keys(), session());
        let token = HashedToken([9; 32]);
        let mac = keys.mac_session(&plain, &token);
        let changes: [(&str, Change); 14] = [
            ("id", |s| s.id = SessionId::from_random([4; 16])),
            ("account", |s| s.account_id = AccountId::from_random([4; 16])),
            ("state", |s| s.state = SessionState::Ended),
            ("method", |s| s.method = SignInMethod::Link),
            ("key", |s| s.method = SignInMethod::ApiKey(ApiKeyId::from_random([4; 16]))),
            ("person", |s| s.person = Label::from_stored("Bob".to_owned())),
            ("role", |s| s.role = None),
            ("scopes", |s| s.scopes = Role::Owner.scopes()),
            ("created", |s| s.created_at = Timestamp::from_micros(9)),
            ("authenticated", |s| s.authenticated_at = Timestamp::from_micros(9)),
            ("expires", |s| s.expires_at = Timestamp::from_micros(9)),
            ("remote", |s| s.remote = None),
            ("browser", |s| s.user_agent = Some(String::new())),
            ("subject", |s| s.subject = Some(String::new())),
        ];
        for (name, change) in changes {
            let mut session = plain.clone();
            change(&mut session);
            let row = SessionRow { session, token: token.clone(), mac };
            assert!(!keys.verify_session(&row), "{name}");
        }
        let other_token = SessionRow { session: plain.clone(), token: HashedToken([8; 32]), mac };
        assert!(!keys.verify_session(&other_token));
        let mut seen = plain;
        seen.last_seen_at = Timestamp::from_micros(99);
        assert!(keys.verify_session(&SessionRow { session: seen, token, mac }));
    }

    #[test]
    fn a_token_and_a_form_token_belong_to_one_cookie() {
        let keys = keys();
        let (account, id) = (AccountId::from_random([2; 16]), SessionId::from_random([1; 16]));
        let token = SessionToken::from_random(account.clone(), id.clone(), [1; 32]);
        let other = SessionToken::from_random(account, id, [2; 32]);
        let hash = keys.hash_session_token(&token);
        assert!(keys.verify_session_token(&token, &hash));
        assert!(!keys.verify_session_token(&other, &hash));
        let form = keys.form_token(token.expose());
        assert_eq!(form.len(), 64);
        assert!(keys.verify_form_token(token.expose(), &form));
        for bad in ["", &form[1..], &keys.form_token(other.expose())] {
            assert!(!keys.verify_form_token(token.expose(), bad));
        }
    }

    #[test]
    fn a_form_has_the_same_bytes_each_time_and_no_other_has_them() {
        let keys = keys();
        let [one, two] = [[1; 16], [2; 16]].map(AccountId::from_random);
        let bytes: [u8; 32] = keys.form_bytes("key", &one, "request");
        assert_eq!(keys.form_bytes("key", &one, "request"), bytes);
        for other in [
            keys.form_bytes("link", &one, "request"),
            keys.form_bytes("key", &two, "request"),
            keys.form_bytes("key", &one, "request2"),
        ] {
            assert_ne!(other, bytes);
        }
        let replaced = ServiceKeys::new(&Key([8; 32]), None, &[Key([7; 32])]);
        assert_ne!(replaced.form_bytes::<32>("key", &one, "request"), bytes);
        assert_eq!(replaced.former_form_bytes::<32>("key", &one, "request"), [bytes]);
        let half: [u8; 16] = keys.form_bytes("key", &one, "request");
        assert_eq!(half, bytes[..16]);
    }

    #[test]
    fn a_state_belongs_to_one_cookie_and_is_no_form_token() {
        let keys = keys();
        let state = keys.sign_in_state("cookie");
        assert!(keys.verify_sign_in_state("cookie", &state));
        for (cookie, state) in [
            ("cookie2", &*state),
            ("cookie", ""),
            ("cookie", &state[1..]),
            ("cookie", &keys.form_token("cookie")),
        ] {
            assert!(!keys.verify_sign_in_state(cookie, state), "{cookie} {state}");
        }
    }
}
