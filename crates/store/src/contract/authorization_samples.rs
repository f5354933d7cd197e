//! Sample authorizations for the cases.

use domain::audit::{Action, Actor, AuditEvent};
use domain::authorization::{Authorization, AuthorizationState, BrowserTokens, Flow, TokenHash};
use domain::id::{AccountId, AuthorizationId, ConnectionId};

use super::job_samples::sealed;
use super::samples::{at, event};
use crate::{AuthorizationRow, AuthorizationUpdate, NewAuthorization, Store};

pub(crate) fn authorization_id(number: u32) -> AuthorizationId {
    AuthorizationId::from_stored(format!("auth_20260131090500042{number:0>15}"))
}

pub(crate) fn connection_id(number: u32) -> ConnectionId {
    ConnectionId::from_stored(format!("20260131090500042{number:0>15}"))
}

pub(crate) fn hash(number: u32) -> TokenHash {
    let mut bytes = [7; 32];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    TokenHash(bytes)
}

/// An authorization of the number, to be decided within 30 s. Every third has the device flow.
pub(crate) fn new(account: &AccountId, number: u32) -> NewAuthorization {
    let id = authorization_id(number);
    let flow = if number.is_multiple_of(3) { Flow::Device { next_poll_at: at(5) } } else { Flow::Redirect };
    let event = event(account, 9_500 + number, Actor::Operator, id.as_str());
    NewAuthorization {
        authorization: Authorization {
            id,
            account_id: account.clone(),
            created_at: at(0),
            expires_at: at(30),
            version: 1,
            flow,
            browser: None,
            state: AuthorizationState::Pending,
            last_failure: None,
        },
        request: "{\"name\":\"\u{e9}\"}".to_owned(),
        connect_hash: hash(number),
        sealed: sealed(u8::try_from(number % 250).unwrap()),
        event: AuditEvent { action: Action::CreateAuthorization, ..event },
        completion: None,
    }
}

/// Adds the sample authorization of that number.
pub(crate) async fn insert(store: &dyn Store, account: &AccountId, number: u32) -> AuthorizationRow {
    let new = new(account, number);
    store.insert_authorization(account, new.clone()).await.unwrap();
    AuthorizationRow {
        authorization: new.authorization,
        request: new.request,
        outcome: None,
        sealed: Some(new.sealed),
    }
}

/// What the browser of that number has.
pub(crate) fn browser(number: u32) -> BrowserTokens {
    BrowserTokens { state: hash(10_000 + number), binding: hash(20_000 + number) }
}

/// The next version of an authorization, in this state.
pub(crate) fn step(before: &Authorization, state: AuthorizationState) -> AuthorizationUpdate {
    AuthorizationUpdate {
        expected_version: before.version,
        authorization: Authorization { version: before.version + 1, state, ..before.clone() },
        outcome: None,
        event: None,
    }
}
