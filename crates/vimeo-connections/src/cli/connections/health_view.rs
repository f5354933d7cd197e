//! The health of a connection as the API presents it, from the database or from a remote service.

use std::process::ExitCode;

use app::ConnectionReport;
use domain::health::{CheckName, CheckResult, HealthStatus, ProblemCode};
use indicatif::BinaryBytes;
use serde::Deserialize;
use serde_json::Value;

use crate::cli::output::on_one_line;
use crate::exit::ExitStatus;

/// A health, with every field that was sent.
#[derive(Debug, Clone)]
pub(super) struct HealthView {
    /// As it is printed.
    pub(super) json: Value,
    fields: Fields,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fields {
    status: String,
    checked_date: Option<String>,
    next_check_date: Option<String>,
    vimeo_user: Option<VimeoUser>,
    scopes: Option<Vec<String>>,
    quota: Option<Quota>,
    allowed_privacies: Option<Vec<String>>,
    checks: Vec<Check>,
    problem: Option<Problem>,
    since: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct VimeoUser {
    name: String,
    uri: String,
    account_type: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_field_names, reason = "the names of the API")]
struct Quota {
    space_free_bytes: Option<u64>,
    period_free_bytes: Option<u64>,
    restricted_free_bytes: Option<u64>,
}

#[derive(Debug, Clone, Deserialize)]
struct Check {
    name: String,
    result: String,
    message: String,
}

#[derive(Debug, Clone, Deserialize)]
struct Problem {
    code: String,
    message: String,
}

/// What a check says about a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Vimeo accepts the credentials.
    Healthy,
    /// Vimeo did not say.
    NotVerified,
    /// Uploads fail.
    Unhealthy,
}

impl Verdict {
    /// The exit status of a command that has verified it.
    pub(super) fn exit_code(self) -> ExitCode {
        match self {
            Self::Healthy => ExitCode::SUCCESS,
            Self::NotVerified => ExitCode::from(ExitStatus::NotVerified.code()),
            Self::Unhealthy => ExitCode::from(ExitStatus::Failure.code()),
        }
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::NotVerified => "not verified",
            Self::Unhealthy => "unhealthy",
        }
    }
}

impl HealthView {
    pub(super) fn of(report: &ConnectionReport) -> Result<Self, serde_json::Error> {
        Self::parse(serde_json::to_value(web::connection_json::present_health(report))?)
    }

    pub(super) fn parse(json: Value) -> Result<Self, serde_json::Error> {
        Ok(Self { fields: Fields::deserialize(&json)?, json })
    }

    /// A healthy connection is not verified if Vimeo did not answer the last check.
    pub(super) fn verdict(&self) -> Verdict {
        match HealthStatus::parse(&self.fields.status) {
            Some(HealthStatus::Unhealthy) => Verdict::Unhealthy,
            Some(HealthStatus::Healthy) if self.unanswered().is_none() => Verdict::Healthy,
            _ => Verdict::NotVerified,
        }
    }

    /// The first required check that Vimeo did not answer. If one fails, the others may be unknown because they depend on
    /// it.
    fn unanswered(&self) -> Option<&Check> {
        let is_required =
            |name: &str| CheckName::parse(name).is_some_and(|name| CheckName::REQUIRED.contains(&name));
        let required: Vec<_> = self.fields.checks.iter().filter(|check| is_required(&check.name)).collect();
        let find = |result: CheckResult| required.iter().find(|check| check.result == result.as_str());
        find(CheckResult::Unknown).filter(|_| find(CheckResult::Fail).is_none()).copied()
    }

    /// Its status, with what a person must know about it.
    fn status(&self) -> String {
        let Fields { status, checked_date, .. } = &self.fields;
        match (checked_date, self.unanswered()) {
            (None, None) => format!("{status} (Vimeo has not been asked)"),
            (_, Some(_)) => format!("{status} (Vimeo did not answer the last check)"),
            (Some(_), None) => status.clone(),
        }
    }

    /// The status, why, and since when, on one line.
    pub(super) fn summary(&self) -> String {
        let problem = self.fields.problem.as_ref();
        let problem = problem.map(|problem| format!(": {}", problem.code)).unwrap_or_default();
        on_one_line(&format!("{}{problem}, since {}", self.status(), self.fields.since))
    }

    /// Why the connection is not healthy, on one line.
    pub(super) fn reason(&self) -> String {
        let unanswered = || self.unanswered().map(|check| check.message.clone());
        let reason = match &self.fields.problem {
            Some(problem) => format!("{}: {}", problem.code, problem.message),
            None => unanswered().unwrap_or_else(|| "Vimeo has not been asked.".to_owned()),
        };
        on_one_line(&reason)
    }

