//! The health of a connection: what the checks of its credentials found, and the status that follows.

mod names;

use crate::time::Timestamp;

pub use names::{CheckName, CheckResult, HealthStatus, ProblemCode};

/// Why a connection is unhealthy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthProblem {
    /// For programs.
    pub code: ProblemCode,
    /// For people: what is wrong and how to fix it. Contains no secret.
    pub message: String,
}

/// What one check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The result.
    pub result: CheckResult,
    /// For people; one line for each thing that is wrong.
    pub message: String,
    /// Why it fails, if it does.
    pub code: Option<ProblemCode>,
}

impl Finding {
    /// Vimeo did not say.
    pub fn unknown(message: impl Into<String>) -> Self {
        Self { result: CheckResult::Unknown, message: message.into(), code: None }
    }

    /// As it should be.
    pub fn pass(message: impl Into<String>) -> Self {
        Self { result: CheckResult::Pass, message: message.into(), code: None }
    }

    /// Uploads fail.
    pub fn fail(code: ProblemCode, message: impl Into<String>) -> Self {
        Self { result: CheckResult::Fail, message: message.into(), code: Some(code) }
    }

    /// Uploads may fail.
    pub fn warn(message: impl Into<String>) -> Self {
        Self { result: CheckResult::Warn, message: message.into(), code: None }
    }
}

/// A check as it is kept: its last finding, and the last one that was not unknown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckState {
    /// Which one.
    pub name: CheckName,
    /// What it found last.
    pub latest: Finding,
    /// What it found last that decides; `None` if Vimeo never said.
    pub known: Option<Finding>,
}

/// The Vimeo account that receives the videos.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VimeoUser {
    /// Its name.
    pub name: String,
    /// Its URI: `/users/N`.
    pub uri: String,
    /// Its plan, as Vimeo names it.
    pub account_type: Option<String>,
}

/// The free bytes of an account; `None`: not known, unlimited, or counted in videos.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FreeBytes {
    /// In all.
    pub space: Option<u64>,
    /// In this period.
    pub period: Option<u64>,
    /// For videos that are not public.
    pub restricted: Option<u64>,
}

/// What is known of the Vimeo account.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccountFacts {
    /// The account.
    pub user: Option<VimeoUser>,
    /// The scopes of the token.
    pub scopes: Option<Vec<String>>,
    /// What is free.
    pub quota: Option<FreeBytes>,
    /// The values of `privacy.view` that the account may use, as the last upload found them.
    pub allowed_privacies: Option<Vec<String>>,
}

impl AccountFacts {
    /// These, and from `older` what is not known here.
    fn or(self, older: &Self) -> Self {
        Self {
            user: self.user.or_else(|| older.user.clone()),
            scopes: self.scopes.or_else(|| older.scopes.clone()),
            quota: self.quota.or(older.quota),
            allowed_privacies: self.allowed_privacies.or_else(|| older.allowed_privacies.clone()),
        }
    }
}

/// The findings of all checks at one time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// One for each check, in the order of [`CheckName::ALL`].
    pub findings: [Finding; 7],
    /// What was learnt of the account.
    pub facts: AccountFacts,
}

impl Observation {
    /// The required checks pass; nothing else is known.
    pub fn accepted() -> Self {
        let finding = |name: CheckName| {
            if CheckName::REQUIRED.contains(&name) {
                Finding::pass("Accepted by Vimeo.")
            } else {
                Finding::unknown("Not checked yet.")
            }
        };
        Self { findings: CheckName::ALL.map(finding), facts: AccountFacts::default() }
    }

    /// Nothing is known.
    pub fn unknown(message: &str) -> Self {
        let findings = CheckName::ALL.map(|_| Finding::unknown(message));
        Self { findings, facts: AccountFacts::default() }
    }

    /// Whether every check is unknown.
    pub fn is_unknown(&self) -> bool {
        self.findings.iter().all(|finding| finding.result == CheckResult::Unknown)
    }
}

/// The health of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// The status.
    pub status: HealthStatus,
    /// Since when.
    pub since: Timestamp,
    /// Why it is unhealthy, if it is.
    pub problem: Option<HealthProblem>,
    /// The checks, in the order of [`CheckName::ALL`].
    pub checks: Vec<CheckState>,
    /// What is known of the Vimeo account.
    pub facts: AccountFacts,
    /// When Vimeo was last asked.
    pub checked_at: Option<Timestamp>,
    /// Whether the last report to the account was that the connection is unhealthy.
    pub is_reported_unhealthy: bool,
}

/// A report to the account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HealthReport {
    /// The connection has become unhealthy.
    Unhealthy,
    /// It was unhealthy and has recovered.
    Recovered,
}

/// A change of status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transition {
    /// The status before.
    pub from: HealthStatus,
    /// The status now.
    pub to: HealthStatus,
}

