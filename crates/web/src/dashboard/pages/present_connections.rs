//! Connections as pages show them.

use app::{ConnectionCount, ConnectionReport, ListedConnection};
use domain::health::{self, CheckName, CheckState, FreeBytes, HealthStatus, ProblemCode, VimeoUser};
use domain::upload::View;

use super::super::messages as m;
use super::super::respond::{number, when};
use super::super::views::connection::{Check, CheckResult, ConnectionProblem, Cure, Quota, VimeoAccount};
use super::super::views::connections::ConnectionRow;
use super::super::views::parts::{Health, Tone};

/// The most characters of the name of a Vimeo account in the list. Vimeo sets no limit that we know.
const LISTED_ACCOUNT_CHARS: usize = 60;

/// The path of a connection's page.
pub(super) fn href(id: &impl std::fmt::Display) -> String {
    format!("/dashboard/connections/{id}")
}

/// A row of the list.
pub(super) fn row(listed: &ListedConnection) -> ConnectionRow {
    let ListedConnection { connection, status: found, problem, vimeo_account, checked_at } = listed;
    let (reason, cure) = reason(*found, *problem);
    ConnectionRow {
        href: href(&connection.id),
        name: connection.name.as_str().to_owned(),
        health: status(*found),
        reason: reason.to_owned(),
        cure: cure.to_owned(),
        is_enabled: connection.availability.is_enabled(),
        vimeo_account: vimeo_account.as_deref().map_or_else(String::new, shortened),
        checked: checked_at.map(when),
        updated: when(connection.updated_at),
    }
}

/// A health as a badge shows it.
pub(super) const fn status(status: HealthStatus) -> Health {
    match status {
        HealthStatus::Healthy => Health::Healthy,
        HealthStatus::Unhealthy => Health::Unhealthy,
        HealthStatus::Unverified => Health::Unverified,
    }
}

/// How many connections an account has.
pub(super) fn count_text(count: ConnectionCount) -> String {
    match count {
        ConnectionCount::Exactly(1) => m::ONE_CONNECTION.to_owned(),
        ConnectionCount::Exactly(count) => m::connection_count(&number(count)),
        ConnectionCount::MoreThan(count) => m::connection_count_more(&number(count)),
    }
}

/// Why a connection is not healthy, and what to do, for the list.
fn reason(status: HealthStatus, problem: Option<ProblemCode>) -> (&'static str, &'static str) {
    match (status, problem) {
        (HealthStatus::Healthy, _) => ("", ""),
        (HealthStatus::Unverified, _) => (m::REASON_UNVERIFIED, ""),
        (HealthStatus::Unhealthy, None) => ("", m::CURE_TEST),
        (HealthStatus::Unhealthy, Some(code)) => {
            let texts = problem_texts(code);
            (texts.reason, texts.cure)
        }
    }
}

struct ProblemTexts {
    title: &'static str,
    reason: &'static str,
    cure: &'static str,
}

const fn problem_texts(code: ProblemCode) -> ProblemTexts {
    let (title, reason, cure) = match code {
        ProblemCode::ClientCredentialsRejected => {
            (m::PROBLEM_CLIENT_TITLE, m::REASON_CLIENT, m::CURE_CREDENTIALS)
        }
        ProblemCode::TokenRejected => (m::PROBLEM_TOKEN_TITLE, m::REASON_TOKEN, m::CURE_TOKEN),
        ProblemCode::TokenWithoutUser => (m::PROBLEM_USER_TITLE, m::REASON_USER, m::CURE_TOKEN),
        ProblemCode::TokenOfAnotherApp => (m::PROBLEM_APP_TITLE, m::REASON_APP, m::CURE_TOKEN),
        ProblemCode::ScopesMissing => (m::PROBLEM_SCOPES_TITLE, m::REASON_SCOPES, m::CURE_TOKEN),
        ProblemCode::UploadAccessMissing => (m::PROBLEM_UPLOAD_TITLE, m::REASON_UPLOAD, m::CURE_UPLOAD),
    };
    ProblemTexts { title, reason, cure }
}

