//! From a code, or from the token of a device flow, to a connection.

use std::sync::Arc;
use std::time::Duration;

use domain::audit::Actor;
use domain::authorization::{AuthorizationState, FailureReason};
use domain::connection::{
    Availability, Connection, ConnectionChange, ConnectionDraft, Credentials, DescriptionChange,
};
use domain::health::{CheckName, CheckResult, Health};
use domain::id::{AccountId, AscendingId, ConnectionId};
use domain::secret::Secret;
use store::AuthorizationRow;
use vimeo::{Answer, AppCredentials, CredentialProblem, GrantError, GrantedToken, QuotaAnswer, UserDetails};

use super::content::{
    AuthorizationOutcome, AuthorizationRequest, AuthorizationSecrets, AuthorizationTarget, VimeoAccount,
};
use super::create::missing;
use super::steps::{Step, Tried};
use crate::health::CheckError;
use crate::{App, Caller, Error};

/// Limit for the request about the user. Without its answer the health check finds the same later.
const USER_TIMEOUT: Duration = Duration::from_secs(5);
/// Attempts to renew a connection that is updated by others each time.
const RENEW_ATTEMPTS: u32 = 5;

impl App {
    /// Reserves the exchange and names the connection that it leads to. `None` if another step was taken meanwhile.
    pub(super) async fn begin_exchange(
        &self,
        row: &AuthorizationRow,
    ) -> Result<Option<(AuthorizationRow, AscendingId)>, Error> {
        let request = AuthorizationRequest::from_stored(&row.request)?;
        let id = self.next_id();
        let connection_id = match request.target {
            AuthorizationTarget::Create { .. } => id.clone().into_connection_id(),
            AuthorizationTarget::Renew { connection_id, .. } => connection_id,
        };
        let state = AuthorizationState::Exchanging { since: self.clock.now(), connection_id };
        let taken = self.take_step(row, Step::into(&row.authorization, state)).await?;
        Ok(taken.map(|row| (row, id)))
    }

    pub(super) async fn exchange_code(
        &self,
        row: AuthorizationRow,
        (id, code): (AscendingId, &Secret),
        actor: &Actor,
    ) -> Result<Tried, Error> {
        let (request, secrets) = self.open_authorization(&row).await?;
        let (client, _) = self.vimeo_setup()?;
        let app = AppCredentials { identifier: &request.client_identifier, secret: &secrets.client_secret };
        let redirect_uri = request.redirect_uri.as_deref().unwrap_or_default();
        match client.exchange_code(app, code, redirect_uri).await {
            Ok(granted) => self.use_token(row, (id, granted), actor).await,
            Err(error) => {
                tracing::info!(%error, authorization = %row.authorization.id, "a code was not exchanged");
                self.fail(row, reason_of_grant(&error), actor).await
            }
        }
    }

    /// Creates or renews the connection with a token, and ends the authorization. A token that is not used stays at Vimeo: it may be
    /// one that Vimeo returned before, and that another connection uses.
    pub(super) async fn use_token(
        &self,
        row: AuthorizationRow,
        (id, granted): (AscendingId, GrantedToken),
        actor: &Actor,
    ) -> Result<Tried, Error> {
        let (request, secrets) = self.open_authorization(&row).await?;
        let (_, requirements) = self.vimeo_setup()?;
        // Without a list of scopes, the verification finds what is missing.
        if !granted.scopes.is_empty() && !missing(&requirements.scopes, &granted.scopes).is_empty() {
            return self.fail(row, FailureReason::ScopesMissing, actor).await;
        }
        let (account, has_upload_access) = self.find_vimeo_account(&granted).await;
        let credentials = Credentials {
            client_identifier: request.client_identifier,
            client_secret: secrets.client_secret,
            access_token: granted.access_token,
        };
        let caller = self.caller_as(&row.authorization.account_id, actor).await?;
        let used = match request.target {
            AuthorizationTarget::Create { name, description } => {
                let availability = Availability::Enabled;
                let draft = ConnectionDraft { name, description, availability, credentials };
                self.create_authorized_connection(&caller, draft, id).await.map_err(UseError::Other)
            }
            AuthorizationTarget::Renew { connection_id, .. } => {
                self.renew(&caller, &connection_id, (credentials, account.as_ref())).await
            }
        };
        let outcome = AuthorizationOutcome { account, granted_scopes: granted.scopes, has_upload_access };
        match used {
            Ok(connection) => {
                let completed =
                    AuthorizationState::Completed { at: self.clock.now(), connection_id: connection.id };
                self.end(row, (completed, Some(outcome)), actor).await.map(Tried::Ended)
            }
            Err(UseError::OtherAccount) => self.fail(row, FailureReason::OtherVimeoAccount, actor).await,
            Err(UseError::Unavailable) => self.fail(row, FailureReason::VimeoUnavailable, actor).await,
            Err(UseError::Other(error)) => match reason_of(&error) {
                Some(reason) => self.fail(row, reason, actor).await,
                // Whether the connection was stored is found when the exchange is overdue.
                None => Err(error),
            },
        }
    }

