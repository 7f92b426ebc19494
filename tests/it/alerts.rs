//! `deploy/alerts.yaml`: its rules go by metrics that there are, and fire when they are to.

use std::{collections::BTreeSet, process::Command};

use regex::Regex;
use serde_json::Value;

use crate::{support::run, web::metrics};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/alerts.yaml");
const TEXT: &str = include_str!("../../deploy/alerts.yaml");
const CASES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/alerts/cases.yaml");
const CASES_TEXT: &str = include_str!("alerts/cases.yaml");

fn rules() -> Vec<Value> {
    let mut file: Value = serde_saphyr::from_str(TEXT).unwrap();
    let Value::Array(rules) = file["groups"][0]["rules"].take() else {
        panic!("there are no rules");
    };
    rules
}

#[test]
fn each_metric_and_reason_that_a_rule_goes_by_is_there() {
    let metrics = metrics::all();
    let series: BTreeSet<_> = (metrics.lines())
        .filter_map(|line| line.split([' ', '{']).next())
        .collect();
    let name = Regex::new(r"\b(shippy|process)_[a-z_]+").unwrap();
    let reasons = Regex::new("reason=~\"([a-z|]+)\"").unwrap();
    let (mut names, mut reason_count) = (0, 0);
    for rule in rules() {
        let expression = rule["expr"].as_str().unwrap();
        for found in name.find_iter(expression) {
            assert!(
                series.contains(found.as_str()),
                "{} of {rule}",
                found.as_str()
            );
            names += 1;
        }
        for found in reasons.captures_iter(expression) {
            for reason in found[1].split('|') {
                let label = format!("shippy_requests_limited_total{{reason=\"{reason}\"}}");
                assert!(metrics.contains(&label), "{label} of {rule}");
                reason_count += 1;
            }
        }
    }
    assert!(
        names >= 12 && reason_count >= 8,
        "{names} and {reason_count}"
    );
}

#[test]
fn each_rule_says_how_urgent_it_is_and_what_to_do_and_is_tried() {
    for rule in rules() {
        let alert = rule["alert"].as_str().unwrap();
        assert!(rule["for"].is_string(), "{alert}");
        let severity = rule["labels"]["severity"].as_str().unwrap();
        assert!(["warning", "critical"].contains(&severity), "{alert}");
        for text in ["summary", "description"] {
            assert!(rule["annotations"][text].is_string(), "{alert}: {text}");
        }
        let label = format!("alertname=\"{alert}\"");
        assert_eq!(
            CASES_TEXT.matches(&label).count(),
            1,
            "{alert} is not tried"
        );
    }
}

#[test]
#[ignore = "needs promtool"]
fn promtool_takes_the_rules_and_they_fire_when_they_are_to() {
    run(Command::new("promtool").args(["check", "rules", FILE])).exits(0);
    run(Command::new("promtool").args(["test", "rules", CASES])).exits(0);
}
