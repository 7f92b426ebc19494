//! One transaction for all who wait: it locks the register's counter, finds what is there, numbers what is new and
//! inserts it.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use futures_util::future::{join, join3};
use tokio_postgres::{Row, Statement, types::ToSql};

use super::{
    connect::{Connector, Session, within},
    failure::Failure,
    schema::{self, Found},
    terms,
};
use crate::store::{NewConsignment, Outcome, Receipt, micros, queue::Append};

/// How long the database may take for a commit. It is long, as a busy disk may take seconds and
/// nothing is won by asking again meanwhile: a connection that is cut is noticed by the system before that.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(5);
/// Of those who commit: they wait so long for another's transaction, and one that has stopped amid its own, for whatever
/// reason, is ended, so that it does not hold up the other servers. There is no limit on a statement: a commit that
/// waits for its standby and is ended counts as done although the standby may not have it. A session whose server
/// has gone ends although it waits for something.
const SETTINGS: [&str; 5] = [
    "lock_timeout = '1500ms'",
    "idle_in_transaction_session_timeout = '1s'",
    "statement_timeout = 0",
    "client_connection_check_interval = '1s'",
    "tcp_user_timeout = '3s'",
];

const LOCK: &str = "SELECT last_sequence FROM shippy_register WHERE number = $1 FOR UPDATE";
/// The sum keeps the primary key out: as long as there is little, reading all of the register by it looks as cheap as
/// looking the ids up, and stays the plan.
const FIND: &str = "SELECT id, sequence, created_at, body, created_by FROM shippy_consignment
     WHERE id = ANY($2::TEXT[]) AND register + 0 = $1";
/// Inserts what is not there, numbered after the counter in the order of the places, and moves the counter; what was
/// inserted. Whether an id is there is asked for each by itself, never by reading all that there are beside them.
const STORE: &str = "WITH stored AS (
        INSERT INTO shippy_consignment
            (register, sequence, id, created_at, body, terms, created_by)
        SELECT $1::BIGINT, counter.last_sequence + row_number() OVER (ORDER BY new.place),
            new.id, $2::BIGINT, new.body, new.terms::BIGINT[], new.created_by
        FROM unnest($3::BIGINT[], $4::TEXT[], $5::BYTEA[], $6::TEXT[], $7::TEXT[])
                AS new (place, id, body, terms, created_by)
            JOIN shippy_register AS counter ON counter.number = $1
        WHERE (SELECT known.sequence FROM shippy_consignment AS known
            WHERE known.id = new.id AND known.register + 0 = $1) IS NULL
        ORDER BY new.place
        RETURNING id, sequence
    ), counted AS (
        UPDATE shippy_register SET last_sequence = last_sequence + (SELECT count(*) FROM stored)
        WHERE number = $1
    )
    SELECT id, sequence FROM stored";
const NOTIFY: &str =
    "SELECT pg_notify($1, last_sequence::TEXT) FROM shippy_register WHERE number = $2";

/// The name under which a register's new sequence numbers are notified.
pub(super) fn channel(register: i64) -> String {
    format!("shippy_{register}")
}

/// A connection with all that a commit needs.
pub(super) struct Committer {
    session: Session,
    lock: Statement,
    find: Statement,
    store: Statement,
    notify: Option<Statement>,
}

/// When the transactions were made of which it is not known what became of them, as `created_at` has it: whatever is
/// found with one of these was stored by that transaction.
pub(super) type Tried = Vec<i64>;

/// What a transaction did.
pub(super) struct Committed {
    /// What became of each member of each batch.
    pub(super) outcomes: Vec<Vec<Outcome>>,
    /// The register's last sequence number.
    pub(super) last: u64,
    /// Whether most of the time went into waiting for another's transaction.
    pub(super) has_waited: bool,
}

impl Committer {
    pub(super) async fn connect(connector: &Connector, found: &Found) -> Result<Self, Failure> {
        let (session, _) = connector.open().await?;
        let client = &session.client;
        schema::settle(client, &SETTINGS).await?;
        let prepared = within(COMMIT_TIMEOUT, async {
            let prepared = join3(
                client.prepare(LOCK),
                client.prepare(FIND),
                client.prepare(STORE),
            );
            let (lock, find, store) = prepared.await;
            let notify = if found.features.notifies {
                Some(client.prepare(NOTIFY).await?)
            } else {
                None
            };
            Ok((lock?, find?, store?, notify))
        });
        let (lock, find, store, notify) = prepared.await?;
        Ok(Self {
            session,
            lock,
            find,
            store,
            notify,
        })
    }

