//! The connection record of all measurements, with and without the service.

/// The placeholder for a number.
pub(crate) const PLACE: &str = "########";
/// The maximum length.
const DESCRIPTION_CHARS: usize = 250;
const SECRET_CHARS: usize = 48;
const TOKEN_CHARS: usize = 32;
const CLIENT_CHARS: usize = 121;

/// The body of a creation, with [`PLACE`] for the number in its name: 600 bytes.
pub(crate) fn body() -> String {
    format!(
        r#"{{"name":"{}","description":"{}","enabled":true,"clientIdentifier":"{}","clientSecret":"{}","accessToken":"{}"}}"#,
        name(PLACE),
        description(0),
        client_identifier(0),
        "5ecret".repeat(SECRET_CHARS / 6),
        "70ken0ne".repeat(TOKEN_CHARS / 8),
    )
}

/// The body of a change, with [`PLACE`] for the version that it was made from.
pub(crate) fn change() -> String {
    format!(r#"{{"version":{PLACE},"enabled":false,"description":"{}"}}"#, description(1))
}

pub(crate) fn name(number: &str) -> String {
    format!("Vimeo account of a customer of the bench {number}")
}

pub(crate) fn description(number: u64) -> String {
    format!("{number:0DESCRIPTION_CHARS$}")
}

pub(crate) fn client_identifier(number: u64) -> String {
    format!("{number:0CLIENT_CHARS$x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_has_the_documented_size() {
        let body = body();
        assert_eq!(body.len(), 600);
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(body["clientSecret"].as_str().unwrap().len(), 48);
        assert_eq!(body["accessToken"].as_str().unwrap().len(), 32);
    }
}
