//! What the answers of Vimeo mean for each check. Nothing here asks anything.

use domain::health::{AccountFacts, CheckName, Finding, FreeBytes, Observation, ProblemCode, VimeoUser};
use domain::time::Timestamp;
use vimeo::{
    Answer, CheckReport, CredentialProblem, QuotaAnswer, QuotaDetails, QuotaLeft, TokenDetails,
    TransportError, UserDetails,
};

use super::schedule::Extent;

/// Why nothing is known of a check that depends on another one.
const TOKEN_FIRST: &str = "Depends on the access token.";

/// The findings of all checks. `required`: the scopes that the token must have.
pub(super) fn observe(report: &CheckReport, required: &[String]) -> Observation {
    let finding = |name: CheckName| match name {
        CheckName::ClientCredentials => client_credentials(&report.app),
        CheckName::Token => token(report),
        CheckName::TokenApp => token_app(&report.app, &report.token),
        CheckName::Scopes => scopes(&report.token, required),
        CheckName::UploadAccess => upload_access(report, required),
        CheckName::Quota => quota(&report.user),
        CheckName::Account => account(&report.user),
    };
    Observation { findings: CheckName::ALL.map(finding), facts: facts(report) }
}

fn unknown(error: impl std::fmt::Display) -> Finding {
    Finding::unknown(format!("Vimeo {error}."))
}

fn client_credentials(app: &Answer<String>) -> Finding {
    match app {
        Answer::Known(_) => Finding::pass("Vimeo accepts the client identifier and secret."),
        Answer::Rejected(problem) => {
            let what = match problem {
                CredentialProblem::ClientSecretWrong => "client secret",
                _ => "client identifier",
            };
            Finding::fail(ProblemCode::ClientCredentialsRejected, format!("The {what} {problem}."))
        }
        Answer::Unknown(error) => unknown(error),
        Answer::NotAsked => Finding::unknown(TOKEN_FIRST),
    }
}

/// The token may be rejected by either request.
fn token(report: &CheckReport) -> Finding {
    let rejected = |problem: &CredentialProblem| {
        let code = match problem {
            CredentialProblem::TokenWithoutUser => ProblemCode::TokenWithoutUser,
            _ => ProblemCode::TokenRejected,
        };
        Finding::fail(code, format!("The access token {problem}."))
    };
    match (&report.token, &report.user) {
        (Answer::Rejected(problem), _) | (_, Answer::Rejected(problem)) => rejected(problem),
        (Answer::Known(token), _) if !token.has_user => rejected(&CredentialProblem::TokenWithoutUser),
        (Answer::Known(_), _) => Finding::pass("Vimeo accepts the access token."),
        (Answer::Unknown(error), _) => unknown(error),
        (Answer::NotAsked, _) => Finding::unknown(TOKEN_FIRST),
    }
}

fn token_app(app: &Answer<String>, token: &Answer<TokenDetails>) -> Finding {
    match (app, token) {
        (Answer::Known(app), Answer::Known(token)) if *app == token.app_uri => {
            Finding::pass("The access token belongs to the app.")
        }
        (Answer::Known(_), Answer::Known(_)) => Finding::fail(
            ProblemCode::TokenOfAnotherApp,
            format!("The access token {}.", CredentialProblem::TokenOfAnotherApp),
        ),
        (Answer::Unknown(error), _) | (_, Answer::Unknown(error)) => unknown(error),
        _ => Finding::unknown("Depends on the client credentials and the access token."),
    }
}

fn missing_scopes(token: &TokenDetails, required: &[String]) -> Vec<String> {
    required.iter().filter(|scope| !token.scopes.contains(scope)).cloned().collect()
}

/// One line for each missing scope.
fn scopes(token: &Answer<TokenDetails>, required: &[String]) -> Finding {
    match token {
        Answer::Known(token) => {
            let missing = missing_scopes(token, required);
            if missing.is_empty() {
                return Finding::pass("The access token has the required scopes.");
            }
            let lines = missing.into_iter().map(|scope| {
                let problem = CredentialProblem::TokenLacksScopes(vec![scope]);
                format!("The access token {problem}.")
            });
            Finding::fail(ProblemCode::ScopesMissing, lines.collect::<Vec<_>>().join("\n"))
        }
        Answer::Unknown(error) => unknown(error),
        Answer::Rejected(_) | Answer::NotAsked => Finding::unknown(TOKEN_FIRST),
    }
}

