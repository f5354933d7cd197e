//! Where traces are sent.

use http::Uri;
use rustls::ClientConfig;

use super::Reader;

/// The path below the endpoint (OTLP over HTTP).
const TRACES: &str = "/v1/traces";

/// Settings for traces by OTLP.
#[derive(Debug, Clone)]
pub(crate) struct TracesConfig {
    /// The URL of the receiver, with its path.
    pub(crate) url: String,
    /// Part of the traces without a parent that is exported: 0 to 1.
    pub(crate) sampled: f64,
    /// TLS configuration with the trusted root certificates.
    pub(crate) tls: Option<ClientConfig>,
}

impl Reader<'_> {
    /// `None` if traces are not exported.
    pub(super) fn traces(&mut self, tls: Option<&ClientConfig>) -> Option<TracesConfig> {
        self.text("otlp.endpoint")?;
        let url = self.parsed("otlp.endpoint", |text| parse_endpoint(text, tls))?;
        let percent = u32::try_from(self.number("otlp.sample_percent")?).ok()?;
        Some(TracesConfig { url, sampled: f64::from(percent) / 100.0, tls: tls.cloned() })
    }
}

/// The URL of a receiver's base URL.
fn parse_endpoint(text: &str, tls: Option<&ClientConfig>) -> Result<String, String> {
    let wrong = || "must be the URL of an OTLP receiver, such as http://127.0.0.1:4318".to_owned();
    let uri: Uri = text.parse().map_err(|_| wrong())?;
    if uri.path().trim_end_matches('/').ends_with(TRACES) {
        return Err(format!("must not end in {TRACES}, which is added to it"));
    }
    let is_plain = uri.query().is_none() && uri.authority().is_some_and(|host| !host.as_str().contains('@'));
    match uri.scheme_str() {
        Some("https") if is_plain && tls.is_none() => {
            Err("no root certificates found to verify the receiver with: set ca_file".to_owned())
        }
        Some("http" | "https") if is_plain => Ok(format!("{}{TRACES}", text.trim_end_matches('/'))),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_base_url_without_credentials() {
        for (text, expected) in [
            ("http://127.0.0.1:4318", Some("http://127.0.0.1:4318/v1/traces")),
            ("http://collector/otlp/", Some("http://collector/otlp/v1/traces")),
            ("http://collector/v1/traces", None),
            ("http://collector/v1/traces/", None),
            ("https://collector", None),
            ("http://user:canary@collector", None),
            ("http://collector/?canary", None),
            ("grpc://collector", None),
            ("collector:4318", None),
            ("", None),
        ] {
            let parsed = parse_endpoint(text, None);
            assert_eq!(parsed.as_deref().ok(), expected, "{text}");
            assert!(parsed.err().is_none_or(|error| !error.contains("canary")), "{text}");
        }
    }
}
