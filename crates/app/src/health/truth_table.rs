//! The truth table: every kind of answer of Vimeo, and the status that follows from each status before. The table is
//! `docs/connection-health.md`; `UPDATE_GOLDEN=1` writes it.

use std::fmt::Write as _;

use domain::health::{
    CheckName, CheckResult, Credentials, Finding, Health, HealthReport, HealthStatus, Observation,
    ProblemCode,
};
use domain::time::Timestamp;
use vimeo::{
    Answer, CheckReport, CredentialProblem, QuotaAnswer, QuotaDetails, QuotaLeft, TokenDetails,
    TransportError, UserDetails,
};

use super::findings::observe;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/connection-health.md");
const APP: &str = "/apps/1";

fn required() -> Vec<String> {
    ["private", "upload", "edit"].map(str::to_owned).into()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1_000)
}

fn failures() -> [(&'static str, TransportError); 5] {
    [
        ("not reachable", TransportError::Unreachable),
        ("no answer in time", TransportError::Timeout),
        ("429", TransportError::RateLimited { not_before: None }),
        ("5xx, or a page of a proxy", TransportError::Status(503)),
        ("an unexpected body", TransportError::UnexpectedResponse),
    ]
}

type Named<T> = (String, Answer<T>);

fn with_failures<T>(known: Vec<(&str, Answer<T>)>) -> Vec<Named<T>> {
    let known = known.into_iter().map(|(name, answer)| (name.to_owned(), answer));
    let unknown = failures().into_iter().map(|(name, error)| (name.to_owned(), Answer::Unknown(error)));
    known.chain(unknown).collect()
}

fn apps() -> Vec<Named<String>> {
    with_failures(vec![
        ("the app", Answer::Known(APP.to_owned())),
        ("the client identifier is unknown", Answer::Rejected(CredentialProblem::ClientUnknown)),
        ("the client secret is wrong", Answer::Rejected(CredentialProblem::ClientSecretWrong)),
        ("one of them is wrong", Answer::Rejected(CredentialProblem::ClientRejected)),
    ])
}

fn tokens() -> Vec<Named<TokenDetails>> {
    let good = TokenDetails {
        app_uri: APP.to_owned(),
        has_user: true,
        scopes: [required(), vec!["public".to_owned()]].concat(),
    };
    with_failures(vec![
        ("valid", Answer::Known(good.clone())),
        ("of another app", Answer::Known(TokenDetails { app_uri: "/apps/2".to_owned(), ..good.clone() })),
        ("without a user", Answer::Known(TokenDetails { has_user: false, ..good.clone() })),
        (
            "lacks `upload` and `edit`",
            Answer::Known(TokenDetails { scopes: vec!["private".to_owned()], ..good }),
        ),
        ("unknown, expired or revoked", Answer::Rejected(CredentialProblem::TokenUnknown)),
        ("401 with code 8002", Answer::Rejected(CredentialProblem::TokenWithoutUser)),
    ])
}

fn users() -> Vec<Named<UserDetails>> {
    let user = |quota| UserDetails {
        name: "Vera".to_owned(),
        uri: "/users/7".to_owned(),
        account: Some("standard".to_owned()),
        quota,
    };
    let bytes = |bytes| Some(QuotaLeft::Bytes(bytes));
    let free = QuotaDetails { space: bytes(9), periodic: bytes(9), restricted: bytes(9) };
    let shown = |quota| Answer::Known(user(QuotaAnswer::Shown(quota)));
    with_failures(vec![
        ("with free space", shown(free)),
        ("no space left", shown(QuotaDetails { space: bytes(0), ..free })),
        (
            "the period's quota is used up",
            shown(QuotaDetails { periodic: Some(QuotaLeft::Videos(0)), ..free }),
        ),
        (
            "no space left for videos that are not public",
            shown(QuotaDetails { restricted: bytes(0), ..free }),
        ),
        ("a quota without numbers", shown(QuotaDetails::default())),
        ("`upload_quota` is null", Answer::Known(user(QuotaAnswer::Null))),
        ("no `upload_quota`", Answer::Known(user(QuotaAnswer::Absent))),
        ("the token is rejected", Answer::Rejected(CredentialProblem::TokenUnknown)),
    ])
}

/// The statuses before, with what was known.
fn before() -> [(&'static str, Health); 4] {
    let new = Health::unverified(at(0));
    let mut rejected = Observation::accepted();
    rejected.findings[1] = Finding::fail(ProblemCode::TokenRejected, "Rejected.");
    let mut without_access = Observation::accepted();
    without_access.findings[4] = Finding::fail(ProblemCode::UploadAccessMissing, "Missing.");
    [
        ("healthy", new.observe(Observation::accepted(), Credentials::Same, at(1))),
        ("unhealthy (token)", new.observe(rejected, Credentials::Same, at(1))),
        ("unhealthy (upload access)", new.observe(without_access, Credentials::Same, at(1))),
        ("unverified", new),
    ]
}

fn event(after: &Health, before: &Health) -> &'static str {
    match after.report_after(before) {
        Some(HealthReport::Unhealthy) => ", `connection.unhealthy`",
        Some(HealthReport::Recovered) => ", `connection.recovered`",
        None => "",
    }
}

fn row(page: &mut String, (what, answer): (&str, &str), report: &CheckReport) {
    let observed = observe(report, &required());
    let results = observed.findings.clone().map(|finding| finding.result.as_str());
    let statuses = before().map(|(_, before)| {
        let after = before.observe(observed.clone(), Credentials::Same, at(2));
        match after.transition_from(&before) {
            Some(transition) => format!("**{}**{}", transition.to.as_str(), event(&after, &before)),
            None => after.status.as_str().to_owned(),
        }
    });
    writeln!(page, "| {what} | {answer} | {} | {} |", results.join(" | "), statuses.join(" | ")).unwrap();
}

fn page() -> String {
    let (apps, tokens, users) = (apps(), tokens(), users());
    let good = CheckReport { app: apps[0].1.clone(), token: tokens[0].1.clone(), user: users[0].1.clone() };
    let checks = CheckName::ALL.map(CheckName::as_str).join(" | ");
    let statuses = before().map(|(name, _)| format!("from {name}")).join(" | ");
    let mut page = format!(
        "# The health of a connection\n\n\
         What each answer of Vimeo means for each check, and for the status of the connection. Generated by the unit tests of \
         `crates/app/src/health/`; `UPDATE_GOLDEN=1` writes it.\n\n\
         A check asks three things: the app (a client-credentials grant), the token (`/oauth/verify`), and, if the token is \
         accepted, its user (`/me`). Each row changes one of them; the others answer as in the first row. What is `unknown` \
         keeps its last known result, so it changes no status. A change of status (bold) is one audit event; the webhook event \
         beside it is sent once, and a recovery only after a failure that was reported. After a check that Vimeo did not answer, the next one follows after 5 seconds to 2 minutes for an unverified \
         connection, and 1 minute to 1 hour for others.\n\n\
         | asked for | answer | {checks} | {statuses} |\n|{}\n",
        "---|".repeat(2 + CheckName::ALL.len() + before().len())
    );
    for (name, app) in &apps {
        row(&mut page, ("app", name), &CheckReport { app: app.clone(), ..good.clone() });
    }
    for (name, token) in &tokens {
        let user = user_after(token, &good.user);
        row(&mut page, ("token", name), &CheckReport { token: token.clone(), user, ..good.clone() });
    }
    for (name, user) in &users {
        row(&mut page, ("user", name), &CheckReport { user: user.clone(), ..good.clone() });
    }
    let unknown = TransportError::Unreachable;
    let nothing = CheckReport {
        app: Answer::Unknown(unknown.clone()),
        token: Answer::Unknown(unknown),
        user: Answer::NotAsked,
    };
    row(&mut page, ("all", "not reachable"), &nothing);
    page
}

/// The user is asked for only with an accepted token that has one.
fn user_after(token: &Answer<TokenDetails>, user: &Answer<UserDetails>) -> Answer<UserDetails> {
    match token {
        Answer::Known(token) if token.has_user => user.clone(),
        _ => Answer::NotAsked,
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the variable is the tests' own")]
fn the_table_is_as_documented() {
    let page = page();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(PAGE, &page).unwrap();
    }
    let stored = std::fs::read_to_string(PAGE).unwrap_or_default();
    assert_eq!(stored, page, "run this test with UPDATE_GOLDEN=1 and look at the difference");
}

/// All combinations: 9 answers about the app, 11 about the token, 13 about its user, 4 statuses before.
#[test]
fn every_combination_of_answers_keeps_the_rules() {
    let mut count = 0;
    for (_, app) in apps() {
        for (_, token) in tokens() {
            for (_, user) in users() {
                let user = user_after(&token, &user);
                let report = CheckReport { app: app.clone(), token: token.clone(), user };
                let observed = observe(&report, &required());
                for (name, before) in before() {
                    count += 1;
                    check_rules(name, &before, &observed);
                }
            }
        }
    }
    assert_eq!(count, 9 * 11 * 13 * 4);
}

fn check_rules(name: &str, before: &Health, observed: &Observation) {
    let after = before.observe(observed.clone(), Credentials::Same, at(2));
    let results: Vec<_> = observed.findings.iter().map(|finding| finding.result).collect();
    let is_rejected = results.contains(&CheckResult::Fail);
    if is_rejected {
        assert_eq!(after.status, HealthStatus::Unhealthy, "{name}: {observed:?}");
    }
    let became_unhealthy =
        after.status == HealthStatus::Unhealthy && before.status != HealthStatus::Unhealthy;
    assert!(!became_unhealthy || is_rejected, "an unknown result made it unhealthy: {name}: {observed:?}");
    if after.status == HealthStatus::Healthy && before.status != HealthStatus::Healthy {
        let known = |check: &&domain::health::CheckState| CheckName::REQUIRED.contains(&check.name);
        let known = after.checks.iter().filter(known).filter_map(|check| check.known.as_ref());
        assert_eq!(known.filter(|finding| finding.result == CheckResult::Pass).count(), 4, "{name}");
    }
    let has_problem = after.problem.is_some();
    assert_eq!(has_problem, after.status == HealthStatus::Unhealthy, "{name}: {after:?}");
    assert_eq!(after.transition_from(before).is_some(), after.since == at(2), "{name}: {after:?}");
    let again = after.observe(observed.clone(), Credentials::Same, at(3));
    assert_eq!(again.report_after(&after), None, "{name}: {observed:?}");
    assert_eq!(again.transition_from(&after), None, "once per transition: {name}: {observed:?}");
}
