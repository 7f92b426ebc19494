//! Random histories of a store, each step compared with what a plain list would have answered.

use proptest::{collection::vec, prelude::*};
use prost::Message as _;
use shippy::{
    proto::{Consignment, Container},
    store::{
        Filter, NewConsignment, Outcome, PAGE_BYTES, PAGE_RECORDS, Page, Receipt, Scan,
        StoredConsignment,
    },
};

use super::{Subject, new, read_all, read_on};

/// One thing that happens to a store.
#[derive(Debug, Clone)]
enum Step {
    Append(Vec<NewConsignment>),
    Scan(Scan),
    Reopen,
}

/// What the store has to answer: all that was stored, in order.
#[derive(Default)]
struct Model(Vec<(String, StoredConsignment)>);

impl Model {
    /// What becomes of `new`, by the outcome that the store gave; only the time is the store's own.
    fn append(&mut self, new: NewConsignment, given: &Outcome) -> Outcome {
        if let Some((_, known)) = self.0.iter().find(|(id, _)| *id == new.id) {
            return if known.body == new.body {
                Outcome::AlreadyThere(known.receipt.clone())
            } else {
                Outcome::Conflict(known.receipt.clone())
            };
        }
        let (Outcome::Stored(given) | Outcome::AlreadyThere(given) | Outcome::Conflict(given)) =
            given;
        let receipt = Receipt {
            sequence: self.0.len() as u64 + 1,
            created_at: given.created_at,
            created_by: new.created_by,
        };
        let stored = StoredConsignment {
            receipt: receipt.clone(),
            body: new.body,
        };
        self.0.push((new.id, stored));
        Outcome::Stored(receipt)
    }

    fn scan(&self, scan: &Scan) -> Vec<StoredConsignment> {
        let mut found: Vec<_> = (self.0.iter())
            .filter(|(id, _)| scan.ids.is_empty() || scan.ids.contains(id))
            .map(|(_, record)| record.clone())
            .filter(|record| record.receipt.sequence > scan.after)
            .filter(|record| record.receipt.sequence <= scan.through)
            .filter(|record| meets(record, &scan.filter))
            .collect();
        if scan.newest_first {
            found.reverse();
        }
        found
    }
}

/// Few ids, so that they meet; few contents, so that some are the same; some long, so that pages end by their bytes.
fn consignment() -> impl Strategy<Value = NewConsignment> {
    let length = prop_oneof![
        8 => 0..2_usize,
        1 => (1..4_usize).prop_map(|size| size * 20_000),
    ];
    let containers = vec((few("customer"), few("user"), few("origin")), 0..2);
    let creator = proptest::option::of(few("creator"));
    let contents = (length, few("vessel"), containers);
    (id(), contents, creator).prop_map(|(id, (length, vessel_id, containers), creator)| {
        let container = |(customer_id, user_id, origin)| Container {
            customer_id,
            user_id,
            origin,
            ..Container::default()
        };
        let consignment = Consignment {
            description: "x".repeat(length),
            vessel_id,
            containers: containers.into_iter().map(container).collect(),
            ..Consignment::default()
        };
        NewConsignment {
            created_by: creator.map(Into::into),
            ..new(id, consignment.encode_to_vec())
        }
    })
}

/// One of two texts.
fn few(of: &'static str) -> impl Strategy<Value = String> {
    (0..2_u32).prop_map(move |number| format!("{of}-{number}"))
}

/// Conditions that some meet, mostly none.
fn filter() -> impl Strategy<Value = Filter> {
    let maybe = |of| proptest::option::weighted(0.15, few(of));
    let time = || prop_oneof![8 => Just(None), 1 => Just(Some(0)), 1 => Just(Some(i64::MAX))];
    let texts = (
        maybe("vessel"),
        maybe("customer"),
        maybe("user"),
        maybe("origin"),
    );
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

/// What a filter means, said in another way than the store says it.
fn meets(record: &StoredConsignment, filter: &Filter) -> bool {
    let consignment = Consignment::decode(record.body.clone()).unwrap();
    let of_containers = |field: fn(&Container) -> &String| {
        let texts = consignment.containers.iter().map(field);
        texts.cloned().collect::<Vec<_>>()
    };
    let time = record.receipt.created_at;
    let texts = [
        (&filter.vessel_id, vec![consignment.vessel_id.clone()]),
        (&filter.customer_id, of_containers(|one| &one.customer_id)),
        (&filter.user_id, of_containers(|one| &one.user_id)),
        (&filter.origin, of_containers(|one| &one.origin)),
    ];
    (texts.iter()).all(|(wanted, has)| wanted.iter().all(|wanted| has.contains(wanted)))
        && (filter.created_from.unwrap_or(i64::MIN)..filter.created_until.unwrap_or(i64::MAX))
            .contains(&time)
}

fn id() -> impl Strategy<Value = String> {
    (0..400_u32).prop_map(|number| format!("id-{number}"))
}

fn scan() -> impl Strategy<Value = Scan> {
    let sequence = || prop_oneof![20 => 0..500_u64, 1 => Just(u64::MAX)];
    let limit = prop_oneof![1..20_usize, Just(usize::MAX)];
    let ids = prop_oneof![Just(Vec::new()), vec(id(), 1..60)];
    let range = (sequence(), sequence());
    (range, ids, filter(), any::<bool>(), limit).prop_map(
        |((after, through), ids, filter, newest_first, limit)| Scan {
            after,
            through,
            ids,
            filter,
            newest_first,
            limit,
        },
    )
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => vec(consignment(), 0..120).prop_map(Step::Append),
        4 => scan().prop_map(Step::Scan),
        1 => Just(Step::Reopen),
    ];
    vec(step, 1..16)
}