    /// Commits what of `group` is new in the register `number`. When it fails, nothing is known of what was done, except
    /// where the failure means that nothing was; `tried` then says what would tell.
    pub(super) async fn commit(
        &self,
        number: i64,
        group: &[Append],
        tried: &mut Tried,
    ) -> Result<Committed, Failure> {
        let created_at = micros(SystemTime::now());
        let rows = Rows::of(number, created_at, group);
        let answers = if rows.ids.is_empty() {
            self.ask(number).await?
        } else {
            tried.push(created_at);
            // It holds all of the statements under way, which is a lot to carry through all who wait for it.
            Box::pin(self.store(number, &rows)).await?
        };
        let mut told = Told {
            known: answers.known,
            tried,
            seen: HashMap::new(),
        };
        let outcomes: Result<_, Failure> = (group.iter())
            .map(|append| append.batch.iter().map(|new| told.outcome(new)).collect())
            .collect();
        Ok(Committed {
            outcomes: outcomes?,
            last: answers.last,
            has_waited: answers.has_waited,
        })
    }

    /// Takes back what an unsuccessful transaction has left open; whether the connection can be used again.
    pub(super) async fn roll_back(&self) -> bool {
        let rolled_back = self.session.client.batch_execute("ROLLBACK");
        within(COMMIT_TIMEOUT, rolled_back).await.is_ok()
    }

    /// A transaction that stores nothing: whether one can be made, and the last sequence number.
    async fn ask(&self, number: i64) -> Result<Answers, Failure> {
        let client = &self.session.client;
        let begin = client.batch_execute(BEGIN);
        let parameters: [&(dyn ToSql + Sync); 1] = [&number];
        let lock = client.query_opt(&self.lock, &parameters);
        let commit = client.batch_execute("COMMIT");
        let (open, locked, committed) = within(COMMIT_TIMEOUT, async {
            Ok(join3(begin, lock, commit).await)
        })
        .await?;
        open?;
        let last = counter(locked?)?;
        committed?;
        Ok(Answers {
            last,
            known: HashMap::new(),
            has_waited: false,
        })
    }

    /// Locks the counter and then, in new statements, which see what was committed before the lock, finds what is there
    /// of `rows`, stores what is not, and commits. All is sent at once, so that the lock is held no longer than the
    /// database takes. A commit that stores nothing is one all the same: having locked, it waits until what was read
    /// is as durable as a commit has to be.
    async fn store(&self, number: i64, rows: &Rows<'_>) -> Result<Answers, Failure> {
        let client = &self.session.client;
        let channel = channel(number);
        let sent = Instant::now();
        let begin = timed(client.batch_execute(BEGIN));
        let parameters: [&(dyn ToSql + Sync); 2] = [&number, &rows.ids];
        let lock = timed(client.query_opt(&self.lock, &parameters[..1]));
        let find = client.query(&self.find, &parameters);
        let row_parameters = rows.parameters(&number);
        let store = client.query(&self.store, &row_parameters);
        let notify_parameters: [&(dyn ToSql + Sync); 2] = [&channel, &number];
        let notify = async {
            match &self.notify {
                Some(notify) => client.execute(notify, &notify_parameters).await,
                None => Ok(0),
            }
        };
        let commit = client.batch_execute("COMMIT");
        let all = join(join3(begin, lock, find), join3(store, notify, commit));
        let answers = within(COMMIT_TIMEOUT, Box::pin(async { Ok(all.await) }));
        let (((open, asked), (locked, granted), found), (stored, notified, committed)) =
            answers.await?;
        let has_waited = granted.saturating_duration_since(asked) > sent.elapsed() / 2;
        open?;
        let mut last = counter(locked?)?;
        let (found, stored) = (found?, stored?);
        // After an error the commit takes back, and says nothing of it.
        notified?;
        committed?;
        let mut known = HashMap::with_capacity(found.len() + stored.len());
        for row in found {
            let receipt = Receipt {
                sequence: schema::sequence(row.try_get(1)?)?,
                created_at: row.try_get(2)?,
                created_by: row.try_get::<_, Option<&str>>(4)?.map(Arc::from),
            };
            let body = row.try_get::<_, &[u8]>(3)?.to_vec();
            known.insert(
                row.try_get(0)?,
                Known {
                    receipt,
                    body: Some(body),
                },
            );
        }
        for row in stored {
            let receipt = Receipt {
                sequence: schema::sequence(row.try_get(1)?)?,
                created_at: rows.created_at,
                created_by: rows.creators.get(row.try_get::<_, &str>(0)?).cloned(),
            };
            last = last.max(receipt.sequence);
            known.insert(
                row.try_get(0)?,
                Known {
                    receipt,
                    body: None,
                },
            );
        }
        Ok(Answers {
            last,
            known,
            has_waited,
        })
    }
}

