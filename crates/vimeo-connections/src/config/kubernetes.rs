//! The environment variables that Kubernetes sets for each service of a namespace.

use std::net::IpAddr;

use super::layers::PREFIX;

/// Whether a variable with the service's prefix was set by Kubernetes for a service with a similar name
/// (`vimeo-connections`, `vimeo-connections-postgresql`). Name and value must match the complete pattern: a misspelt
/// variable of the configuration is still an error.
pub(super) fn is_service_variable(name: &str, value: &str) -> bool {
    let Some(rest) = name.strip_prefix(PREFIX) else { return false };
    // `__` separates sections of configuration keys; Kubernetes writes a single `_` for a hyphen.
    if rest.contains("__") {
        return false;
    }
    // The leading underscore allows for a service with exactly this name.
    let rest = format!("_{rest}");
    let ends = |end: &str| rest.ends_with(end);
    let is_port = value.parse::<u16>().is_ok();
    if ends("_SERVICE_HOST") {
        return value.parse::<IpAddr>().is_ok();
    }
    if ends("_SERVICE_PORT") || rest.contains("_SERVICE_PORT_") {
        return is_port;
    }
    if let Some((_, link)) = rest.rsplit_once("_PORT_").filter(|(_, link)| is_link(link)) {
        return match link.split('_').nth(2) {
            None => is_link_url(value),
            Some("PROTO") => is_protocol(&value.to_ascii_uppercase()),
            _ => value.parse::<IpAddr>().is_ok(),
        };
    }
    // `…_PORT_5432_TCP_PORT` ends like a variable of a whole service.
    if let Some((_, link)) = rest.strip_suffix("_PORT").and_then(|front| front.rsplit_once("_PORT_"))
        && is_link(link)
    {
        return is_port;
    }
    ends("_PORT") && is_link_url(value)
}

/// `5432_TCP`, `5432_TCP_PROTO` or `5432_TCP_ADDR`.
fn is_link(text: &str) -> bool {
    let mut parts = text.split('_');
    parts.next().is_some_and(|port| port.parse::<u16>().is_ok())
        && parts.next().is_some_and(is_protocol)
        && matches!((parts.next(), parts.next()), (None | Some("PROTO" | "ADDR"), None))
}

fn is_protocol(text: &str) -> bool {
    matches!(text, "TCP" | "UDP" | "SCTP")
}

/// `tcp://10.0.0.1:5432`.
fn is_link_url(text: &str) -> bool {
    text.split_once("://").is_some_and(|(protocol, place)| {
        is_protocol(&protocol.to_ascii_uppercase())
            && place.rsplit_once(':').is_some_and(|(host, port)| {
                let host = host.trim_start_matches('[').trim_end_matches(']');
                host.parse::<IpAddr>().is_ok() && port.parse::<u16>().is_ok()
            })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_of_services_with_similar_names_are_recognised() {
        for service in ["", "POSTGRESQL_", "2_DB_"] {
            for (rest, value) in [
                ("SERVICE_HOST", "10.0.0.1"),
                ("SERVICE_HOST", "fd00::1"),
                ("SERVICE_PORT", "5432"),
                ("SERVICE_PORT_HTTP", "8080"),
                ("SERVICE_PORT_TCP_POSTGRESQL", "5432"),
                ("PORT", "tcp://10.0.0.1:5432"),
                ("PORT", "tcp://[fd00::1]:5432"),
                ("PORT_5432_TCP", "tcp://10.0.0.1:5432"),
                ("PORT_53_UDP", "udp://10.0.0.1:53"),
                ("PORT_5432_TCP_PROTO", "tcp"),
                ("PORT_5432_TCP_PORT", "5432"),
                ("PORT_5432_TCP_ADDR", "10.0.0.1"),
            ] {
                let name = format!("VIMEO_CONNECTIONS_{service}{rest}");
                assert!(is_service_variable(&name, value), "{name}={value}");
            }
        }
    }

    #[test]
    fn a_misspelt_variable_of_the_configuration_is_not_one_of_them() {
        for (rest, value) in [
            ("LISTEN_PORT", "8080"),
            ("LISTENN", "127.0.0.1:1"),
            ("PORT", "8080"),
            ("SERVICE_HOST", "example"),
            ("SERVICE_PORT", "http"),
            ("PORT_HTTP", "tcp://10.0.0.1:80"),
            ("PORT_5432_TCP", "5432"),
            ("PORT_5432_TCP_NAME", "x"),
            ("STORE__SERVICE_PORT", "1"),
            ("VIMEO_SERVICE_PORTS", "1"),
            ("SERVICE", "1"),
        ] {
            let name = format!("VIMEO_CONNECTIONS_{rest}");
            assert!(!is_service_variable(&name, value), "{name}={value}");
        }
    }
}
