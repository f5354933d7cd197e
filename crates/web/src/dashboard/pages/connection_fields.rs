//! The fields of the forms of connections: reading them, and what is wrong with them.

use app::{Credential, CredentialProblem, Error};
use domain::connection::{
    AccessToken, ClientIdentifier, ClientSecret, ConnectionName, CredentialError, Description, NameError,
};
use domain::validation::ValidationErrors;

use super::super::errors::PageError;
use super::super::form::Form;
use super::super::messages as m;
use super::super::views::parts::Errors;

pub(super) const NAME: &str = "name";
pub(super) const DESCRIPTION: &str = "description";
pub(super) const ENABLED: &str = "enabled";
pub(super) const CLIENT_IDENTIFIER: &str = "clientIdentifier";
pub(super) const CLIENT_SECRET: &str = "clientSecret";
pub(super) const ACCESS_TOKEN: &str = "accessToken";
pub(super) const VERSION: &str = "version";

/// The name, or an error.
pub(super) fn name(form: &Form, errors: &mut Errors) -> Option<ConnectionName> {
    let parsed = ConnectionName::parse(form.text(NAME));
    parsed.map_err(|broken| errors.add(NAME, name_error(&broken))).ok()
}

fn name_error(broken: &ValidationErrors<NameError>) -> String {
    match broken.as_slice() {
        [NameError::Blank] => m::ERROR_NAME_REQUIRED.to_owned(),
        _ => m::broken_rule(m::SUBJECT_NAME, &broken.to_string()),
    }
}

/// The description as it was entered. Browsers send line breaks as two characters, and count one.
pub(super) fn entered_description(form: &Form) -> String {
    form.text(DESCRIPTION).replace("\r\n", "\n")
}

/// The description, if there is one, or an error.
pub(super) fn description(form: &Form, errors: &mut Errors) -> Option<Description> {
    Description::parse(&entered_description(form)).unwrap_or_else(|broken| {
        errors.add(DESCRIPTION, m::broken_rule(m::SUBJECT_DESCRIPTION, &broken.to_string()));
        None
    })
}

/// The client identifier, or an error.
pub(super) fn client_identifier(form: &Form, errors: &mut Errors) -> Option<ClientIdentifier> {
    let parsed = ClientIdentifier::parse(form.text(CLIENT_IDENTIFIER));
    parsed.map_err(|broken| add(errors, Credential::ClientIdentifier, &broken)).ok()
}

/// The client secret, or an error.
pub(super) fn client_secret(form: &Form, errors: &mut Errors) -> Option<ClientSecret> {
    let parsed = ClientSecret::parse(form.text(CLIENT_SECRET));
    parsed.map_err(|broken| add(errors, Credential::ClientSecret, &broken)).ok()
}

/// The access token, or an error.
pub(super) fn access_token(form: &Form, errors: &mut Errors) -> Option<AccessToken> {
    let parsed = AccessToken::parse(form.text(ACCESS_TOKEN));
    parsed.map_err(|broken| add(errors, Credential::AccessToken, &broken)).ok()
}

/// Whether a secret was entered: it is not sent back, and must be entered again.
pub(super) fn has_secret(form: &Form) -> bool {
    !form.text(CLIENT_SECRET).is_empty() || !form.text(ACCESS_TOKEN).is_empty()
}

/// The version that a form is based on. Only the service writes this field.
pub(super) fn version(form: &Form) -> Result<u64, PageError> {
    form.raw(VERSION).parse().map_err(|_| PageError::BadRequest)
}

fn add(errors: &mut Errors, credential: Credential, broken: &ValidationErrors<CredentialError>) {
    let (field, subject) = match credential {
        Credential::ClientIdentifier => (CLIENT_IDENTIFIER, m::SUBJECT_CLIENT_IDENTIFIER),
        Credential::ClientSecret => (CLIENT_SECRET, m::SUBJECT_CLIENT_SECRET),
        Credential::AccessToken => (ACCESS_TOKEN, m::SUBJECT_ACCESS_TOKEN),
    };
    let text = match broken.as_slice() {
        [CredentialError::Empty] => m::required(subject),
        _ => m::broken_rule(subject, &broken.to_string()),
    };
    errors.add(field, text);
}

/// What a form says about the refusal of an operation. Other errors have a page of their own.
pub(super) fn refusal(error: Error) -> Result<Errors, PageError> {
    let mut errors = Errors::default();
    match error {
        Error::ConnectionNameExists => errors.add(NAME, m::ERROR_NAME_TAKEN),
        Error::CredentialsRejected(problems) => return Ok(rejected_credentials(&problems)),
        Error::VimeoUnavailable { .. } => m::ERROR_VIMEO_UNAVAILABLE.clone_into(&mut errors.general),
        Error::LimitReached { limit, value } => errors.general = m::limit_reached(limit, value),
        Error::IdempotencyKeyReused => m::ERROR_FORM_REUSED.clone_into(&mut errors.general),
        Error::IdempotencyKeyInUse => m::ERROR_FORM_IN_USE.clone_into(&mut errors.general),
        Error::OutcomeUnknown => m::ERROR_OUTCOME_UNKNOWN.clone_into(&mut errors.general),
        error => return Err(error.into()),
    }
    Ok(errors)
}

/// Each refusal of Vimeo on its field, one error for each field.
fn rejected_credentials(problems: &[CredentialProblem]) -> Errors {
    let mut errors = Errors::default();
    for problem in problems {
        let field = match problem.credential() {
            Credential::ClientIdentifier => CLIENT_IDENTIFIER,
            Credential::ClientSecret => CLIENT_SECRET,
            Credential::AccessToken => ACCESS_TOKEN,
        };
        let text = m::credential_problem(problem);
        match errors.fields.iter_mut().find(|(name, _)| name == field) {
            Some((_, message)) => *message = format!("{message} {text}"),
            None => errors.add(field, text),
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_is_shown_on_its_field() {
        let errors = rejected_credentials(&[
            CredentialProblem::ClientRejected,
            CredentialProblem::TokenLacksScopes(vec!["upload".to_owned(), "edit".to_owned()]),
            CredentialProblem::InQuotes(Credential::AccessToken),
        ]);
        assert_eq!(errors.of(CLIENT_IDENTIFIER), Some(m::ERROR_CLIENT_REJECTED));
        let token = errors.of(ACCESS_TOKEN).unwrap();
        assert!(token.contains("upload and edit") && token.ends_with(m::ERROR_IN_QUOTES), "{token}");
        assert_eq!(errors.fields.len(), 2);
        let unknown =
            rejected_credentials(&[CredentialProblem::ClientUnknown, CredentialProblem::TokenUnknown]);
        assert_eq!(unknown.of(CLIENT_IDENTIFIER), Some(m::ERROR_IDENTIFIER_UNKNOWN));
        assert_eq!(unknown.of(ACCESS_TOKEN), Some(m::ERROR_TOKEN_UNKNOWN));
        assert!(unknown.of(CLIENT_SECRET).is_none());
    }

    #[test]
    fn only_what_a_form_can_fix_is_shown_on_it() {
        assert_eq!(refusal(Error::ConnectionNameExists).unwrap().of(NAME), Some(m::ERROR_NAME_TAKEN));
        let general = refusal(Error::VimeoUnavailable { retry_after_seconds: 1 }).unwrap().general;
        assert_eq!(general, m::ERROR_VIMEO_UNAVAILABLE);
        assert!(refusal(Error::Overloaded).is_err());
    }
}
