//! Times that do not grow with the sequence numbers.

use super::{all, made_at};
use crate::store::{Filter, Scan};

#[tokio::test]
async fn segments_are_passed_over_only_where_none_of_their_times_is_asked_for() {
    let times: Vec<i64> = (0..60)
        .map(|number| number / 8 * 3 + number * 7 % 5)
        .collect();
    let subject = made_at(&times);
    subject.catch_up();
    let bounds = || (-1..=27).map(Some).chain([None]);
    for created_from in bounds() {
        for created_until in bounds() {
            let filter = Filter {
                created_from,
                created_until,
                ..Filter::default()
            };
            let newest_first = created_from < created_until;
            subject
                .check(Scan {
                    newest_first,
                    ..all(filter)
                })
                .await;
        }
    }
    subject.close().await;
}
