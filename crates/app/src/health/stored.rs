//! The stored form of a health's details. Later versions must read it: fields are added, never changed.

use domain::health::{
    AccountFacts, CheckName, CheckResult, CheckState, Credentials, Finding, FreeBytes, Health, HealthProblem,
    HealthStatus, Observation, ProblemCode, VimeoUser,
};
use serde::{Deserialize, Serialize};
use store::HealthRow;

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Kept {
    problem: Option<KeptProblem>,
    checks: Vec<KeptCheck>,
    user: Option<KeptUser>,
    scopes: Option<Vec<String>>,
    quota: Option<KeptQuota>,
    allowed_privacies: Option<Vec<String>>,
    is_reported_unhealthy: bool,
}

#[derive(Serialize, Deserialize)]
struct KeptProblem {
    code: String,
    message: String,
}

#[derive(Serialize, Deserialize)]
struct KeptCheck {
    name: String,
    latest: KeptFinding,
    known: Option<KeptFinding>,
}

#[derive(Serialize, Deserialize)]
struct KeptFinding {
    result: String,
    message: String,
    code: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct KeptUser {
    name: String,
    uri: String,
    account_type: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct KeptQuota {
    space: Option<u64>,
    period: Option<u64>,
    restricted: Option<u64>,
}

/// The details of a health, as text.
pub(super) fn details(health: &Health) -> String {
    let keep = |finding: &Finding| KeptFinding {
        result: finding.result.as_str().to_owned(),
        message: finding.message.clone(),
        code: finding.code.map(|code| code.as_str().to_owned()),
    };
    let facts = &health.facts;
    let kept = Kept {
        problem: health.problem.as_ref().map(|problem| KeptProblem {
            code: problem.code.as_str().to_owned(),
            message: problem.message.clone(),
        }),
        checks: health
            .checks
            .iter()
            .map(|check| KeptCheck {
                name: check.name.as_str().to_owned(),
                latest: keep(&check.latest),
                known: check.known.as_ref().map(keep),
            })
            .collect(),
        user: facts.user.as_ref().map(|user| KeptUser {
            name: user.name.clone(),
            uri: user.uri.clone(),
            account_type: user.account_type.clone(),
        }),
        scopes: facts.scopes.clone(),
        quota: facts.quota.map(|free| KeptQuota {
            space: free.space,
            period: free.period,
            restricted: free.restricted,
        }),
        allowed_privacies: facts.allowed_privacies.clone(),
        is_reported_unhealthy: health.is_reported_unhealthy,
    };
    // Texts and numbers always serialise.
    serde_json::to_string(&kept).unwrap_or_default()
}

/// What a list shows of a row's details.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct HealthSummary {
    pub(crate) problem: Option<ProblemCode>,
    pub(crate) vimeo_account: Option<String>,
}

/// The summary of a row, without reading the rest of its details: a list has many rows.
pub(crate) fn summary(row: &HealthRow) -> HealthSummary {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Part {
        problem: Option<Problem>,
        user: Option<User>,
    }
    #[derive(Deserialize)]
    struct Problem {
        code: String,
    }
    #[derive(Deserialize)]
    struct User {
        name: String,
    }
    let read = row.details.as_deref().and_then(|details| serde_json::from_str::<Part>(details).ok());
    read.map_or_else(HealthSummary::default, |part| HealthSummary {
        problem: part.problem.and_then(|problem| ProblemCode::parse(&problem.code)),
        vimeo_account: part.user.map(|user| user.name),
    })
}

/// The health of a row. A new connection has no details: its creation has checked what is required, or nothing.
pub(super) fn health(row: &HealthRow) -> Health {
    let base = Health { status: row.status, checked_at: row.checked_at, ..Health::unverified(row.since) };
    let Some(kept) = row.details.as_deref().and_then(|details| serde_json::from_str::<Kept>(details).ok())
    else {
        let Some(at) = row.checked_at.filter(|_| row.status == HealthStatus::Healthy) else { return base };
        let accepted = base.observe(Observation::accepted(), Credentials::Replaced, at);
        return Health { since: row.since, ..accepted };
    };
    let quota = kept.quota.map(|quota| FreeBytes {
        space: quota.space,
        period: quota.period,
        restricted: quota.restricted,
    });
    Health {
        problem: kept.problem.and_then(|problem| {
            Some(HealthProblem { code: ProblemCode::parse(&problem.code)?, message: problem.message })
        }),
        checks: kept.checks.into_iter().filter_map(check).collect(),
        facts: AccountFacts {
            user: kept.user.map(|user| VimeoUser {
                name: user.name,
                uri: user.uri,
                account_type: user.account_type,
            }),
            scopes: kept.scopes,
            quota,
            allowed_privacies: kept.allowed_privacies,
        },
        is_reported_unhealthy: kept.is_reported_unhealthy,
        ..base
    }
}

/// A check that this version knows.
fn check(kept: KeptCheck) -> Option<CheckState> {
    Some(CheckState {
        name: CheckName::parse(&kept.name)?,
        latest: finding(kept.latest)?,
        known: kept.known.and_then(finding),
    })
}

fn finding(kept: KeptFinding) -> Option<Finding> {
    let result = CheckResult::parse(&kept.result)?;
    Some(Finding { result, message: kept.message, code: kept.code.as_deref().and_then(ProblemCode::parse) })
}

#[cfg(test)]
mod tests {
    use domain::time::Timestamp;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    fn row(health: &Health, details: Option<String>) -> HealthRow {
        HealthRow {
            status: health.status,
            since: health.since,
            checked_at: health.checked_at,
            next_check_at: None,
            unanswered: 0,
            revision: 1,
            details,
        }
    }

    #[test]
    fn a_health_is_read_back_as_it_was_stored() {
        let mut observed = Observation::accepted();
        observed.findings[1] = Finding::fail(ProblemCode::TokenRejected, "It is unknown.");
        observed.facts = AccountFacts {
            user: Some(VimeoUser { name: "Vera".into(), uri: "/users/7".into(), account_type: None }),
            scopes: Some(vec!["upload".into()]),
            quota: Some(FreeBytes { space: Some(7), period: None, restricted: Some(0) }),
            allowed_privacies: Some(vec!["nobody".into()]),
        };
        let health = Health::unverified(at(0)).observe(observed, Credentials::Same, at(5));
        let stored = row(&health, Some(details(&health)));
        assert_eq!(super::health(&stored), health);
        let (problem, vimeo_account) = (Some(ProblemCode::TokenRejected), Some("Vera".to_owned()));
        assert_eq!(summary(&stored), HealthSummary { problem, vimeo_account });
        assert_eq!(summary(&row(&health, None)), HealthSummary::default());
        let unanswered = health.observe(Observation::unknown("No answer."), Credentials::Same, at(6));
        assert_eq!(super::health(&row(&unanswered, Some(details(&unanswered)))), unanswered);
    }

    #[test]
    fn a_new_connection_has_passed_the_required_checks() {
        let new =
            Health { checked_at: Some(at(3)), status: HealthStatus::Healthy, ..Health::unverified(at(3)) };
        let read = super::health(&row(&new, None));
        assert_eq!((read.status, read.since, read.checks.len()), (HealthStatus::Healthy, at(3), 7));
        let unverified = super::health(&row(&Health::unverified(at(3)), None));
        assert_eq!(unverified, Health::unverified(at(3)));
    }
}
