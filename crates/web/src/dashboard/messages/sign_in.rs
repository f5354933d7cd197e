//! Texts of the pages for signing in.

pub(crate) const SIGN_IN_TITLE: &str = "Sign in";
pub(crate) const SIGN_IN: &str = "Sign in";
pub(crate) const SIGN_IN_KEY: &str = "API key";
pub(crate) const SIGN_IN_KEY_HINT: &str =
    "Starts with pictai_. What you can do follows from the scopes of the key.";
pub(crate) const SIGN_IN_SIGNED_OUT: &str = "You have signed out.";
pub(crate) const SIGN_IN_ENDED: &str = "Your session has ended. Sign in again to continue.";
pub(crate) const SIGN_IN_REQUIRED: &str = "Sign in to open that page.";
pub(crate) const SIGN_IN_HELP_TITLE: &str = "No API key?";
pub(crate) const SIGN_IN_HELP: &str = "Ask a colleague who is an owner of the account to invite you, or ask the operator of this service for a link:";
pub(crate) const SIGN_IN_COMMAND: &str = "vimeo-connections accounts sign-in-link NAME";
pub(crate) const SIGN_IN_COMMAND_LABEL: &str = "Command for the operator";
/// The link to sign in through a provider.
pub(crate) fn sign_in_with(provider: &str) -> String {
    format!("Continue with {provider}")
}

// Links.
pub(crate) const LINK_TITLE: &str = "Sign in with this link";
pub(crate) const LINK_INTRO: &str = "This link signs you in to:";
pub(crate) const LINK_BUTTON: &str = "Sign in";
pub(crate) const LINK_NOTE: &str = "The link works once. Do not forward it.";
pub(crate) const LINK_UNKNOWN_TITLE: &str = "This link does not work";
pub(crate) const LINK_UNKNOWN: &str =
    "It is incomplete, was used before, was revoked, or has expired. Check that you copied all of it.";
pub(crate) const LINK_CURE: &str =
    "For a new one, ask the person who sent it, or ask the operator of this service to run:";
pub(crate) const LINK_OTHER: &str = "Sign in with an API key instead";
