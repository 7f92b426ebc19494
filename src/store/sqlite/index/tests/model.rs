//! Random histories, each scan compared with what a plain list would have answered.

use std::fs;

use proptest::{collection::vec, prelude::*};

use super::made_at;
use crate::{
    proto::{Consignment, Container},
    store::{Filter, Scan},
};

/// One thing that happens to a register and its index.
#[derive(Debug, Clone)]
enum Step {
    Append(Vec<Vec<u8>>),
    Scan(Scan),
    /// Wait for the index, if it is not held.
    CatchUp,
    Hold(bool),
    Reopen,
    Kill,
    /// The index goes while it is used.
    Remove,
    /// A bit of the index changes while it is used, at this share of its length.
    Flip(f64, u8),
    /// The same while nobody uses it.
    FlipClosed(f64, u8),
    Truncate(f64),
}

fn few(of: &'static str, count: u32) -> impl Strategy<Value = String> {
    prop_oneof![
        6 => (0..count).prop_map(move |number| format!("{of}-{number}")),
        1 => Just(String::new()),
    ]
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    let container = (few("customer", 9), few("user", 3), few("origin", 2)).prop_map(
        |(customer_id, user_id, origin)| Container {
            customer_id,
            user_id,
            origin,
            ..Container::default()
        },
    );
    (few("vessel", 4), vec(container, 0..4)).prop_map(|(vessel_id, containers)| {
        let consignment = Consignment {
            vessel_id,
            containers,
            ..Consignment::default()
        };
        prost::Message::encode_to_vec(&consignment)
    })
}

fn filter() -> impl Strategy<Value = Filter> {
    let maybe = |of, count| proptest::option::weighted(0.3, few(of, count));
    let texts = (
        maybe("vessel", 4),
        maybe("customer", 9),
        maybe("user", 3),
        maybe("origin", 2),
    );
    // Those that stood there in the beginning have such times, all others later ones.
    let time = || proptest::option::weighted(0.2, prop_oneof![0..60_i64, Just(i64::MAX)]);
    (texts, time(), time()).prop_map(|(texts, created_from, created_until)| {
        let (vessel_id, customer_id, user_id, origin) = texts;
        Filter {
            vessel_id,
            customer_id,
            user_id,
            origin,
            created_from,
            created_until,
        }
    })
}

fn scan() -> impl Strategy<Value = Scan> {
    let after = prop_oneof![3 => Just(0), 1 => 0..150_u64];
    let through = prop_oneof![3 => Just(u64::MAX), 1 => 0..200_u64];
    let limit = prop_oneof![1..20_usize, Just(usize::MAX)];
    (after, through, filter(), any::<bool>(), limit).prop_map(
        |(after, through, filter, newest_first, limit)| Scan {
            after,
            through,
            ids: Vec::new(),
            filter,
            newest_first,
            limit,
        },
    )
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let bit = 0..8_u8;
    let step = prop_oneof![
        5 => vec(body(), 0..40).prop_map(Step::Append),
        8 => scan().prop_map(Step::Scan),
        4 => Just(Step::CatchUp),
        2 => any::<bool>().prop_map(Step::Hold),
        1 => Just(Step::Reopen),
        1 => Just(Step::Kill),
        1 => Just(Step::Remove),
        1 => (0.0..1.0, bit.clone()).prop_map(|(place, bit)| Step::Flip(place, bit)),
        1 => (0.0..1.0, bit).prop_map(|(place, bit)| Step::FlipClosed(place, bit)),
        1 => (0.0..1.0).prop_map(Step::Truncate),
    ];
    vec(step, 1..20)
}

/// The place in a file of `length` bytes.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "the length of a test's file is small, and any place will do"
)]
fn place_in(length: u64, share: f64) -> u64 {
    (length as f64 * share) as u64
}

fn flip(path: &std::path::Path, share: f64, bit: u8) {
    use std::os::unix::fs::FileExt as _;
    // Its lock must not go with it, as it would were the file closed here while this process has it open.
    let file = Box::leak(Box::new(
        match fs::File::options().read(true).write(true).open(path) {
            Ok(file) => file,
            Err(_) => return,
        },
    ));
    let place = place_in(file.metadata().unwrap().len(), share);
    let mut byte = [0];
    if file.read_exact_at(&mut byte, place).is_ok() {
        file.write_all_at(&[byte[0] ^ (1 << bit)], place).unwrap();
    }
}

fn truncate(path: &std::path::Path, share: f64) {
    if let Ok(file) = fs::File::options().write(true).open(path) {
        let length = file.metadata().unwrap().len();
        file.set_len(place_in(length, share)).unwrap();
    }
}

async fn follows_the_model(times: Vec<i64>, steps: Vec<Step>) {
    let mut subject = made_at(&times);
    let mut held = false;
    for step in steps {
        match step {
            Step::Append(bodies) => subject.append(bodies).await,
            Step::Scan(scan) => subject.check(scan).await,
            Step::CatchUp if held => {}
            Step::CatchUp => subject.catch_up(),
            Step::Hold(is_held) => {
                held = is_held;
                subject.store.index.pause(is_held);
            }
            Step::Reopen => {
                held = false;
                subject = subject.reopened_after(|_| ()).await;
            }
            Step::Kill => {
                held = false;
                subject = subject.killed();
            }
            Step::Remove => drop(fs::remove_file(subject.index())),
            Step::Flip(share, bit) => flip(&subject.index(), share, bit),
            Step::FlipClosed(share, bit) => {
                held = false;
                let index = subject.index();
                subject = subject.reopened_after(|_| flip(&index, share, bit)).await;
            }
            Step::Truncate(share) => {
                held = false;
                let index = subject.index();
                subject = subject.reopened_after(|_| truncate(&index, share)).await;
            }
        }
    }
    subject.check_all().await;
    subject.store.index.pause(false);
    subject.catch_up();
    subject.check_all().await;
    subject.close().await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn scans_find_everything_whatever_becomes_of_the_index(
        times in vec(0..60_i64, 0..60),
        steps in steps(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(follows_the_model(times, steps));
    }
}
