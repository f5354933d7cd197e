//! The dashboard in `packaging/grafana`.

use std::fmt::Write as _;

use serde_json::Value;

use crate::support::harness::printed;
use crate::support::monitoring::{PREFIX, assert_exported, packaged, promtool, read};
use crate::support::tools::finish;

/// The expressions of all panels, with the panel's title.
fn expressions(dashboard: &Value) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        let title = panel["title"].as_str().unwrap().to_owned();
        for target in panel["targets"].as_array().into_iter().flatten() {
            found.push((title.clone(), target["expr"].as_str().unwrap().to_owned()));
        }
        assert!(panel["type"] == "row" || !panel["targets"][0]["expr"].is_null(), "{title} shows nothing");
    }
    found
}

fn dashboard() -> Value {
    serde_json::from_str(&read(&packaged("grafana/vimeo-connections.json"))).unwrap()
}

#[test]
fn every_panel_reads_only_metrics_that_are_exported() {
    let dashboard = dashboard();
    let expressions = expressions(&dashboard);
    assert!(expressions.len() > 20, "{}", expressions.len());
    for (title, expression) in &expressions {
        assert!(expression.contains(PREFIX), "{title}: {expression}");
        assert_exported(expression);
    }
    let variables = &dashboard["templating"]["list"];
    assert_exported(variables[1]["query"].as_str().unwrap());
    // What operators look for first has a panel.
    let all: String = expressions.into_iter().map(|(_, expression)| expression + "\n").collect();
    for metric in metrics::DEFINITIONS {
        assert!(all.contains(metric.name), "no panel shows {}", metric.name);
    }
}

#[test]
fn panels_do_not_overlap_and_have_ids_of_their_own() {
    let dashboard = dashboard();
    let number = |panel: &Value, key: &str| panel["gridPos"][key].as_u64().unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    for (at, one) in panels.iter().enumerate() {
        assert!(number(one, "x") + number(one, "w") <= 24, "{}", one["title"]);
        for other in &panels[..at] {
            assert_ne!(one["id"], other["id"]);
            let is_apart = |start: &str, length: &str| {
                number(one, start) + number(one, length) <= number(other, start)
                    || number(other, start) + number(other, length) <= number(one, start)
            };
            assert!(is_apart("x", "w") || is_apart("y", "h"), "{} and {}", one["title"], other["title"]);
        }
    }
}

/// `promtool` parses expressions in rules only.
#[test]
fn every_expression_is_one_that_prometheus_parses() {
    let mut rules = String::from("groups:\n  - name: panels\n    rules:\n");
    for (number, (_, expression)) in expressions(&dashboard()).iter().enumerate() {
        let expression = expression.replace("$__rate_interval", "5m").replace("$instance", ".*");
        assert!(!expression.contains('$'), "{expression}");
        writeln!(rules, "      - record: panel_{number}\n        expr: {}", Value::from(expression)).unwrap();
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), rules).unwrap();
    if let Some(command) = promtool(&["check", "rules", file.path().to_str().unwrap()]) {
        let output = finish(command);
        assert!(output.status.success(), "{}", printed(&output));
    }
}