/// What an observation is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Credentials {
    /// The same as before: what is unknown now stays as it was known.
    Same,
    /// They were replaced: what was known of the old ones says nothing.
    Replaced,
}

impl Health {
    /// A connection that was never checked.
    pub fn unverified(at: Timestamp) -> Self {
        Self {
            status: HealthStatus::Unverified,
            since: at,
            problem: None,
            checks: Vec::new(),
            facts: AccountFacts::default(),
            checked_at: None,
            is_reported_unhealthy: false,
        }
    }

    /// The health after an observation. What Vimeo does not say changes nothing: an unknown result never makes a healthy
    /// connection unhealthy, nor an unhealthy one healthy.
    #[must_use]
    pub fn observe(&self, observed: Observation, credentials: Credentials, now: Timestamp) -> Self {
        let Observation { findings, facts } = observed;
        let known_before = |name: CheckName| match credentials {
            Credentials::Same => self.checks.iter().find(|check| check.name == name)?.known.clone(),
            // The app may be the same. The check of everything that follows decides.
            Credentials::Replaced => self.failed_upload_access().filter(|_| name == CheckName::UploadAccess),
        };
        let checks: Vec<CheckState> = CheckName::ALL
            .into_iter()
            .zip(findings)
            .map(|(name, latest)| {
                let is_known = latest.result != CheckResult::Unknown;
                let known = if is_known { Some(latest.clone()) } else { known_before(name) };
                CheckState { name, latest, known }
            })
            .collect();
        let facts = match credentials {
            Credentials::Same => facts.or(&self.facts),
            Credentials::Replaced => facts,
        };
        let problem = problem_of(&checks);
        let status = status_of(&checks);
        let since = if status == self.status { self.since } else { now };
        let is_reported_unhealthy = match status {
            HealthStatus::Unhealthy => true,
            HealthStatus::Healthy => false,
            HealthStatus::Unverified => self.is_reported_unhealthy,
        };
        Self { status, since, problem, checks, facts, checked_at: Some(now), is_reported_unhealthy }
    }

    fn failed_upload_access(&self) -> Option<Finding> {
        let check = self.checks.iter().find(|check| check.name == CheckName::UploadAccess)?;
        check.known.clone().filter(|finding| finding.result == CheckResult::Fail)
    }

    /// The report to the account after a change from `before` to this. A connection recovers only from a report that it is
    /// unhealthy, perhaps through being unverified.
    pub fn report_after(&self, before: &Self) -> Option<HealthReport> {
        match (before.is_reported_unhealthy, self.is_reported_unhealthy) {
            (false, true) => Some(HealthReport::Unhealthy),
            (true, false) => Some(HealthReport::Recovered),
            _ => None,
        }
    }

    /// The change of status from `before` to this.
    pub fn transition_from(&self, before: &Self) -> Option<Transition> {
        (before.status != self.status).then_some(Transition { from: before.status, to: self.status })
    }
}

fn known(check: &CheckState) -> CheckResult {
    check.known.as_ref().map_or(CheckResult::Unknown, |finding| finding.result)
}

fn status_of(checks: &[CheckState]) -> HealthStatus {
    if checks.iter().any(|check| known(check) == CheckResult::Fail) {
        return HealthStatus::Unhealthy;
    }
    let required = checks.iter().filter(|check| CheckName::REQUIRED.contains(&check.name));
    if required.clone().count() > 0 && required.clone().all(|check| known(check) == CheckResult::Pass) {
        HealthStatus::Healthy
    } else {
        HealthStatus::Unverified
    }
}

