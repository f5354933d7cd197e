//! Texts of the pages for signing in.

pub(crate) const SIGN_IN_TITLE: &str = "Sign in";
pub(crate) const SIGN_IN: &str = "Sign in";
pub(crate) const SIGN_IN_KEY: &str = "API key";
pub(crate) const SIGN_IN_KEY_HINT: &str = "Starts with pictai_. You can do what the key allows.";
pub(crate) const SIGN_IN_SIGNED_OUT: &str = "You have signed out.";
pub(crate) const SIGN_IN_ENDED: &str = "Your session has ended. Sign in again to continue.";
pub(crate) const SIGN_IN_REQUIRED: &str = "Sign in to open that page.";
pub(crate) const SIGN_IN_HELP_TITLE: &str = "No API key?";
pub(crate) const SIGN_IN_HELP: &str = "Ask an owner of the account for an invitation. Or ask the operator of this service for a link, which this command makes:";
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
pub(crate) const CONFIRM_OTHER: &str = "Confirm with an API key instead";
pub(crate) const LINK_OTHER: &str = "Sign in with an API key instead";

// What the identity provider's people read when they are not signed in.
pub(crate) const IDENTITY_ATTEMPT_TITLE: &str = "This sign-in has ended";
pub(crate) const IDENTITY_ATTEMPT: &str = "It was started in another browser, has been used, or took more than 10 minutes. Start again, and stay in this browser.";
pub(crate) const IDENTITY_DENIED_TITLE: &str = "You were not signed in";
pub(crate) const IDENTITY_UNAVAILABLE_TITLE: &str = "Signing in is not possible at the moment";
pub(crate) const IDENTITY_MISCONFIGURED_TITLE: &str = "Signing in is not set up correctly";
pub(crate) const IDENTITY_NOT_ACCEPTED_TITLE: &str = "You were not signed in";
pub(crate) const IDENTITY_NOT_CONFIRMED_TITLE: &str = "Your identity was not confirmed";
pub(crate) const IDENTITY_NO_ACCESS_TITLE: &str = "You have no access yet";
pub(crate) const IDENTITY_OTHER_PERSON_TITLE: &str = "That was another person";
pub(crate) const IDENTITY_OTHER_PERSON: &str = "Nothing was confirmed: sign in as the person who is signed in here, or sign out first. If your account or its access has changed, sign out and sign in again.";

/// The person declined, or the provider does not let them use this service.
pub(crate) fn identity_denied(provider: &str) -> String {
    format!(
        "You declined at {provider}, or it does not let you use this service. Start again, or ask its administrator for access."
    )
}

/// The provider does not answer.
pub(crate) fn identity_unavailable(provider: &str) -> String {
    format!(
        "{provider} cannot be reached, or reports a problem of its own. Try again in a few minutes, or sign in with an API key."
    )
}

/// What is registered at the provider does not match the configuration.
pub(crate) fn identity_misconfigured(provider: &str) -> String {
    format!(
        "{provider} rejects the settings of this service. Ask the operator of this service to look at its log. Until then, sign in with an API key."
    )
}

/// The provider's answer does not verify.
pub(crate) fn identity_not_accepted(provider: &str) -> String {
    format!(
        "What {provider} sent could not be verified. Start again. If it happens again, ask the operator of this service to look at its log."
    )
}

/// No group of the person gives a role.
pub(crate) fn identity_no_role(provider: &str) -> String {
    format!(
        "{provider} has identified you, but none of your groups there has a role here. Ask the operator of this service which group you need."
    )
}

/// The claim names no account.
pub(crate) fn identity_no_account(provider: &str) -> String {
    format!(
        "{provider} has identified you, but names no account that exists here. Ask the operator of this service to create it, or to correct your account's name at {provider}."
    )
}

/// The domain of the person's address is not allowed.
pub(crate) fn identity_domain(provider: &str) -> String {
    format!(
        "Your email address at {provider} is not verified, or its domain may not sign in here. Use another address, or ask the operator of this service."
    )
}

/// The provider says nothing that could be shown as a name.
pub(crate) fn identity_no_name(provider: &str) -> String {
    format!(
        "{provider} sends no name and no email address of yours, and the audit log needs one. Ask the operator of this service to request the scope \u{201c}profile\u{201d} or \u{201c}email\u{201d}."
    )
}