const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";

/// What `answer` comes to, and when.
async fn timed<T>(answer: impl Future<Output = T>) -> (T, Instant) {
    let answer = answer.await;
    (answer, Instant::now())
}

/// What the counter says.
fn counter(row: Option<Row>) -> Result<u64, Failure> {
    let gone = || Failure::Damaged("the register is no longer in the database".into());
    schema::sequence(row.ok_or_else(gone)?.try_get(0)?)
}

/// What a transaction answered: the last sequence number, what is there under each id, and whether most of the time went
/// into waiting for the lock.
struct Answers {
    last: u64,
    known: HashMap<String, Known>,
    has_waited: bool,
}

/// What is stored under an id.
struct Known {
    receipt: Receipt,
    /// What was there before; absent where this transaction has stored what it was given.
    body: Option<Vec<u8>>,
}

/// What may be new, by column, each id once.
#[derive(Default)]
struct Rows<'g> {
    created_at: i64,
    places: Vec<i64>,
    ids: Vec<&'g str>,
    bodies: Vec<&'g [u8]>,
    terms: Vec<String>,
    created_by: Vec<Option<&'g str>>,
    /// By id, where there is one.
    creators: HashMap<&'g str, Arc<str>>,
}

impl<'g> Rows<'g> {
    fn of(register: i64, created_at: i64, group: &'g [Append]) -> Self {
        let mut rows = Self {
            created_at,
            ..Self::default()
        };
        let mut seen = HashSet::new();
        let members = group.iter().flat_map(|append| &append.batch);
        for (place, new) in (0..).zip(members) {
            if seen.insert(&new.id) {
                rows.places.push(place);
                rows.ids.push(&new.id);
                rows.bodies.push(&new.body);
                rows.terms.push(terms::of_body(register, &new.body));
                rows.created_by.push(new.created_by.as_deref());
                if let Some(name) = &new.created_by {
                    rows.creators.insert(&new.id, Arc::clone(name));
                }
            }
        }
        rows
    }

    fn parameters<'r>(&'r self, register: &'r i64) -> [&'r (dyn ToSql + Sync); 7] {
        [
            register,
            &self.created_at,
            &self.places,
            &self.ids,
            &self.bodies,
            &self.terms,
            &self.created_by,
        ]
    }
}

/// Says of each member of a group what became of it.
struct Told<'g, 't> {
    known: HashMap<String, Known>,
    tried: &'t Tried,
    /// The first of each id.
    seen: HashMap<&'g str, &'g [u8]>,
}

impl<'g> Told<'g, '_> {
    fn outcome(&mut self, new: &'g NewConsignment) -> Result<Outcome, Failure> {
        let missing = || Failure::Damaged(format!("{} is neither stored nor there", new.id));
        let Known { receipt, body } = self.known.get(&new.id).ok_or_else(missing)?;
        let (receipt, body) = (receipt.clone(), body.as_deref());
        let first = self.seen.get(&*new.id).copied();
        if first.is_none() {
            self.seen.insert(&new.id, &new.body);
        }
        // What this transaction stored is what came first.
        let is_same = body.or(first).is_none_or(|known| known == new.body);
        // An earlier try of this very transaction may have stored it.
        let is_ours = body.is_none() || self.tried.contains(&receipt.created_at);
        Ok(if is_same && first.is_none() && is_ours {
            Outcome::Stored(receipt)
        } else if is_same {
            Outcome::AlreadyThere(receipt)
        } else {
            Outcome::Conflict(receipt)
        })
    }
}