/// Whether a token can be renewed at Vimeo instead of being replaced here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Renewal {
    Possible,
    NotPossible,
}

/// What the button of a problem does.
pub(super) const fn cure(code: ProblemCode, renewal: Renewal) -> Cure {
    match (code, renewal) {
        (
            ProblemCode::TokenRejected
            | ProblemCode::TokenWithoutUser
            | ProblemCode::TokenOfAnotherApp
            | ProblemCode::ScopesMissing,
            Renewal::Possible,
        ) => Cure::Renew,
        (
            ProblemCode::ClientCredentialsRejected
            | ProblemCode::TokenRejected
            | ProblemCode::TokenWithoutUser
            | ProblemCode::TokenOfAnotherApp
            | ProblemCode::ScopesMissing,
            _,
        ) => Cure::ReplaceCredentials,
        // After access was granted at Vimeo.
        (ProblemCode::UploadAccessMissing, _) => Cure::Test,
    }
}

/// What is wrong with a connection: the worst of what is.
pub(super) fn problem(report: &ConnectionReport, renewal: Renewal) -> Option<ConnectionProblem> {
    let ConnectionReport { connection, health, .. } = report;
    let since = Some(when(health.since));
    let simple = |tone, title: &str, text: &str, cure, since| {
        Some(ConnectionProblem { tone, title: title.to_owned(), text: text.to_owned(), cure, since })
    };
    if let Some(problem) = &health.problem {
        let title = problem_texts(problem.code).title;
        return simple(Tone::Bad, title, &problem.message, cure(problem.code, renewal), since);
    }
    match health.status {
        HealthStatus::Unhealthy => {
            return simple(Tone::Bad, m::HEALTH_UNHEALTHY, m::CURE_TEST, Cure::Test, since);
        }
        HealthStatus::Unverified => {
            return simple(Tone::Warn, m::UNVERIFIED_TITLE, m::UNVERIFIED_TEXT, Cure::Test, since);
        }
        HealthStatus::Healthy => {}
    }
    if !connection.availability.is_enabled() {
        return simple(Tone::Warn, m::DISABLED_TITLE, m::DISABLED_TEXT, Cure::Enable, None);
    }
    let is_warning = |check: &&CheckState| check.latest.result == health::CheckResult::Warn;
    let warnings: Vec<_> =
        health.checks.iter().filter(is_warning).map(|check| &*check.latest.message).collect();
    if warnings.is_empty() {
        return None;
    }
    simple(Tone::Warn, m::WARNING_TITLE, &warnings.join("\n"), Cure::Elsewhere, None)
}

/// All checks, also those that have not been made.
pub(super) fn checks(health: &health::Health) -> Vec<Check> {
    let check = |name: CheckName| {
        let found = health.checks.iter().find(|check| check.name == name);
        let (result, message) = found.map_or((CheckResult::Unknown, m::NEVER_CHECKED), |check| {
            (check_result(check.latest.result), &*check.latest.message)
        });
        Check { name: check_name(name).to_owned(), result, message: message.to_owned() }
    };
    CheckName::ALL.map(check).into()
}

const fn check_result(result: health::CheckResult) -> CheckResult {
    match result {
        health::CheckResult::Pass => CheckResult::Pass,
        health::CheckResult::Warn => CheckResult::Warn,
        health::CheckResult::Fail => CheckResult::Fail,
        health::CheckResult::Unknown => CheckResult::Unknown,
    }
}

const fn check_name(name: CheckName) -> &'static str {
    match name {
        CheckName::ClientCredentials => m::CHECK_CLIENT_CREDENTIALS,
        CheckName::Token => m::CHECK_TOKEN,
        CheckName::TokenApp => m::CHECK_TOKEN_APP,
        CheckName::Scopes => m::CHECK_SCOPES,
        CheckName::UploadAccess => m::CHECK_UPLOAD_ACCESS,
        CheckName::Quota => m::CHECK_QUOTA,
        CheckName::Account => m::CHECK_ACCOUNT,
    }
}

