//! What is told of each bad input, word for word.

use super::{one, records};

mod limits;

#[track_caller]
fn message(input: impl AsRef<[u8]>) -> String {
    records(input).expect_err("bad input").to_string()
}

#[track_caller]
fn refused(cases: &[(&str, &str)]) {
    for (input, expected) in cases {
        assert_eq!(message(input), *expected, "for {input}");
    }
}

#[test]
fn an_input_with_nothing_in_it_says_what_a_consignment_looks_like() {
    let example = r#"{"description": "Tea", "weight": 550, "vessel_id": "vessel001"}"#;
    assert_eq!(one(example).weight, 550);
    for empty in ["", " \r\n\t", "\u{feff}"] {
        let expected = format!(
            "in.json is empty, so there is nothing to create; a consignment looks like this: {example}"
        );
        assert_eq!(message(empty), expected);
    }
    let expected = format!(
        "in.json is an array that holds no consignments, so there is nothing to create; one looks like this: {example}"
    );
    assert_eq!(message(" [ ]\n"), expected);
}

#[test]
fn csv_is_called_what_it_is_and_told_what_is_taken_instead() {
    let expected = "in.json:1:1: this looks like CSV, which is not read here: give a JSON object {…}, an array of them, \
                    or one a line (NDJSON), as shippy list -o ndjson prints them";
    for csv in [
        "sequence,created_at,id,vessel_id\n7,2026-11-22T14:03:05.120Z,tea-1,vessel001\n",
        "\u{feff}Kennung;Größe\r\ntea-1;5",
        "\"id\"\t\"customer id\"",
        "tea-1,550",
    ] {
        assert_eq!(message(csv), expected, "for {csv}");
    }
    for other in [
        "hello",
        "dear diary, today",
        "\"id\": 5,",
        "id,,",
        "a,b:\n",
        ",\n",
        "1,\n",
    ] {
        assert!(message(other).contains("expected a consignment"), "{other}");
    }
}

#[test]
fn what_stands_outside_of_records_is_named_with_its_place() {
    let first = "expected a consignment, {…}, or an array of them, [{…}, …]; found";
    refused(&[
        ("null", &format!("in.json:1:1: {first} null")),
        ("\n  5\n", &format!("in.json:2:3: {first} 5")),
        ("\"text\"", &format!("in.json:1:1: {first} \"text\"")),
        ("\u{1b}[2J", &format!("in.json:1:1: {first} \\u{{1b}}")),
        (
            "[null]",
            "in.json:1:2: expected a consignment, {…}, or ]; found null",
        ),
        (
            "[",
            "in.json:1:2: the input ends here; expected a consignment, {…}, or ]; is it complete?",
        ),
        (
            "[{}, 5]",
            "in.json:1:6: expected another consignment, {…}, after the comma; found 5",
        ),
        (
            "[{},\n]",
            "in.json:2:1: expected another consignment, {…}, after the comma; found ]",
        ),
        (
            "[{} {}]",
            "in.json:1:5: expected a comma and another consignment, or ] to close the array; found {",
        ),
        (
            "[{}",
            "in.json:1:4: the input ends here; expected a comma and another consignment, or ] to close the array; \
                 is it complete?",
        ),
        (
            "[{}]\nx",
            "in.json:2:1: expected the end of the input after the array's closing ]; found x",
        ),
        (
            "{} garbage",
            "in.json:1:4: expected another consignment, {…}, or the end; found garbage",
        ),
        (
            "{}[]",
            "in.json:1:3: expected another consignment, {…}, or the end; found [",
        ),
        (
            "{},\n{}",
            "in.json:1:3: expected another consignment, {…}, or the end: objects one after another take no \
                     commas (or put all of them into one array, [{…}, {…}]); found ,",
        ),
        (
            "{}\n\u{feff}{}",
            "in.json:2:1: expected another consignment, {…}, or the end; found a byte order mark \
                            (U+FEFF); remove it",
        ),
    ]);
}

