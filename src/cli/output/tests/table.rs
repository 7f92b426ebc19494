//! What a table makes of the width that it has.

use unicode_width::UnicodeWidthStr as _;

use super::{printed, tea};
use crate::{
    cli::output::{Format, table::HEADER},
    proto::Consignment,
};

#[test]
fn a_table_has_one_header_and_keeps_its_widths() {
    let late = Consignment {
        vessel_id: "a much longer vessel".into(),
        weight: 12,
        sequence: 12_345,
        ..tea()
    };
    let bare = Consignment {
        sequence: 8,
        ..Consignment::default()
    };
    assert_eq!(
        printed(
            Format::Table,
            None,
            vec![vec![], vec![tea(), bare], vec![late]]
        ),
        "SEQ  ID     CREATED               VESSEL     WEIGHT  CONTAINERS  DESCRIPTION\n  \
         7  tea-1  2026-11-22T14:03:05Z  vessel001  550 kg           1  Tea\n  \
         8                                            0 kg           0\n\
         12345  tea-1  2026-11-22T14:03:05Z  a much longer vessel   12 kg           1  Tea\n"
    );
    assert_eq!(printed(Format::Table, None, vec![vec![]]), "");
}

#[test]
fn a_long_first_chunk_leaves_room_for_longer_sequence_numbers() {
    let many: Vec<_> = (1..=64)
        .map(|sequence| Consignment { sequence, ..tea() })
        .collect();
    let later = vec![Consignment {
        sequence: 1_000_000,
        ..tea()
    }];
    let table = printed(Format::Table, None, vec![many, later]);
    let places: Vec<_> = table
        .lines()
        .map(|line| line.find("  tea-1").or(line.find("  ID")))
        .collect();
    assert_eq!(places, vec![Some(7); 66]);
}

#[test]
fn a_table_fits_the_terminal_by_cutting_texts_and_leaving_columns_out_but_never_ids() {
    let id = "019a8f3c-1111-7222-8333-0123456789ab";
    let wide = |sequence| {
        Consignment {
        id: id.into(),
        sequence,
        weight: 26_800,
        vessel_id: "船".repeat(30),
        description: "東京から👩‍🚀👩‍🚀の荷物 e\u{301}e\u{301}e\u{301} ❤️❤️❤️❤️ and more of it, up to the end of the line and far past it".into(),
        ..tea()
    }
    };
    let expected = |limit| match limit {
        ..62 => vec!["SEQ", "ID", "DESCRIPTION"],
        62..72 => vec!["SEQ", "ID", "VESSEL", "DESCRIPTION"],
        72..94 => vec!["SEQ", "ID", "VESSEL", "WEIGHT", "DESCRIPTION"],
        94..106 => vec!["SEQ", "ID", "CREATED", "VESSEL", "WEIGHT", "DESCRIPTION"],
        _ => HEADER.to_vec(),
    };
    for limit in 54..220 {
        let table = printed(
            Format::Table,
            Some(limit),
            vec![vec![wide(1)], vec![wide(1_000)]],
        );
        for line in table.lines().skip(1) {
            assert!(line.width() <= limit, "{limit}: {line}");
            assert!(line.contains('…') && line.contains(id), "{limit}: {line}");
        }
        let header = table.lines().next().expect("a header");
        let shown = header.split_whitespace().collect::<Vec<_>>();
        assert_eq!(shown, expected(limit), "{limit}:\n{table}");
    }
    let narrow = printed(Format::Table, Some(20), vec![vec![wide(1)]]);
    assert!(
        narrow.contains(id),
        "the terminal breaks the line\n{narrow}"
    );
    let whole = printed(Format::Table, None, vec![vec![wide(1)]]);
    assert!(!whole.contains('…'));
    let endless = Consignment {
        id: "x".repeat(1_000),
        ..tea()
    };
    let bounded = printed(Format::Table, Some(200), vec![vec![endless]]);
    assert!(bounded.lines().all(|line| line.width() <= 200), "{bounded}");
}

#[test]
fn padding_goes_by_width_and_not_by_characters() {
    let vessel = |name: &str| Consignment {
        vessel_id: name.into(),
        ..tea()
    };
    let names = ["vessel001", "東京丸", "e\u{301}toile", "👩‍🚀"];
    let table = printed(Format::Table, None, vec![names.map(vessel).to_vec()]);
    for line in table.lines().skip(1) {
        let (before, _) = line.split_once("550 kg").expect("its weight");
        assert_eq!(before.width(), 5 + 7 + 22 + 11, "{line}");
    }
}
