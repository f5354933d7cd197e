//! The timing of faults, and invalid timings.

use serde_json::{Value, json};

use crate::support::test_sandbox::TestSandbox;

/// Which of this many requests the fault affects.
async fn hits(fault: &Value, requests: usize) -> Vec<bool> {
    let sandbox = TestSandbox::strict().await;
    sandbox.fault(fault.clone()).await;
    let mut hits = Vec::new();
    for _ in 0..requests {
        hits.push(sandbox.request("GET", "/me").await.status == 599);
    }
    hits
}

fn fault(more: &Value) -> Value {
    let mut fault = json!({"route": "/me", "kind": "empty", "status": 599});
    fault.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    fault
}

#[tokio::test]
async fn the_same_seed_affects_the_same_requests() {
    let of = |seed| fault(&json!({"probability": 0.5, "seed": seed}));
    let first = hits(&of(7), 40).await;
    assert_eq!(first, hits(&of(7), 40).await);
    assert_ne!(first, hits(&of(8), 40).await);
    assert!(first.contains(&true) && first.contains(&false));
    let certain = hits(&fault(&json!({"probability": 1})), 3).await;
    assert_eq!(certain, [true; 3]);
}

#[tokio::test]
async fn every_nth_request_is_affected_after_the_first_ones_and_at_most_n_times() {
    let every_third = fault(&json!({"every": 3, "after": 1, "times": 2}));
    let expected = [false, false, false, true, false, false, true, false, false, false];
    assert_eq!(hits(&every_third, 10).await, expected);
}

#[tokio::test]
async fn a_time_window_follows_the_clock() {
    let sandbox = TestSandbox::strict().await;
    sandbox.fault(fault(&json!({"in_seconds": 10, "for_seconds": 20, "every": 1}))).await;
    let shown = sandbox.control("GET", "faults", &Value::Null).await.json();
    assert_eq!(
        shown["faults"][0],
        json!({
            "id": 1, "route": "/me", "kind": "empty", "remaining": "always", "after": 0, "happened": 0,
            "every": 1, "probability": null, "seed": null, "begins_at": "2021-10-05T13:46:44Z",
            "ends_at": "2021-10-05T13:47:04Z", "status": 599,
        })
    );
    let mut seen = Vec::new();
    for seconds in [9, 1, 0, 19, 1] {
        sandbox.pass_seconds(seconds);
        seen.push(sandbox.request("GET", "/me").await.status == 599);
    }
    assert_eq!(seen, [false, true, true, true, false]);
    let shown = sandbox.control("GET", "faults", &Value::Null).await.json();
    assert_eq!(shown, json!({"faults": []}));
}

#[tokio::test]
async fn a_fault_shows_how_often_it_happened() {
    let sandbox = TestSandbox::strict().await;
    sandbox.fault(fault(&json!({"times": 5, "after": 2}))).await;
    for _ in 0..4 {
        sandbox.request("GET", "/me").await;
    }
    let shown = sandbox.control("GET", "faults", &Value::Null).await.json();
    let shown = &shown["faults"][0];
    assert_eq!((&shown["happened"], &shown["remaining"]), (&json!(2), &json!(3)));
    assert_eq!(shown["after"], 2, "it is shown as it was ordered");
}

#[tokio::test]
async fn an_invalid_timing_is_rejected_with_a_message() {
    let sandbox = TestSandbox::strict().await;
    for (fault, part) in [
        (fault(&json!({"probability": 0})), "above 0"),
        (fault(&json!({"probability": 1.5})), "at most 1"),
        (fault(&json!({"probability": "often"})), "must be a number"),
        (fault(&json!({"probability": 0.5, "seed": "x"})), "`seed` must be a whole number"),
        (fault(&json!({"seed": 5})), "`seed` needs a `probability`"),
        (fault(&json!({"every": 0})), "`every` must be at least 1"),
        (fault(&json!({"every": 2, "probability": 0.5})), "not both"),
        (fault(&json!({"for_seconds": 0})), "`for_seconds` must be at least 1"),
        (fault(&json!({"in_seconds": -1})), "`in_seconds` must be a whole number"),
        (json!({"kind": "outage"}), "needs `for_seconds`"),
        (json!({"kind": "outage", "for_seconds": 5, "times": 1}), "takes no `times`"),
        (json!({"kind": "outage", "for_seconds": 5, "every": 2}), "takes no `every`"),
        (json!({"kind": "hold", "route": "*", "for_seconds": 5}), "takes no `for_seconds`"),
        (json!({"kind": "cut-during", "route": "*"}), "needs `bytes`"),
        (json!({"kind": "late", "route": "*"}), "needs `millis`"),
        (json!({"kind": "slow-body", "route": "*"}), "needs `bytes_per_second`"),
        (json!({"kind": "slow-body", "route": "*", "bytes_per_second": 0}), "at least 1"),
        (json!({"kind": "drip", "route": "*", "millis": 0, "bytes": 0}), "at least 1"),
        (json!({"kind": "odd-headers", "route": "*"}), "needs a `style`"),
        (json!({"kind": "odd-headers", "route": "*", "style": "loud"}), "lower, upper, title, mixed"),
        (json!({"kind": "wrong-length", "route": "*"}), "needs `by`"),
        (json!({"kind": "wrong-length", "route": "*", "by": 0}), "other than 0"),
        (json!({"kind": "list-lag", "route": "*"}), "needs `seconds`"),
        (json!({"kind": "expired-link", "route": "*", "status": 403}), "404 or 410"),
        (json!({"kind": "outcome", "route": "*"}), "needs a `status`"),
        (json!({"kind": "outcome", "route": "*", "status": "bad"}), "no status `bad`"),
        (json!({"kind": "outcome", "route": "*", "status": "failed", "error": "x"}), "no error `x`"),
        (json!({"kind": "rate-limit", "route": "*", "spend": 1}), "true or false"),
        (json!({"kind": "cut", "route": "/videos/{}"}), "is not a route"),
        (json!({"kind": "cut", "route": "/videos/x{video}"}), "is not a route"),
        (json!({"kind": "cut", "route": "/videos/{video"}), "is not a route"),
        (json!({"kind": "cut", "route": "/videos/video}"}), "is not a route"),
    ] {
        let reply = sandbox.control("POST", "faults", &fault).await;
        let sentence = reply.json()["error"].as_str().unwrap_or_default().to_owned();
        assert!(reply.status == 400 && sentence.contains(part), "{fault}: {sentence}");
    }
}