#[test]
fn bad_syntax_is_told_with_its_place() {
    refused(&[
        (
            "{\"id\":\"a\",",
            "in.json:1:11: the input ends where a value should stand; is it complete?",
        ),
        (
            "{\"id\":\"a\"\n",
            "in.json:2:1: the input ends within an object; is it complete?",
        ),
        (
            "{\"id\":\"é",
            "in.json:1:9: the input ends within a text; is a closing double quote missing?",
        ),
        (
            "{\"containers\":[{}",
            "in.json:1:18: the input ends within an array; is it complete?",
        ),
        (
            "{\"id\":\"a\"\n{\"id\":\"b\"}",
            "in.json:2:1: expected a comma and another key, or } to close the object",
        ),
        (
            "{\"id\":\"a\n\"}",
            "in.json:1:9: a line break or another control character stands within a text; write it \
                             as \\n or \\u001b, or add the missing double quote",
        ),
        (
            "{\"id\":\"a\",}",
            "in.json:1:11: a comma stands before the closing bracket; remove it",
        ),
        ("{id:1}", "in.json:1:2: expected a key in double quotes"),
        ("{]", "in.json:1:2: expected a key in double quotes"),
        (
            "{\"id\" 1}",
            "in.json:1:7: expected a colon between the key and its value",
        ),
        (
            "{\"id\":\"éé\",\"weight\":x}",
            "in.json:1:21: expected a value: a number, a text in double quotes, an array \
                                         or an object",
        ),
        (
            "{\"weight\": 01}",
            "in.json:1:13: this is not a number as JSON writes it",
        ),
        (
            "{\"weight\": 1e999}",
            "in.json:1:16: this number is too large",
        ),
        (
            "{\"id\":\"\\x\"}",
            "in.json:1:9: there is no such escape; a backslash itself is written \\\\",
        ),
        (
            "[{},\n{\"id\":}]",
            "in.json:2:7: at [1]: expected a value: a number, a text in double quotes, an array or \
                               an object",
        ),
    ]);
}

#[test]
fn a_wrong_value_is_told_with_its_path_its_place_and_what_fits() {
    let weight = "it must be a whole number from 0 to 2147483647 (kilograms)";
    refused(&[
        (
            "{\"weight\": 3000000000}",
            &format!("in.json:1:12: at weight: is 3000000000; {weight}"),
        ),
        (
            "{\"weight\":\n  1.5}",
            &format!("in.json:2:3: at weight: is 1.5; {weight}"),
        ),
        (
            "{\"weight\": 1e3}",
            &format!("in.json:1:12: at weight: is 1e3; {weight}, written without an exponent"),
        ),
        (
            "{\"weight\": \"55O\"}",
            &format!("in.json:1:12: at weight: is \"55O\"; {weight}"),
        ),
        (
            "{\"weight\": {}}",
            &format!("in.json:1:12: at weight: is an object; {weight}"),
        ),
        (
            "{\"description\": 5}",
            "in.json:1:17: at description: is 5; it must be a text in double quotes: \"5\"",
        ),
        (
            "[{},\n{\"containers\":[{},{\"origin\": [1]}]}]",
            "in.json:2:30: at [1].containers[1].origin: is an array; it \
                                                              must be a text in double quotes",
        ),
        (
            "{}\n{\"vesselId\": true}",
            "in.json:2:14: at record 2, vessel_id: is true; it must be a text in double \
                                      quotes: \"true\"",
        ),
        (
            "{\"containers\": {}}",
            "in.json:1:16: at containers: is an object; it must be an array of containers, [{…}, …]",
        ),
        (
            "{\"containers\": [5]}",
            "in.json:1:17: at containers[0]: is 5; it must be a container, {…}",
        ),
        (
            "{\"sequence\": -1}",
            "in.json:1:14: at sequence: is -1; it must be a whole number from 0 to \
                                18446744073709551615 or left out: the server sets it",
        ),
        (
            "{\"created_at\": \"\\u001bno\"}",
            "in.json:1:16: at created_at: is \"\\u001bno\"; it must be a time like \
                                             \"2026-11-22T14:03:05Z\" or left out: the server sets it",
        ),
        // Where bad syntax follows in the same value, its text cannot be told apart from the rest.
        (
            "{\"containers\": [{\"id\": 5} x",
            "in.json:1:24: at containers[0].id: invalid type: integer `5`, expected a \
                                             string; it must be a text in double quotes",
        ),
    ]);
    let long = format!("{{\"weight\": \"{}\"}}", "\u{9b}".repeat(100));
    let shown = "\\u{9b}".repeat(39);
    assert_eq!(
        message(long),
        format!("in.json:1:12: at weight: is \"{shown}…; {weight}")
    );
}