/// The Vimeo account that receives the videos.
pub(super) fn vimeo_account(user: &VimeoUser) -> VimeoAccount {
    VimeoAccount {
        name: user.name.clone(),
        link: vimeo_link(&user.uri),
        plan: user.account_type.as_deref().map_or_else(String::new, in_words),
    }
}

/// The page of a Vimeo user; empty if the URI is not that of one.
pub(super) fn vimeo_link(uri: &str) -> String {
    let is_number = |text: &&str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = uri.strip_prefix("/users/").filter(is_number);
    number.map_or_else(String::new, |number| format!("https://vimeo.com/user{number}"))
}

/// An address that a page may link to: of Vimeo, or of a sandbox on this machine; empty for any other.
pub(super) fn https_only(address: &str) -> String {
    let is_allowed =
        ["https://", "http://127.0.0.1:", "http://localhost:"].iter().any(|start| address.starts_with(start));
    if is_allowed { address.to_owned() } else { String::new() }
}

/// What is free. A number that is not known, or without limit, is left out.
pub(super) fn quotas(free: FreeBytes) -> Vec<Quota> {
    let pools = [
        (m::QUOTA_SPACE, free.space),
        (m::QUOTA_PERIOD, free.period),
        (m::QUOTA_RESTRICTED, free.restricted),
    ];
    let shown = pools.into_iter().filter_map(|(label, bytes)| {
        let text = m::bytes_free(&bytes_text(bytes?));
        Some(Quota { label: label.to_owned(), text, percent_used: None })
    });
    shown.collect()
}

/// A value of `privacy.view` in words. Vimeo may add values.
pub(super) fn privacy(value: &str) -> String {
    let Ok(view) = View::parse(value) else { return in_words(value) };
    let text = match view {
        View::Anybody => m::VIEW_ANYBODY,
        View::Password => m::VIEW_PASSWORD,
        View::Unlisted => m::VIEW_UNLISTED,
        View::Disable => m::VIEW_DISABLE,
        View::Users => m::VIEW_USERS,
        View::Contacts => m::VIEW_CONTACTS,
        View::Nobody => m::VIEW_OWNER,
    };
    text.to_owned()
}

/// A name of the API or of Vimeo, as words: `create_connection` is "Create connection".
pub(super) fn in_words(name: &str) -> String {
    let mut letters = name.chars().map(|letter| if letter == '_' { ' ' } else { letter });
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

fn shortened(text: &str) -> String {
    if text.chars().count() <= LISTED_ACCOUNT_CHARS {
        return text.to_owned();
    }
    text.chars().take(LISTED_ACCOUNT_CHARS - 1).chain(['…']).collect()
}

/// A number of bytes with one decimal if it is below 100 of its unit.
pub(super) fn bytes_text(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    // In tenths, so that nothing is rounded up to more than there is.
    let (mut tenths, mut unit) = (u128::from(bytes) * 10, 0);
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        tenths /= 1_024;
        unit += 1;
    }
    let name = UNITS.get(unit).copied().unwrap_or_default();
    let (whole, tenth) = (tenths / 10, tenths % 10);
    if unit == 0 || whole >= 100 { format!("{whole} {name}") } else { format!("{whole}.{tenth} {name}") }
}

