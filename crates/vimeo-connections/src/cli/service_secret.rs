//! `service-secret`: replacing the secret that keys the hashes and MACs of a database.

use std::process::ExitCode;

use app::{App, Pace, SecretState, ServiceSecretStatus};
use clap::Subcommand;
use domain::time::Timestamp;
use serde_json::{Value, json};

use super::keyring::PaceArguments;
use super::{BoxError, Format, output};

#[derive(Subcommand)]
pub(super) enum Command {
    /// Show the number of the secret in use, and how far a replacement is
    Status {
        #[command(flatten)]
        format: Format,
    },
    /// Replace the secret that keys the hashes and MACs, while the service runs; rerun to resume
    ///
    /// Every row that has a MAC is signed again. API keys, sessions and exported audit heads stay valid. A running service retires
    /// the former secret an hour later, when no request that has read it is left.
    Replace {
        #[command(flatten)]
        pace: PaceArguments,
        #[command(flatten)]
        format: Format,
    },
}

pub(super) async fn run(app: &App, command: Command) -> Result<ExitCode, BoxError> {
    match command {
        Command::Status { format } => show_status(app, &format).await,
        Command::Replace { pace, format } => replace(app, &pace, &format).await,
    }
}

async fn replace(app: &App, pace: &PaceArguments, format: &Format) -> Result<ExitCode, BoxError> {
    let progress = |done| output::report_progress(&format!("{done} rows signed"));
    let replaced = app.replace_service_secret(Pace::per_second(pace.per_second), progress).await;
    output::end_progress();
    let report = replaced?;
    if format.json {
        let mut shown = status_json(&report.status);
        if let Value::Object(fields) = &mut shown {
            fields.insert("resumed".to_owned(), json!(report.is_resumed));
            fields.insert("signedRows".to_owned(), json!(report.signed));
            fields.insert("foreignRows".to_owned(), json!(report.foreign));
        }
        return output::print_json(&shown);
    }
    let done = if report.is_resumed { "Continued the replacement of" } else { "Replaced" };
    let foreign = match report.foreign {
        0 => String::new(),
        rows => format!(
            "\n{rows} rows were not written by this service, or were changed since: they are not accepted, as before. The \
             warnings above name them."
        ),
    };
    output::print(&format!(
        "{done} the service secret (rows signed: {}).{foreign}\n{}",
        report.signed,
        describe(&report.status)
    ))
}

async fn show_status(app: &App, format: &Format) -> Result<ExitCode, BoxError> {
    let status = app.find_service_secret_status().await?;
    if format.json {
        return output::print_json(&status_json(&status));
    }
    output::print(&describe(&status))
}

fn describe(status: &ServiceSecretStatus) -> String {
    let state = match status.state {
        SecretState::Complete => String::new(),
        SecretState::Started => {
            "\nIts replacement has started: run `vimeo-connections service-secret replace` to finish it."
                .to_owned()
        }
        SecretState::Switched { former_until } => format!(
            "\nThe former secret still verifies what requests in flight have signed; a running service retires it after \
             {former_until}."
        ),
    };
    let retired = match status.retired.first() {
        Some((_, at)) => format!("\nRetired secrets: {}, the last one at {at}.", status.retired.len()),
        None => String::new(),
    };
    format!("The service secret {} is in use.{state}{retired}", status.number)
}

fn status_json(status: &ServiceSecretStatus) -> Value {
    let (state, former_until) = match status.state {
        SecretState::Complete => ("complete", None),
        SecretState::Started => ("started", None),
        SecretState::Switched { former_until } => ("switched", Some(former_until)),
    };
    let retired = status.retired.iter();
    json!({
        "number": status.number,
        "state": state,
        "formerUntil": former_until.as_ref().map(Timestamp::to_string),
        "retired": retired.map(|(number, at)| json!({ "number": number, "at": at.to_string() })).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_says_what_comes_next() {
        let at = Timestamp::from_millis(0);
        let status = |state, retired| ServiceSecretStatus { number: 2, state, retired };
        let complete = describe(&status(SecretState::Complete, Vec::new()));
        assert_eq!(complete, "The service secret 2 is in use.");
        let started = describe(&status(SecretState::Started, Vec::new()));
        assert!(started.contains("service-secret replace"), "{started}");
        let switched = describe(&status(SecretState::Switched { former_until: at }, vec![(1, at)]));
        assert!(switched.contains("retires it after 1970-01-01"), "{switched}");
        assert!(switched.contains("Retired secrets: 1"), "{switched}");
    }
}
