//! Authorizations: a person is asked by OAuth to let an app use a Vimeo account, which creates or renews a connection.
//!
//! The API creates one (`create.rs`), reads it (`reading.rs`) and withdraws it (`withdrawal.rs`). What the person does on the
//! hosted page is in `page.rs`, the callback from Vimeo in `callback.rs`, polling of a device flow in `polling.rs`; both end in
//! `exchange.rs`. Each step is a compare-and-set of the version (`steps.rs`); `domain::authorization` decides which steps are
//! allowed.

mod callback;
mod content;
mod create;
mod exchange;
mod page;
mod polling;
mod reading;
mod return_url;
mod steps;
mod withdrawal;

pub use callback::{Callback, CallbackAnswer, CallbackResult};
pub use content::{
    AuthorizationOutcome, AuthorizationRequest, AuthorizationTarget, DevicePrompt, VimeoAccount,
};
pub use create::{AuthorizationDraft, CreatedAuthorization, DraftFlow, DraftTarget};
pub use page::{ConnectStage, ConnectView, StartResult};
pub use reading::{AuthorizationPage, ShownAuthorization};
pub use return_url::{RETURN_URL_MAX_CHARS, ReturnResult, ReturnUrl, ReturnUrlError};

/// The path of the redirect URI, at the public URL.
pub const CALLBACK_PATH: &str = "/connect/callback";
/// The path of the hosted page of an authorization, before its token.
pub const CONNECT_PATH: &str = "/connect/";
