//! The headers of responses in the description.

use serde_json::{Map, Value, json};

/// Adds the headers of all responses, and marks headers that are always present.
pub(super) fn complete_headers(status: &str, response: &mut Value) {
    let Some(response) = response.as_object_mut() else { return };
    let headers = response.entry("headers").or_insert_with(|| json!({}));
    let Some(headers) = headers.as_object_mut() else { return };
    for (name, header) in headers.iter_mut() {
        let is_always_there = match name.as_str() {
            "Location" | "ETag" | "WWW-Authenticate" | "X-Accel-Buffering" => true,
            "Retry-After" => matches!(status, "429" | "503"),
            _ => false,
        };
        if let Some(header) = header.as_object_mut().filter(|_| is_always_there) {
            header.insert("required".to_owned(), json!(true));
        }
    }
    headers.insert("X-Request-Id".to_owned(), request_id_header());
    headers.insert("Cache-Control".to_owned(), cache_control_header());
}

/// Describes the rate headers in the responses of an operation that needs a key.
pub(super) fn describe_rates(operation: &mut Map<String, Value>) {
    let responses = operation.get_mut("responses").and_then(Value::as_object_mut);
    for (status, response) in responses.into_iter().flatten() {
        // A request without a valid key has no policies, unless there were too many of them.
        if let Some(headers) =
            response.get_mut("headers").and_then(Value::as_object_mut).filter(|_| status != "401")
        {
            for (name, description) in [
                (
                    "RateLimit",
                    "What remains of each quota: `r` requests now, and the whole quota after `t` seconds; if nothing remains, one request after `t` seconds. Missing if no limit is configured.",
                ),
                (
                    "RateLimit-Policy",
                    "The quota of the API key and of its account: `q` requests per `w` seconds. Missing if no limit is configured.",
                ),
            ] {
                headers.insert(
                    name.to_owned(),
                    json!({ "description": description, "schema": { "type": "string" } }),
                );
            }
        }
    }
}

fn request_id_header() -> Value {
    json!({
        "description": "The request's own ID if it is `[A-Za-z0-9._-]{1,64}`, else a new one.",
        "required": true,
        "schema": { "type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$" },
    })
}

pub(super) fn ignored_fields_header() -> Value {
    json!({ "description": "Names of fields that were ignored, up to 20.", "schema": { "type": "string" } })
}

fn cache_control_header() -> Value {
    json!({ "description": "Always `no-store`.", "required": true, "schema": { "type": "string", "const": "no-store" } })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn responses_to_a_key_have_rate_headers_and_others_do_not() {
        let document: Value = serde_json::from_str(&crate::openapi_json("/base")).unwrap();
        let mut count = 0;
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                for (status, response) in operation["responses"].as_object().unwrap() {
                    let needs_key = operation["security"] != json!([]);
                    for header in ["RateLimit", "RateLimit-Policy"] {
                        let is_described = response["headers"].get(header).is_some();
                        assert_eq!(is_described, needs_key && status != "401", "{method} {path} {status}");
                        count += usize::from(is_described);
                    }
                }
            }
        }
        assert!(count > 100, "{count}");
    }
}