/// Vimeo shows a quota only if the app may upload and the token has the scopes.
fn upload_access(report: &CheckReport, required: &[String]) -> Finding {
    let has_scopes =
        matches!(&report.token, Answer::Known(token) if missing_scopes(token, required).is_empty());
    match &report.user {
        Answer::Known(UserDetails { quota: QuotaAnswer::Absent, .. }) if has_scopes => Finding::fail(
            ProblemCode::UploadAccessMissing,
            "The app may not upload to this account: request upload access on the app's page at \
             developer.vimeo.com, or use the token of the app's owner.",
        ),
        Answer::Known(UserDetails { quota: QuotaAnswer::Absent, .. }) => {
            Finding::unknown("Depends on the scopes.")
        }
        Answer::Known(UserDetails { quota: QuotaAnswer::Null, .. }) => {
            Finding::unknown("Vimeo shows no quota.")
        }
        Answer::Known(UserDetails { quota: QuotaAnswer::Shown(_), .. }) => {
            Finding::pass("The app may upload to this account.")
        }
        Answer::Unknown(error) => unknown(error),
        Answer::Rejected(_) | Answer::NotAsked => Finding::unknown(TOKEN_FIRST),
    }
}

fn quota(user: &Answer<UserDetails>) -> Finding {
    let shown = match user {
        Answer::Known(UserDetails { quota: QuotaAnswer::Shown(shown), .. }) => shown,
        Answer::Known(_) => return Finding::unknown("Vimeo shows no quota."),
        Answer::Unknown(error) => return unknown(error),
        Answer::Rejected(_) | Answer::NotAsked => return Finding::unknown(TOKEN_FIRST),
    };
    let QuotaDetails { space, periodic, restricted } = *shown;
    let pools = [
        (space, "The account has no space left."),
        (periodic, "The account has used up its quota of this period."),
        (restricted, "The account has no space left for videos that are not public."),
    ];
    let is_empty = |left: &Option<QuotaLeft>| left.is_some_and(QuotaLeft::is_empty);
    let empty: Vec<_> = pools.iter().filter(|(left, _)| is_empty(left)).map(|(_, text)| *text).collect();
    if !empty.is_empty() {
        return Finding::warn(empty.join("\n"));
    }
    let is_stated = pools.iter().any(|(left, _)| left.is_some());
    Finding::pass(if is_stated { "The account has space left." } else { "Vimeo states no limit." })
}

fn account(user: &Answer<UserDetails>) -> Finding {
    match user {
        Answer::Known(user) => {
            let plan = user.account.as_ref().map_or_else(String::new, |plan| format!(" ({plan})"));
            Finding::pass(format!(
                "Videos are uploaded to the Vimeo account “{}”{plan}, {}.",
                user.name, user.uri
            ))
        }
        Answer::Unknown(error) => unknown(error),
        Answer::Rejected(_) | Answer::NotAsked => Finding::unknown(TOKEN_FIRST),
    }
}

fn facts(report: &CheckReport) -> AccountFacts {
    let mut facts = AccountFacts::default();
    if let Answer::Known(token) = &report.token {
        facts.scopes = Some(token.scopes.clone());
    }
    if let Answer::Known(user) = &report.user {
        facts.user = Some(VimeoUser {
            name: user.name.clone(),
            uri: user.uri.clone(),
            account_type: user.account.clone(),
        });
        if let QuotaAnswer::Shown(shown) = user.quota {
            let bytes = |left: Option<QuotaLeft>| left.and_then(QuotaLeft::bytes);
            facts.quota = Some(FreeBytes {
                space: bytes(shown.space),
                period: bytes(shown.periodic),
                restricted: bytes(shown.restricted),
            });
        }
    }
    facts
}

/// What Vimeo said of a token that it accepts.
pub(super) fn extent(report: &CheckReport) -> Extent {
    match (&report.token, &report.user) {
        (Answer::Known(_), Answer::Unknown(_)) => Extent::WithoutUser,
        _ => Extent::Whole,
    }
}

/// The time before which Vimeo's rate limit allows no request.
pub(super) fn not_before(report: &CheckReport) -> Option<Timestamp> {
    let of = |error: Option<&TransportError>| match error {
        Some(TransportError::RateLimited { not_before }) => *not_before,
        _ => None,
    };
    let CheckReport { app, token, user } = report;
    [of(transport_error(app)), of(transport_error(token)), of(transport_error(user))]
        .into_iter()
        .flatten()
        .max()
}

fn transport_error<T>(answer: &Answer<T>) -> Option<&TransportError> {
    match answer {
        Answer::Unknown(error) => Some(error),
        Answer::Known(_) | Answer::Rejected(_) | Answer::NotAsked => None,
    }
}
