//! The configuration of webhooks.

use std::path::PathBuf;
use std::time::Duration;

use domain::secret::Secret;

use super::{Reader, keys};

/// The most delays between attempts.
const DELAYS_MAX: usize = 32;
/// The longest delay, in seconds: a week.
const DELAY_MAX_SECONDS: u64 = 604_800;

/// Settings for webhooks.
#[derive(Debug)]
pub(crate) struct WebhooksConfig {
    pub(crate) retry_delays: Vec<Duration>,
    pub(crate) disable_after: Duration,
    pub(crate) operator: Option<OperatorConfig>,
}

/// The operator's endpoint.
#[derive(Debug)]
pub(crate) struct OperatorConfig {
    pub(crate) url: Secret,
    pub(crate) secret_file: PathBuf,
}

impl Reader<'_> {
    pub(super) fn webhooks(&mut self) -> Option<WebhooksConfig> {
        let operator = match (self.text("webhooks.operator_url"), self.text("webhooks.operator_secret_file"))
        {
            (Some(url), Some(file)) => {
                Some(OperatorConfig { url: Secret::new(url), secret_file: file.into() })
            }
            (None, None) => None,
            _ => self.error("webhooks.operator_url", "and webhooks.operator_secret_file go together"),
        };
        let retry_delays = self.parsed("webhooks.retry_delays_seconds", parse_delays);
        Some(WebhooksConfig {
            retry_delays: retry_delays?,
            disable_after: Duration::from_secs(self.number("webhooks.disable_after_seconds")?),
            operator,
        })
    }
}

fn parse_delays(text: &str) -> Result<Vec<Duration>, String> {
    let error = || format!("must be 1 to {DELAYS_MAX} whole numbers from 1 to {DELAY_MAX_SECONDS}");
    let delays: Result<Vec<u64>, _> = keys::split_list(text).iter().map(|delay| delay.parse()).collect();
    let delays = delays.map_err(|_| error())?;
    let is_good = (1..=DELAYS_MAX).contains(&delays.len())
        && delays.iter().all(|delay| (1..=DELAY_MAX_SECONDS).contains(delay));
    if is_good { Ok(delays.into_iter().map(Duration::from_secs).collect()) } else { Err(error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_are_a_list_of_seconds() {
        let seconds = |text| parse_delays(text).map(|delays| delays.iter().map(Duration::as_secs).collect());
        assert_eq!(seconds("1, 604800"), Ok(vec![1, 604_800]));
        for text in ["", "0", "604801", "1,x", "-1", &vec!["1"; 33].join(",")] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_default_delays_take_three_days() {
        let defaults = super::super::webhook_keys::WEBHOOKS[0].default;
        let total: Duration = parse_delays(defaults).unwrap().iter().sum();
        assert!((70..=72).contains(&(total.as_secs() / 3_600)), "{total:?}");
        assert_eq!(defaults, app::DEFAULT_RETRY_DELAYS.map(|delay| delay.to_string()).join(","));
    }
}
