//! The dashboard's switches: frequently used faults, each of which can be turned on and off.

use serde_json::{Value, json};

/// A switch.
pub(super) struct Switch {
    pub(super) name: &'static str,
    pub(super) does: &'static str,
    /// The body that creates its fault.
    pub(super) order: String,
    /// Whether the person may choose how often it happens.
    pub(super) takes_times: bool,
    /// The identifier of its fault, if it is on.
    pub(super) made: Option<String>,
}

/// Every switch; those whose fault is among these are on.
pub(super) fn switches(faults: &[Value]) -> Vec<Switch> {
    let all = orders().into_iter().map(|(name, does, order)| Switch {
        name,
        does,
        takes_times: order.get("for_seconds").is_none() && order.get("probability").is_none(),
        made: faults.iter().find(|fault| is_made_by(fault, &order)).map(|fault| super::text(fault, "id")),
        order: order.to_string(),
    });
    all.collect()
}

fn orders() -> [(&'static str, &'static str, Value); 12] {
    [
        ("Vimeo is down", "503 to everything", json!({"route": "*", "kind": "status", "status": 503})),
        ("Slow answers", "after 3 seconds", json!({"route": "*", "kind": "delay", "millis": 3000})),
        (
            "Rate limit reached",
            "429, for 30 seconds",
            json!({"route": "*", "kind": "rate-limit", "reset_seconds": 30}),
        ),
        ("Lose the answer", "done, but the response is lost", json!({"route": "*", "kind": "cut-after"})),
        ("Cut the connection", "before anything is done", json!({"route": "*", "kind": "cut"})),
        (
            "Cut an upload",
            "in the middle, after 64 KiB",
            json!({"route": "PATCH /files/*", "kind": "cut-during", "bytes": 65536}),
        ),
        (
            "Expire a link",
            "404 to an upload's bytes",
            json!({"route": "PATCH /files/*", "kind": "expired-link"}),
        ),
        (
            "Fail to transcode",
            "the next new video",
            json!({"route": "POST /me/videos", "kind": "outcome", "status": "transcoding_error"}),
        ),
        ("Error page", "502, a page in HTML", json!({"route": "*", "kind": "html", "status": 502})),
        ("Half an answer", "the rest never comes", json!({"route": "*", "kind": "truncate"})),
        (
            "One in five fails",
            "500, until removed",
            json!({"route": "*", "kind": "status", "status": 500, "probability": 0.2}),
        ),
        ("Outage", "no answers for a minute", json!({"route": "*", "kind": "outage", "for_seconds": 60})),
    ]
}

/// Whether a fault was created by this body, as far as faults show their parameters.
fn is_made_by(fault: &Value, order: &Value) -> bool {
    order
        .as_object()
        .into_iter()
        .flatten()
        .all(|(name, value)| name == "for_seconds" || fault.get(name).is_some_and(|shown| shown == value))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::control::members::Members;
    use crate::faults::{self, Faults};

    #[test]
    fn every_switch_makes_a_fault_that_is_known_as_its_own() {
        for (place, (name, _, order)) in orders().into_iter().enumerate() {
            let members = Members::read(order.to_string().as_bytes()).unwrap();
            let mut made = Faults::default();
            made.add(faults::read(members).unwrap(), Timestamp::UNIX_EPOCH);
            let shown = made.show(Timestamp::UNIX_EPOCH)["faults"].as_array().unwrap().clone();
            let on: Vec<usize> = switches(&shown)
                .iter()
                .enumerate()
                .filter(|(_, switch)| switch.made.is_some())
                .map(|(place, _)| place)
                .collect();
            assert_eq!(on, [place], "{name}");
        }
    }
}
