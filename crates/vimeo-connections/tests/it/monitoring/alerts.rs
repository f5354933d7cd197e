//! The alert rules in `packaging/prometheus`.

use crate::architecture::root;
use crate::support::harness::printed;
use crate::support::monitoring::{assert_exported, packaged, promtool, read};
use crate::support::tools::finish;

const RULES: &str = "prometheus/vimeo-connections.rules.yml";
const TESTS: &str = "prometheus/vimeo-connections.test.yml";

fn assert_promtool(arguments: &[&str]) {
    if let Some(mut command) = promtool(arguments) {
        command.current_dir(packaged("prometheus"));
        let output = finish(command);
        assert!(output.status.success(), "{}", printed(&output));
    }
}

/// The names of the alerts.
fn alerts(rules: &str) -> Vec<&str> {
    rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect()
}

#[test]
fn the_alert_rules_are_accepted_by_promtool() {
    assert_promtool(&["check", "rules", packaged(RULES).to_str().unwrap()]);
}

#[test]
fn each_alert_fires_for_what_it_is_about_and_not_below_its_limit() {
    assert_promtool(&["test", "rules", packaged(TESTS).to_str().unwrap()]);
    let (rules, tests) = (read(&packaged(RULES)), read(&packaged(TESTS)));
    let fires = |alert: &str| {
        tests.split(&format!("alertname: {alert}\n")).skip(1).any(|case| {
            let expected = case.split("alertname:").next().unwrap();
            expected.contains("exp_labels:")
        })
    };
    let alerts = alerts(&rules);
    assert!(alerts.len() >= 10, "{alerts:?}");
    for alert in alerts {
        assert!(fires(alert), "no test shows that {alert} fires");
    }
}

#[test]
fn alerts_read_only_metrics_that_are_exported() {
    let rules = read(&packaged(RULES));
    let lines = rules.lines().filter(|line| !line.trim_start().starts_with('#'));
    assert_exported(&lines.collect::<Vec<_>>().join("\n"));
}

#[test]
fn operations_says_what_to_do_for_each_alert() {
    let page = read(&root().join("docs/operations.md"));
    let rules = read(&packaged(RULES));
    for alert in alerts(&rules) {
        assert!(page.contains(&format!("\n| `{alert}` | ")), "docs/operations.md does not describe {alert}");
    }
}