fn problem_of(checks: &[CheckState]) -> Option<HealthProblem> {
    let failed = checks.iter().filter_map(|check| check.known.as_ref());
    failed
        .filter(|finding| finding.result == CheckResult::Fail)
        .find_map(|finding| Some(HealthProblem { code: finding.code?, message: finding.message.clone() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    fn with(mut observation: Observation, name: CheckName, finding: Finding) -> Observation {
        let position = CheckName::ALL.iter().position(|other| *other == name).unwrap();
        observation.findings[position] = finding;
        observation
    }

    fn rejected() -> Observation {
        let finding = Finding::fail(ProblemCode::TokenRejected, "The access token is unknown to Vimeo.");
        with(Observation::accepted(), CheckName::Token, finding)
    }

    fn unknown() -> Observation {
        Observation::unknown("Vimeo could not be reached.")
    }

    #[test]
    fn the_status_follows_what_is_known() {
        let new = Health::unverified(at(0));
        let healthy = new.observe(Observation::accepted(), Credentials::Same, at(1));
        assert_eq!((healthy.status, healthy.since), (HealthStatus::Healthy, at(1)));
        let unhealthy = healthy.observe(rejected(), Credentials::Same, at(2));
        assert_eq!((unhealthy.status, unhealthy.since), (HealthStatus::Unhealthy, at(2)));
        assert_eq!(unhealthy.problem.as_ref().unwrap().code, ProblemCode::TokenRejected);
        let transition = unhealthy.transition_from(&healthy).unwrap();
        assert_eq!((transition.from, transition.to), (HealthStatus::Healthy, HealthStatus::Unhealthy));
        let still = unhealthy.observe(rejected(), Credentials::Same, at(3));
        assert_eq!((still.since, still.transition_from(&unhealthy)), (at(2), None));
        let recovered = still.observe(Observation::accepted(), Credentials::Same, at(4));
        assert_eq!((recovered.status, recovered.problem), (HealthStatus::Healthy, None));
    }

    #[test]
    fn an_unknown_result_changes_no_status_and_is_shown() {
        let new = Health::unverified(at(0));
        let healthy = new.observe(Observation::accepted(), Credentials::Same, at(1));
        let unhealthy = healthy.observe(rejected(), Credentials::Same, at(2));
        for before in [new, healthy, unhealthy] {
            let after = before.observe(unknown(), Credentials::Same, at(9));
            assert_eq!((after.status, after.since), (before.status, before.since));
            assert_eq!(after.problem, before.problem);
            assert!(after.checks.iter().all(|check| check.latest.result == CheckResult::Unknown));
        }
    }

    #[test]
    fn what_was_known_of_replaced_credentials_is_forgotten() {
        let broken = Health::unverified(at(0)).observe(rejected(), Credentials::Same, at(1));
        let after = broken.observe(unknown(), Credentials::Replaced, at(2));
        assert_eq!((after.status, after.problem), (HealthStatus::Unverified, None));
        let renewed = broken.observe(Observation::accepted(), Credentials::Replaced, at(2));
        assert_eq!(renewed.status, HealthStatus::Healthy);
    }

    #[test]
    fn missing_upload_access_lasts_until_vimeo_says_otherwise() {
        let missing = Finding::fail(ProblemCode::UploadAccessMissing, "The app may not upload.");
        let observed = with(Observation::accepted(), CheckName::UploadAccess, missing);
        let unhealthy = Health::unverified(at(0)).observe(observed, Credentials::Same, at(1));
        assert_eq!(unhealthy.status, HealthStatus::Unhealthy);
        let after = unhealthy.observe(Observation::accepted(), Credentials::Same, at(2));
        assert_eq!(after.status, HealthStatus::Unhealthy, "it was not asked");
        let granted = with(Observation::accepted(), CheckName::UploadAccess, Finding::pass("May upload."));
        assert_eq!(after.observe(granted, Credentials::Same, at(3)).status, HealthStatus::Healthy);
    }

    #[test]
    fn a_recovery_is_reported_only_after_a_failure() {
        let new = Health::unverified(at(0));
        let verified = new.observe(Observation::accepted(), Credentials::Same, at(1));
        assert_eq!(verified.report_after(&new), None);
        let broken = verified.observe(rejected(), Credentials::Same, at(2));
        assert_eq!(broken.report_after(&verified), Some(HealthReport::Unhealthy));
        let replaced = broken.observe(unknown(), Credentials::Replaced, at(3));
        assert_eq!((replaced.status, replaced.report_after(&broken)), (HealthStatus::Unverified, None));
        let still = replaced.observe(rejected(), Credentials::Same, at(4));
        assert_eq!(still.report_after(&replaced), None, "it was reported");
        let recovered = replaced.observe(Observation::accepted(), Credentials::Same, at(4));
        assert_eq!(recovered.report_after(&replaced), Some(HealthReport::Recovered));
    }

    #[test]
    fn other_credentials_are_no_proof_of_upload_access() {
        let missing = Finding::fail(ProblemCode::UploadAccessMissing, "The app may not upload.");
        let observed = with(Observation::accepted(), CheckName::UploadAccess, missing);
        let broken = Health::unverified(at(0)).observe(observed, Credentials::Same, at(1));
        let replaced = broken.observe(Observation::accepted(), Credentials::Replaced, at(2));
        assert_eq!(replaced.status, HealthStatus::Unhealthy);
        let granted = with(Observation::accepted(), CheckName::UploadAccess, Finding::pass("May upload."));
        assert_eq!(replaced.observe(granted, Credentials::Same, at(3)).status, HealthStatus::Healthy);
    }

    #[test]
    fn a_warning_is_no_problem() {
        let full = with(Observation::accepted(), CheckName::Quota, Finding::warn("No space is left."));
        let after = Health::unverified(at(0)).observe(full, Credentials::Same, at(1));
        assert_eq!((after.status, after.problem), (HealthStatus::Healthy, None));
    }
}
