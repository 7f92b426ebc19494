use super::*;

fn all(input: &[u8]) -> Result<Vec<Record>, InputError> {
    let mut records = Vec::new();
    read_records(input, "in.json", &mut |record| {
        records.push(record);
        Ok::<_, InputError>(())
    })?;
    Ok(records)
}

#[test]
fn explore() {
    let deep_list = format!("{{\"weight\": {}", "[".repeat(100_000));
    let deep = "[".repeat(1_000_000);
    let deep_obj = "{\"containers\":".repeat(100_000);
    let deep_raw = format!(
        "{{\"weight\": {}1{}}}",
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    for input in [
        "",
        " \n",
        "[]",
        "[ ",
        "null",
        "5",
        "\"a\"",
        "true",
        "[null]",
        "[{}, 5]",
        "[{},]",
        "[{}{}]",
        "[{}] x",
        "{} x",
        "{},{}",
        "{}\n[]",
        "[[]]",
        "{\"weight\": 3000000000}",
        "{\"weight\":\n 1.5}",
        "{\"weight\": 1e3}",
        "{\"weight\": \"550\"}",
        "{\"weight\": \"55O\"}",
        "{\"weight\": true}",
        "{\"weight\": {}}",
        "{\"weight\": -5}",
        "{\"description\": 5}",
        "{\"vesel_id\": \"x\"}",
        "{\"vesselID\": \"x\"}",
        "{\"name\": \"x\"}",
        "{\"containers\":[{\"origen\": \"x\"}]}",
        "{\"containers\":[{}, {\"origin\": [1]}]}",
        "{\"containers\":[5]}",
        "{\"containers\":[null]}",
        "{\"containers\":{}}",
        "{\"id\":\"a\",\"id\":\"b\"}",
        "{\"vessel_id\":\"a\",\n\"vesselId\":\"b\"}",
        "{\"id\":null,\"weight\":null,\"containers\":null,\"created_at\":null,\"sequence\":null}",
        "{\"nope\":null}",
        "{\"containers\":[{\"id\":null}]}",
        "{\"sequence\":\"18446744073709551616\"}",
        "{\"sequence\":\"18446744073709551615\",\"created_at\":\"2026-11-22T14:03:05.123456789+02:00\"}",
        "{\"created_at\":\"yesterday\"}",
        "{\"id\":\"a\",\"weight\":5\n{\"id\":\"b\"}",
        "{\"id\":\"a\n\"}",
        "{\"id\":\"a",
        "{\"id\":\"a\"",
        "{\"id\"",
        "{\"id\":",
        "{\"containers\":[{\"id\":\"x\"},",
        "{\"id\":\"a\",}",
        "{'id':1}",
        "{id:1}",
        "{\"id\":nul}",
        "{\"id\":\"\\x\"}",
        "{\"id\":\"\\ud800\"}",
        "{\"weight\": 01}",
        "{\"weight\": -}",
        "{\"weight\": 99999999999999999999999}",
        "{\"weight\": 1e999}",
        "{\"weight\": NaN}",
        "{\"weight\": \"x\", \"containers\": [}",
        "{\"containers\": [{\"id\": 5} x",
        "{]",
        "{}\n{}\n{\"weight\":-1,\"id\":\"a b\"}",
        "{}\n{}\n{\"weight\":x}",
        "[{},\n {\"weight\":-1}]",
        "{\"a\\u001bb\":1}",
        "{\"description\":\u{1b}}",
        "\u{1b}[2J",
        "\u{feff}{}",
        "\u{feff}",
        "{}\u{feff}{}",
        "é",
        "{\"é\": \"é\", x",
        "{\"description\":\"ééé\",\"weight\":x",
        "{\"description\": false}",
        "\u{0}{",
        "{\0\"\0",
        &deep_list,
        &deep,
        &deep_obj,
        &deep_raw,
    ] {
        let short: String = input.chars().take(60).collect();
        match all(input.as_bytes()) {
            Ok(records) => println!("OK  {short:?} {records:?}"),
            Err(e) => println!("ERR {short:?}\n      {e}"),
        }
    }
    for input in [
        &b"\xff\xfe{\0}\0"[..],
        b"\xe9",
        b"{\"id\":\"a\",\n\"origin\":\"Z\xfcrich\"}",
        b"{} \xe9",
        b"\xef\xbb",
    ] {
        println!("{:?}\n      {}", input, all(input).unwrap_err());
    }
}
