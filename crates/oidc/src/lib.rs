//! Signing in at an identity provider, by `OpenID` Connect: the authorization code flow with PKCE, and what the claims of a person
//! allow them to do.
//! Knows the protocol. Knows nothing of sessions, of accounts that exist, or of this service's HTTP API.
//! The only crate that trusts an identity provider.
//! Invariant: an identity comes only from an ID token that the configured issuer signed with a private key, for this client, for
//! this attempt to sign in, and that has not expired.

mod access;
mod attempt;
mod claims;
mod failure;
mod http;
mod issuer;
mod provider;
mod token;

pub use access::{AccessRules, AccountRule, Granted, Refusal};
pub use attempt::{Answer, Attempt, Login};
pub use claims::{Claims, Identity};
pub use failure::Error;
pub use http::SetupError;
pub use issuer::{Issuer, IssuerError};
pub use provider::{Provider, ProviderOptions};