    /// Replaces all credentials of a connection, on its current version. The Vimeo user must be the one that the last check found;
    /// if none has found one yet, the connection is checked first.
    async fn renew(
        &self,
        caller: &Caller,
        id: &ConnectionId,
        (credentials, account): (Credentials, Option<&VimeoAccount>),
    ) -> Result<Connection, UseError> {
        let mut attempts = 0;
        self.find_user_before_renewal(caller, id).await?;
        loop {
            let report = self.find_connection_health(caller, id).await.map_err(UseError::Other)?;
            let known = report.health.facts.user.as_ref().map(|user| user.uri.as_str());
            if is_other(known, account.map(|account| account.uri.as_str())) {
                return Err(UseError::OtherAccount);
            }
            let change = ConnectionChange {
                expected_version: report.connection.version,
                name: None,
                description: DescriptionChange::Keep,
                availability: None,
                client_identifier: Some(credentials.client_identifier.clone()),
                client_secret: Some(credentials.client_secret.clone()),
                access_token: Some(credentials.access_token.clone()),
            };
            attempts += 1;
            match self.update_connection(caller, id.as_str(), change).await {
                Err(Error::VersionConflict { .. }) if attempts < RENEW_ATTEMPTS => {}
                result => return result.map_err(UseError::Other),
            }
        }
    }

    /// Checks a connection whose Vimeo user is not known.
    async fn find_user_before_renewal(&self, caller: &Caller, id: &ConnectionId) -> Result<(), UseError> {
        let report = self.find_connection_health(caller, id).await.map_err(UseError::Other)?;
        if report.health.facts.user.is_some() {
            return Ok(());
        }
        match self.context.check_connection(&report.connection, None).await {
            Ok(checked) if is_user_settled(&checked.health) => Ok(()),
            Ok(_) | Err(CheckError::Busy | CheckError::NotSetUp) => Err(UseError::Unavailable),
            Err(CheckError::Gone) => Err(UseError::Other(Error::ConnectionNotFound)),
            Err(CheckError::Other(error)) => Err(UseError::Other(error)),
        }
    }

    /// Who granted a token, and whether the app may upload to that account.
    async fn find_vimeo_account(&self, granted: &GrantedToken) -> (Option<VimeoAccount>, Option<bool>) {
        let account = granted.user.as_ref().map(|user| VimeoAccount {
            name: user.name.clone(),
            uri: user.uri.clone(),
            account_type: user.account.clone(),
        });
        let Ok((client, _)) = self.vimeo_setup() else { return (account, None) };
        match client.find_user(&granted.access_token, Arc::default(), USER_TIMEOUT).await {
            Answer::Known(UserDetails { name, uri, account: account_type, quota }) => {
                (Some(VimeoAccount { name, uri, account_type }), Some(quota != QuotaAnswer::Absent))
            }
            Answer::Rejected(_) | Answer::Unknown(_) | Answer::NotAsked => (account, None),
        }
    }

    async fn open_authorization(
        &self,
        row: &AuthorizationRow,
    ) -> Result<(AuthorizationRequest, AuthorizationSecrets), Error> {
        let key = self.account_key(&row.authorization.account_id).await?;
        let secrets = AuthorizationSecrets::open(row, &key)?.ok_or(seal::CryptoError::Decrypt)?;
        Ok((AuthorizationRequest::from_stored(&row.request)?, secrets))
    }

    /// A caller with all scopes and the limits of an account: a guest, or the service itself.
    async fn caller_as(&self, account: &AccountId, actor: &Actor) -> Result<Caller, Error> {
        let overrides = self.store.find_account_limits(account).await?.ok_or(Error::Unauthorized)?;
        let limits = overrides.over(&self.limits.load().account);
        Ok(Caller { actor: actor.clone(), limits, ..Caller::operator(account.clone()) })
    }
}

/// Why a token did not become a connection's.
#[derive(Debug)]
enum UseError {
    OtherAccount,
    /// Vimeo did not say who the user of the connection is.
    Unavailable,
    Other(Error),
}

/// Whether a check has found the user of a connection, or that there is none to find: Vimeo rejects its token.
fn is_user_settled(health: &Health) -> bool {
    let mut checks = health.checks.iter();
    let is_rejected =
        checks.any(|check| check.name == CheckName::Token && check.latest.result == CheckResult::Fail);
    health.facts.user.is_some() || is_rejected
}