async fn follows_the_model(mut subject: Subject, steps: Vec<Step>) -> Result<(), TestCaseError> {
    let register = subject.store.register().to_owned();
    let mut model = Model::default();
    for step in steps {
        match step {
            Step::Append(batch) => append(&subject, &mut model, batch).await?,
            Step::Scan(asked) => {
                let mut found = check_pages(&subject, asked.clone()).await?;
                prop_assert_eq!(&found, &model.scan(&asked), "{:?}", asked);
                found.truncate(asked.limit);
                let read = read_on(&*subject.store, asked.clone()).await;
                prop_assert_eq!(read, found, "read on: {:?}", asked);
            }
            Step::Reopen => subject.reopen().await,
        }
        let last = subject.store.last_sequence().await.unwrap();
        prop_assert_eq!(last, model.0.len() as u64);
    }
    subject.reopen().await;
    prop_assert_eq!(subject.store.register(), register);
    let records = read_all(&*subject.store).await;
    prop_assert!(records.iter().eq(model.0.iter().map(|(_, record)| record)));
    subject.store.close().await;
    Ok(())
}

async fn append(
    subject: &Subject,
    model: &mut Model,
    batch: Vec<NewConsignment>,
) -> Result<(), TestCaseError> {
    let given = subject.store.append(batch.clone()).await.unwrap();
    prop_assert_eq!(given.len(), batch.len(), "an outcome for each");
    for (new, given) in batch.into_iter().zip(given) {
        let text = format!("{new:?}");
        prop_assert_eq!(&given, &model.append(new, &given), "{}", text);
    }
    Ok(())
}

/// All pages of `scan`, each looked at by itself.
async fn check_pages(
    subject: &Subject,
    mut scan: Scan,
) -> Result<Vec<StoredConsignment>, TestCaseError> {
    let mut records = Vec::new();
    loop {
        let Page {
            records: page,
            through,
            is_last,
        } = subject.store.scan(&scan).await.unwrap();
        prop_assert!(page.len() <= scan.limit.min(PAGE_RECORDS));
        let before_last = page.iter().rev().skip(1).map(|record| record.body.len());
        prop_assert!(before_last.sum::<usize>() < PAGE_BYTES);
        records.extend(page.iter());
        if is_last {
            return Ok(records);
        }
        if scan.filter.is_open() {
            let last = records.last().map(|record| record.receipt.sequence);
            prop_assert_eq!(last, Some(through), "a page that is not the last is full");
        }
        if scan.newest_first {
            scan.through = through - 1;
        } else {
            scan.after = through;
        }
    }
}

fn check(subject: impl Future<Output = Subject>, steps: Vec<Step>) -> Result<(), TestCaseError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async { follows_the_model(subject.await, steps).await })
}

/// What fails is printed, smallest first; nothing is kept between runs.
fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 48,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn the_store_in_memory_does_as_the_model(steps in steps()) {
        check(async { Subject::memory() }, steps)?;
    }

    #[test]
    fn the_store_in_a_file_does_as_the_model_and_keeps_it_all_when_closed(steps in steps()) {
        check(async { Subject::sqlite() }, steps)?;
    }
}

proptest! {
    // Each opens several stores, each of several connections, which takes PostgreSQL a process each.
    #![proptest_config(ProptestConfig { cases: 16, ..config() })]

    #[test]
    #[ignore = "needs PostgreSQL"]
    fn the_store_in_a_database_does_as_the_model_and_keeps_it_all_when_closed(steps in steps()) {
        check(Subject::postgres(), steps)?;
    }
}
