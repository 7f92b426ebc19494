//! What is told of a record that is well written and breaks a limit.

use super::message;
use crate::consignment::{MAX_CONTAINERS, MAX_TEXT_BYTES};

#[test]
fn each_limit_that_a_record_breaks_is_told_with_its_place() {
    let long = "x".repeat(MAX_TEXT_BYTES + 1);
    assert_eq!(
        message(format!(
            "{{}}\n{{\"weight\": -5, \"id\": \"a b\",\n \"containers\": [{{\"origin\": \"{long}\"}}]}}"
        )),
        "in.json:2:22: at record 2, id: contains ' '; only A-Z, a-z, 0-9, \".\", \"_\" and \"-\" are allowed\n\
         in.json:2:12: at record 2, weight: is -5 kg; it must not be below 0\n\
         in.json:3:28: at record 2, containers[0].origin: is 4097 bytes long; at most 4096 are allowed"
    );
    let many = format!(
        "[{{\"containers\": [{}{{}}]}}]",
        "{},".repeat(MAX_CONTAINERS)
    );
    assert_eq!(
        message(many),
        "in.json:1:17: at [0].containers: has 1001 containers; at most 1000 are allowed"
    );
    let text = "x".repeat(MAX_TEXT_BYTES);
    let large = format!(
        "{{\"containers\": [{}{{}}]}}",
        format!("{{\"id\": \"{text}\"}},").repeat(64)
    );
    assert_eq!(
        message(large),
        "in.json:1:1: the consignment takes 262530 bytes encoded; at most 262144 are allowed"
    );
}

#[test]
fn at_most_ten_of_a_records_broken_limits_are_told() {
    let long = format!("{{\"id\": \"{}\"}}", "x".repeat(MAX_TEXT_BYTES + 1));
    let message = message(format!(
        "{{\"containers\": [{}]}}",
        [long.as_str(); 12].join(",")
    ));
    assert_eq!(message.lines().count(), 11);
    assert_eq!(
        message.lines().last(),
        Some("in.json: and 2 more in the same record")
    );
}

#[test]
fn a_negative_weight_is_found_among_a_thousand() {
    let mut lines = vec![r#"{"weight": 5}"#; 1000];
    lines[499] = r#"{"weight": -5}"#;
    assert_eq!(
        message(lines.join("\n")),
        "in.json:500:12: at record 500, weight: is -5 kg; it must not be below 0"
    );
    let array = format!("[\n{}]", lines.join(",\n"));
    assert_eq!(
        message(array),
        "in.json:501:12: at [499].weight: is -5 kg; it must not be below 0"
    );
}