    /// All fields, each with its title. `update`: the command that updates the connection.
    pub(super) fn lines(&self, update: &str) -> Vec<(&'static str, String)> {
        let fields = &self.fields;
        let mut lines = vec![("health", self.status()), ("since", fields.since.clone())];
        lines.extend(fields.checked_date.iter().map(|at| ("checked", at.clone())));
        lines.extend(fields.next_check_date.iter().map(|at| ("next check", at.clone())));
        lines.extend(fields.vimeo_user.iter().map(|user| ("Vimeo account", user.text())));
        let free = fields.quota.as_ref().and_then(Quota::text);
        lines.extend(free.map(|free| ("free space", free)));
        lines.extend(fields.scopes.iter().map(|scopes| ("scopes", scopes.join(", "))));
        lines.extend(fields.allowed_privacies.iter().map(|views| ("allowed views", views.join(", "))));
        for check in &fields.checks {
            let texts = check.message.lines().map(|line| format!("{} {}: {line}", check.name, check.result));
            lines.extend(texts.map(|text| ("check", text)));
        }
        if let Some(problem) = &fields.problem {
            let texts = problem.message.lines().map(|line| format!("{}: {line}", problem.code));
            lines.extend(texts.map(|text| ("problem", text)));
            let options = ProblemCode::parse(&problem.code).and_then(options_to_fix);
            lines.extend(options.map(|options| ("fix with", format!("{update} {options}"))));
        }
        lines
    }
}

impl VimeoUser {
    fn text(&self) -> String {
        let plan = self.account_type.as_ref().map(|plan| format!(" ({plan})")).unwrap_or_default();
        format!("{}{plan}, {}", self.name, self.uri)
    }
}

impl Quota {
    /// `None`: unlimited, or not known.
    fn text(&self) -> Option<String> {
        let pools = [
            (self.space_free_bytes, "in total"),
            (self.period_free_bytes, "in this period"),
            (self.restricted_free_bytes, "for videos that are not public"),
        ];
        let known = pools.iter().filter_map(|(free, what)| Some(format!("{} {what}", BinaryBytes((*free)?))));
        let known: Vec<_> = known.collect();
        (!known.is_empty()).then(|| known.join(", "))
    }
}

/// The options of `connections update` for what must be replaced; `None`: nothing that is stored here.
fn options_to_fix(problem: ProblemCode) -> Option<&'static str> {
    match problem {
        ProblemCode::ClientCredentialsRejected => Some("--client-identifier IDENTIFIER --ask-client-secret"),
        ProblemCode::TokenRejected
        | ProblemCode::TokenWithoutUser
        | ProblemCode::TokenOfAnotherApp
        | ProblemCode::ScopesMissing => Some("--ask-access-token"),
        ProblemCode::UploadAccessMissing => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn view(status: &str, results: &[(&str, &str)]) -> HealthView {
        let check = |(name, result): &(&str, &str)| json!({"name": name, "result": result, "message": "M."});
        let checks: Vec<_> = results.iter().map(check).collect();
        HealthView::parse(json!({"status": status, "checkedDate": "d", "checks": checks, "since": "s"}))
            .unwrap()
    }

    #[test]
    fn the_verdict_is_that_of_the_last_check() {
        let pass = [("client_credentials", "pass"), ("token", "pass"), ("quota", "unknown")];
        let unknown = [("client_credentials", "pass"), ("token", "unknown")];
        for (status, results, verdict) in [
            ("healthy", &pass[..], Verdict::Healthy),
            ("healthy", &unknown, Verdict::NotVerified),
            ("unhealthy", &pass, Verdict::Unhealthy),
            ("unhealthy", &unknown, Verdict::Unhealthy),
            ("unverified", &unknown, Verdict::NotVerified),
            ("unverified", &[], Verdict::NotVerified),
            ("of a later version", &pass, Verdict::NotVerified),
        ] {
            assert_eq!(view(status, results).verdict(), verdict, "{status} {results:?}");
        }
        assert_eq!(view("healthy", &unknown).status(), "healthy (Vimeo did not answer the last check)");
        let failed = [("client_credentials", "pass"), ("token", "fail"), ("scopes", "unknown")];
        assert_eq!(view("unhealthy", &failed).status(), "unhealthy", "the scopes depend on the token");
    }

    #[test]
    fn free_space_is_shown_where_it_is_known() {
        let quota = |space, restricted| Quota {
            space_free_bytes: space,
            period_free_bytes: None,
            restricted_free_bytes: restricted,
        };
        assert_eq!(quota(None, None).text(), None);
        let text = quota(Some(5 << 30), Some(0)).text();
        assert_eq!(text.as_deref(), Some("5.00 GiB in total, 0 B for videos that are not public"));
    }

    #[test]
    fn a_problem_is_shown_line_by_line_with_the_command_that_fixes_it() {
        let mut json = view("unhealthy", &[("scopes", "fail")]).json;
        json["problem"] = json!({"code": "SCOPES_MISSING", "message": "One.\nTwo."});
        let lines = HealthView::parse(json).unwrap().lines("update X");
        let tail: Vec<_> = lines.iter().rev().take(3).rev().cloned().collect();
        let expected = [
            ("problem", "SCOPES_MISSING: One."),
            ("problem", "SCOPES_MISSING: Two."),
            ("fix with", "update X --ask-access-token"),
        ];
        assert_eq!(tail, expected.map(|(title, text)| (title, text.to_owned())));
    }
}