#[cfg(test)]
mod tests {
    use domain::connection::{Availability, ClientIdentifier, Connection, ConnectionName};
    use domain::health::{Credentials, Finding, HealthProblem, Observation};
    use domain::id::{AccountId, ConnectionId};
    use domain::time::Timestamp;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_millis(second * 1_000)
    }

    fn report(availability: Availability, health: health::Health) -> ConnectionReport {
        let connection = Connection {
            id: ConnectionId::from_stored("20260131090500042k3v9x0q2m7t1b8z".to_owned()),
            account_id: AccountId::from_random([1; 16]),
            name: ConnectionName::parse("a").unwrap(),
            description: None,
            availability,
            client_identifier: ClientIdentifier::parse("c").unwrap(),
            created_at: at(0),
            updated_at: at(0),
            version: 1,
            sealed_version: 1,
        };
        ConnectionReport { connection, health, next_check_at: None }
    }

    fn healthy() -> health::Health {
        health::Health::unverified(at(0)).observe(Observation::accepted(), Credentials::Same, at(1))
    }

    fn unhealthy(code: ProblemCode) -> health::Health {
        let problem = Some(HealthProblem { code, message: "Line one.\nLine two.".to_owned() });
        health::Health { status: HealthStatus::Unhealthy, problem, ..healthy() }
    }

    fn shown(availability: Availability, health: health::Health) -> Option<(String, Cure)> {
        let problem = problem(&report(availability, health), Renewal::Possible)?;
        Some((problem.title, problem.cure))
    }

    #[test]
    fn the_worst_problem_is_shown_with_its_cure() {
        use Availability::{Disabled, Enabled};
        let cured = |title: &str, cure| Some((title.to_owned(), cure));
        assert!(shown(Enabled, healthy()).is_none());
        assert!(shown(Disabled, healthy()) == cured(m::DISABLED_TITLE, Cure::Enable));
        let rejected = unhealthy(ProblemCode::TokenRejected);
        assert!(shown(Disabled, rejected) == cured(m::PROBLEM_TOKEN_TITLE, Cure::Renew));
        let unverified = health::Health::unverified(at(0));
        assert!(shown(Disabled, unverified) == cured(m::UNVERIFIED_TITLE, Cure::Test));
        let mut full = healthy();
        for check in &mut full.checks {
            check.latest = Finding::warn("The account has no space left.");
        }
        assert!(shown(Enabled, full) == cured(m::WARNING_TITLE, Cure::Elsewhere));
    }

    #[test]
    fn a_token_is_renewed_only_where_that_is_possible() {
        for code in ProblemCode::ALL {
            assert!(cure(code, Renewal::NotPossible) != Cure::Renew, "{code:?}");
        }
        assert!(cure(ProblemCode::ScopesMissing, Renewal::Possible) == Cure::Renew);
        assert!(cure(ProblemCode::ClientCredentialsRejected, Renewal::Possible) == Cure::ReplaceCredentials);
    }

    #[test]
    fn every_unhealthy_row_says_why_and_what_to_do() {
        for code in ProblemCode::ALL {
            let (reason, cure) = reason(HealthStatus::Unhealthy, Some(code));
            assert!(reason.ends_with('.') && cure.ends_with('.'), "{code:?}");
        }
        assert_eq!(reason(HealthStatus::Healthy, None), ("", ""));
    }

    #[test]
    fn a_health_without_checks_shows_all_of_them_as_unknown() {
        let shown = checks(&health::Health::unverified(at(0)));
        assert_eq!(shown.len(), CheckName::ALL.len());
        assert!(shown.iter().all(|check| check.result == CheckResult::Unknown && !check.message.is_empty()));
    }

    #[test]
    fn only_a_number_of_a_user_becomes_a_link() {
        let user = |uri: &str| VimeoUser { name: "A".to_owned(), uri: uri.to_owned(), account_type: None };
        assert_eq!(vimeo_account(&user("/users/240002")).link, "https://vimeo.com/user240002");
        for uri in ["", "/users/", "/users/1/x", "/users/a", "https://evil.example", "/channels/1"] {
            assert_eq!(vimeo_account(&user(uri)).link, "", "{uri}");
        }
    }

    #[test]
    fn bytes_are_rounded_down() {
        let shown =
            [0, 1_023, 1_024, 1_075, 102_399, 102_400, 1_048_575, 5_000_000_000, u64::MAX].map(bytes_text);
        assert_eq!(
            shown,
            [
                "0 B",
                "1023 B",
                "1.0 KiB",
                "1.0 KiB",
                "99.9 KiB",
                "100 KiB",
                "1023 KiB",
                "4.6 GiB",
                "16383 PiB"
            ]
        );
    }

    #[test]
    fn names_become_words_and_long_ones_are_shortened() {
        assert_eq!(
            (in_words("create_connection"), in_words("")),
            ("Create connection".into(), String::new())
        );
        let long = "\u{1f3ac}".repeat(61);
        assert_eq!(shortened(&long).chars().count(), LISTED_ACCOUNT_CHARS);
        assert_eq!(shortened("short"), "short");
    }
}