#[test]
fn null_that_stands_for_no_default_is_refused() {
    refused(&[
        (
            r#"{"vesel_id": null}"#,
            "in.json:1:2: there is no key `vesel_id`; did you mean `vessel_id`?",
        ),
        (
            r#"{"containers": [null]}"#,
            "in.json:1:17: at containers[0]: is null; it must be a container, {…}",
        ),
        (
            r#"{"id": null, "id": null}"#,
            "in.json:1:14: at id: is given twice; keep one of them",
        ),
    ]);
}

#[test]
fn an_unknown_or_repeated_key_is_told_with_what_was_probably_meant() {
    refused(&[
        (
            "{\"vesel_id\": 1}",
            "in.json:1:2: there is no key `vesel_id`; did you mean `vessel_id`?",
        ),
        (
            "{\"Weight\": 1}",
            "in.json:1:2: there is no key `Weight`; did you mean `weight`?",
        ),
        (
            "[{\"containers\":[{\n \"orig\\u0065n\": 1}]}]",
            "in.json:2:2: at [0].containers[0]: there is no key `origen`; did you mean `origin`?",
        ),
        (
            "{\"id\":\"a\", \"na\\u001b`me\": 1}",
            "in.json:1:12: there is no key `na\\u{1b}`me`; the keys here are id, \
                                                description, weight, containers, vessel_id, created_at, sequence, created_by",
        ),
        (
            "{\"containers\":[{\"weight\": 1}]}",
            "in.json:1:17: at containers[0]: there is no key `weight`; the keys \
                                               here are id, customer_id, origin, user_id",
        ),
        (
            "{\"weight\":1,\n\"weight\":1}",
            "in.json:2:1: at weight: is given twice; keep one of them",
        ),
        (
            "{\"vessel_id\":\"a\",\"vesselId\":\"a\"}",
            "in.json:1:18: at vessel_id: is given twice, as \"vessel_id\" and \
                                                      as \"vesselId\"; keep one of them",
        ),
        (
            "{\"containers\":[{\"userId\":\"\",\"user_id\":\"\"}]}",
            "in.json:1:29: at containers[0].user_id: is given \
                                                                   twice, as \"userId\" and as \"user_id\"; keep one of them",
        ),
    ]);
}

#[test]
fn another_encoding_than_utf8_is_named() {
    let utf16 =
        "is UTF-16, not UTF-8; save the file as UTF-8 (PowerShell: Out-File -Encoding utf8)";
    let latin1 =
        |byte| format!("is not UTF-8: the byte 0x{byte} cannot stand here; save the file as UTF-8");
    for (input, expected) in [
        (&b"\xff\xfe{\0}\0"[..], format!("in.json:1:1: {utf16}")),
        (b"\xfe\xff\0{\0}", format!("in.json:1:1: {utf16}")),
        (b"\0{\0}", format!("in.json:1:1: {utf16}")),
        (b"{\0\"\0", format!("in.json:1:2: {utf16}")),
        (
            b"{\"id\":\"a\",\n\"description\":\"\xc3\xa9Z\xfcrich\"}",
            format!("in.json:2:18: {}", latin1("fc")),
        ),
        (b"\xe9", format!("in.json:1:1: {}", latin1("e9"))),
        (b"{} \xe9", format!("in.json:1:4: {}", latin1("e9"))),
        (b"\xef\xbb{}", format!("in.json:1:1: {}", latin1("ef"))),
    ] {
        assert_eq!(message(input), expected);
    }
}

#[test]
fn deep_nesting_is_an_error_and_not_a_crash() {
    let deep = "[".repeat(1_000_000);
    assert_eq!(
        message(&deep),
        "in.json:1:2: expected a consignment, {…}, or ]; found ["
    );
    let too_deep = "arrays and objects are nested too deep; a consignment needs three levels";
    for end in ["", &format!("{}}}", "]".repeat(deep.len()))] {
        assert_eq!(
            message(format!("{{\"weight\": {deep}{end}")),
            format!("in.json:1:138: {too_deep}")
        );
    }
    assert!(message("{\"containers\":".repeat(1_000_000)).contains("at containers: "));
    assert!(message(format!("{{\"x\": {deep}")).contains("no key `x`"));
}