/// Whether a known Vimeo user is another one than the one who authorised. One who is not known differs from every known one.
fn is_other(known: Option<&str>, authorised: Option<&str>) -> bool {
    known.is_some() && known != authorised
}

fn reason_of_grant(error: &GrantError) -> FailureReason {
    match error {
        GrantError::Client(_) => FailureReason::ClientRejected,
        GrantError::Unknown(_) => FailureReason::VimeoUnavailable,
        GrantError::CodeRejected | GrantError::Pending | GrantError::Denied | GrantError::Expired => {
            FailureReason::CodeRejected
        }
    }
}

/// Why the authorization fails; `None` if it is not known whether the connection was stored.
fn reason_of(error: &Error) -> Option<FailureReason> {
    Some(match error {
        Error::CredentialsRejected(problems) => reason_of_problems(problems),
        Error::VimeoUnavailable { .. } => FailureReason::VimeoUnavailable,
        Error::ConnectionNameExists => FailureReason::NameExists,
        Error::ConnectionNotFound => FailureReason::ConnectionNotFound,
        Error::LimitReached { .. } => FailureReason::LimitReached,
        error if error.is_temporary() => return None,
        error => {
            let error: &(dyn std::error::Error + 'static) = error;
            tracing::error!(error, "the connection of an authorization could not be stored");
            FailureReason::Interrupted
        }
    })
}

fn reason_of_problems(problems: &[CredentialProblem]) -> FailureReason {
    let is_client = |problem: &CredentialProblem| {
        matches!(
            problem,
            CredentialProblem::ClientUnknown
                | CredentialProblem::ClientSecretWrong
                | CredentialProblem::ClientRejected
        )
    };
    if problems.iter().any(is_client) {
        FailureReason::ClientRejected
    } else if problems.iter().any(|problem| matches!(problem, CredentialProblem::TokenLacksScopes(_))) {
        FailureReason::ScopesMissing
    } else {
        FailureReason::CredentialsRejected
    }
}

#[cfg(test)]
mod tests {
    use domain::health::{Credentials as CheckedCredentials, Finding, Observation, ProblemCode, VimeoUser};
    use domain::time::Timestamp;

    use super::*;

    #[test]
    fn only_the_known_vimeo_user_may_renew_a_connection() {
        assert!(!is_other(None, None));
        assert!(!is_other(None, Some("/users/1")), "Vimeo rejects the token of the one before");
        assert!(!is_other(Some("/users/1"), Some("/users/1")));
        assert!(is_other(Some("/users/1"), Some("/users/2")));
        assert!(is_other(Some("/users/1"), None));
    }

    #[test]
    fn a_user_is_settled_by_an_answer_about_the_user_or_the_token() {
        let health = |change: fn(&mut Observation)| {
            let mut observed = Observation::accepted();
            change(&mut observed);
            let at = Timestamp::from_millis(0);
            Health::unverified(at).observe(observed, CheckedCredentials::Same, at)
        };
        assert!(
            !is_user_settled(&health(|_| {})),
            "the token is accepted, and Vimeo did not say whose it is"
        );
        assert!(!is_user_settled(&health(
            |observed| observed.findings[0] = Finding::fail(ProblemCode::TokenRejected, "")
        )));
        assert!(!is_user_settled(&health(|observed| observed.findings[1] = Finding::unknown("No answer."))));
        assert!(is_user_settled(&health(
            |observed| observed.findings[1] = Finding::fail(ProblemCode::TokenRejected, "")
        )));
        assert!(is_user_settled(&health(|observed| {
            let (name, uri) = ("Vera".to_owned(), "/users/1".to_owned());
            observed.facts.user = Some(VimeoUser { name, uri, account_type: None });
        })));
    }

    #[test]
    fn a_failure_is_named_by_what_the_person_or_the_client_can_do() {
        let scopes = CredentialProblem::TokenLacksScopes(vec!["upload".to_owned()]);
        for (problems, reason) in [
            (vec![scopes.clone()], FailureReason::ScopesMissing),
            (vec![scopes.clone(), CredentialProblem::ClientSecretWrong], FailureReason::ClientRejected),
            (vec![CredentialProblem::TokenOfAnotherApp], FailureReason::CredentialsRejected),
        ] {
            assert_eq!(reason_of(&Error::CredentialsRejected(problems)), Some(reason));
        }
        assert_eq!(reason_of(&Error::ConnectionNameExists), Some(FailureReason::NameExists));
        assert_eq!(reason_of(&Error::OutcomeUnknown), None, "the connection may be stored");
        assert_eq!(reason_of_grant(&GrantError::CodeRejected), FailureReason::CodeRejected);
    }
}
