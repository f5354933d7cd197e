//! An attempt to sign in, from the link to the provider until the browser returns.

use domain::time::Timestamp;

/// Whether a person who is signed in at the provider must sign in there again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Login {
    /// A session at the provider is enough.
    Any,
    /// The person proves again who they are.
    Again,
}

/// What one attempt needs when the browser returns.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// When it started.
    pub started_at: Timestamp,
    /// Random; the ID token repeats it.
    pub nonce: String,
    /// The PKCE verifier: 43 to 128 unreserved characters.
    pub verifier: String,
    /// Whether the person signs in again.
    pub login: Login,
}

/// With what the provider sends the browser back.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    /// The `state` of the request.
    pub state: String,
    /// The authorization code; empty after an error.
    pub code: String,
    /// The code of an error; empty: there is none.
    pub error: String,
    /// Who says so (RFC 9207); empty: the provider does not say.
    pub issuer: String,
}
