//! What each vessel carries.

use serde_json::json;

use super::create;
use crate::{
    security::serve,
    support::{answer::get, folder},
};

#[test]
fn vessels_are_listed_by_what_they_carry_in_all() {
    let home = folder();
    let server = serve(home.path(), &[]);
    let nothing = get(server.address, "/v1/vessels", &[]).is(200).json();
    let none = json!({"vessels": "0", "is_exact": true, "count": "0", "weight": "0"});
    assert_eq!(
        (&nothing["vessels"], &nothing["others"]),
        (&json!([]), &none)
    );

    let on = |vessel: &str, weight: u64| json!({"vessel_id": vessel, "weight": weight});
    create(
        &server,
        home.path(),
        &json!([on("a", 5), on("b", 7), on("a", 3), on("", 1), on("c", 0)]),
    );
    let totals = get(server.address, "/v1/vessels?limit=2", &[])
        .is(200)
        .json();
    assert_eq!(
        totals,
        json!({
            "register": server.register,
            "through_sequence": "5",
            "is_complete": true,
            "vessels": [
                {"vessel_id": "a", "count": "2", "weight": "8"},
                {"vessel_id": "b", "count": "1", "weight": "7"},
            ],
            "others": {"vessels": "2", "is_exact": true, "count": "2", "weight": "1"},
        })
    );

    create(
        &server,
        home.path(),
        &json!([on("b", 2_147_483_647), on("b", 2_147_483_647)]),
    );
    let totals = get(server.address, "/v1/vessels?limit=1", &[])
        .is(200)
        .json();
    let heaviest = json!([{"vessel_id": "b", "count": "3", "weight": "4294967301"}]);
    assert_eq!(
        (&totals["vessels"], &totals["through_sequence"]),
        (&heaviest, &json!("7"))
    );
}

#[test]
fn what_makes_no_sense_is_named() {
    let home = folder();
    let server = serve(home.path(), &[]);
    for (query, field) in [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=x", "limit"),
        ("limit=1&limit=2", "limit"),
        ("vessel_id=a", "vessel_id"),
    ] {
        let refused = get(server.address, &format!("/v1/vessels?{query}"), &[]).is(400);
        assert_eq!(
            refused.refusal(),
            ("INVALID_ARGUMENT".into(), vec![field.into()])
        );
    }
}
