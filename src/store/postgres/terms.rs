//! What a consignment is found by: a number for each of its texts, so that an index over them takes texts of any length
//! and with any characters. Whatever is found so is looked at, as two texts may have one number.

use twox_hash::XxHash3_64;

use crate::store::{
    Filter,
    texts::{Kind, each_text},
};

/// The numbers of the texts in `body`, in a form that PostgreSQL reads as an array. What is absent has none, and what
/// is no consignment has no texts.
pub(super) fn of_body(register: i64, body: &[u8]) -> String {
    let mut terms = Vec::new();
    let read = each_text(body, |kind, text| {
        if !text.is_empty() {
            terms.push(term(register, kind, text));
        }
    });
    if read.is_err() {
        terms.clear();
    }
    terms.sort_unstable();
    terms.dedup();
    let terms: Vec<String> = terms.iter().map(i64::to_string).collect();
    format!("{{{}}}", terms.join(","))
}

/// The numbers of the texts that `filter` wants; none where it wants only what is absent.
pub(super) fn of_filter(register: i64, filter: &Filter) -> Vec<i64> {
    let wanted = filter.texts().into_iter();
    wanted
        .filter_map(|(kind, text)| Some((kind, text?)))
        .filter(|(_, text)| !text.is_empty())
        .map(|(kind, text)| term(register, kind, text))
        .collect()
}

/// Stored, so it is not to change. Registers have numbers of their own for a text, as they share an index.
fn term(register: i64, kind: Kind, text: &str) -> i64 {
    let seed = (register.cast_unsigned() << 8) | u64::from(kind as u8);
    XxHash3_64::oneshot_with_seed(seed, text.as_bytes()).cast_signed()
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::proto::{Consignment, Container};

    #[test]
    fn a_term_stays_what_it_is() {
        assert_eq!(
            term(1, Kind::Vessel, "vessel001"),
            -2_736_100_147_094_544_289
        );
        assert_ne!(term(1, Kind::Vessel, "a"), term(1, Kind::Customer, "a"));
        assert_ne!(term(1, Kind::Vessel, "a"), term(2, Kind::Vessel, "a"));
    }

    #[test]
    fn what_a_filter_wants_is_among_what_a_body_has() {
        let container = Container {
            customer_id: "cust001".into(),
            ..Container::default()
        };
        let body = Consignment {
            vessel_id: "vessel001".into(),
            containers: vec![container.clone(), container],
            ..Consignment::default()
        };
        let filter = Filter {
            vessel_id: Some("vessel001".into()),
            customer_id: Some("cust001".into()),
            user_id: Some(String::new()),
            ..Filter::default()
        };
        let mut wanted = of_filter(7, &filter);
        wanted.sort_unstable();
        let wanted: Vec<_> = wanted.iter().map(i64::to_string).collect();
        assert_eq!(
            of_body(7, &body.encode_to_vec()),
            format!("{{{}}}", wanted.join(","))
        );
        assert_eq!(of_body(7, b"a"), "{}");
    }
}
