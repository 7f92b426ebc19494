//! Concurrent creates and lists, recorded with their times and checked as a whole, while servers are killed and started
//! again: against one server, and against three of one register.
//!
//! `SHIPPY_TEST_HISTORY_SECONDS` says for how long.

use std::{
    process::Command,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use prost::Message as _;
use shippy::{
    consignment::canonical,
    proto::{
        Consignment, GetRequest, ListRequest, Position,
        shipping_service_client::ShippingServiceClient,
    },
};
use tempfile::TempDir;
use tokio::sync::watch;
use tonic::{
    Code, Status,
    transport::{Channel, Endpoint},
};

use self::checker::{Call, Record, Result, Sent, violation};
use crate::{
    kill::{Dice, answer, fresh, own_seed, setting},
    support::{Server, folder, free_address, own_name, postgres::Cluster, shippy},
};

mod checker;

type Client = ShippingServiceClient<Channel>;

/// Those who call at the same time.
const CALLERS: usize = 16;
/// How long all servers live before one is killed.
const LIFE: Duration = Duration::from_millis(700);
/// How long a killed one is away.
const ABSENCE: Duration = Duration::from_millis(200);
/// How long a caller waits after a call that came to nothing.
const PAUSE: Duration = Duration::from_millis(5);
/// Of the last so many that were sent some are sent again, with the same contents or with others.
const CONSIGNMENTS_IN_PLAY: usize = 50;

/// Servers at fixed addresses, which are killed and started again.
struct Servers {
    home: TempDir,
    store: String,
    name: String,
    running: Vec<(String, Server)>,
}

impl Servers {
    fn start(home: TempDir, store: String, count: usize) -> Self {
        let mut servers = Self {
            home,
            store,
            name: own_name(),
            running: Vec::new(),
        };
        for _ in 0..count {
            let address = free_address();
            let server = servers.serve(&address);
            servers.running.push((address, server));
        }
        servers
    }

    fn serve(&self, address: &str) -> Server {
        let mut command: Command = shippy(self.home.path());
        command.args(["serve", "--name", &self.name, "--store", &self.store]);
        command.args(["--address", address]);
        Server::spawn(command, self.home.path())
    }

    fn addresses(&self) -> Vec<String> {
        let addresses = self.running.iter().map(|(address, _)| address.clone());
        addresses.collect()
    }

    fn register(&self) -> String {
        self.running[0].1.register.clone()
    }

    /// Kills one, lets it be away for a while, and starts it again.
    async fn kill_one(&mut self, dice: &mut Dice) {
        let (address, server) = self.running.remove(dice.index(self.running.len()));
        server.kill();
        tokio::time::sleep(ABSENCE).await;
        let server = self.serve(&address);
        self.running.push((address, server));
    }
}

/// Where callers write down what they did, and find what others sent.
#[derive(Default)]
struct Book {
    calls: Vec<Call>,
    sent: Vec<Consignment>,
    /// How far lists have come.
    reached: u64,
}

struct Caller {
    clients: Vec<Client>,
    register: String,
    book: Arc<Mutex<Book>>,
    dice: Dice,
}

fn sent(consignment: &Consignment) -> Sent {
    Sent {
        id: consignment.id.clone(),
        contents: canonical(&mut consignment.clone()),
    }
}

fn record(consignment: &Consignment) -> Record {
    Record {
        sequence: consignment.sequence,
        sent: sent(consignment),
    }
}

impl Caller {
    /// Calls one server after another until it is told to stop.
    async fn run(mut self, stop: watch::Receiver<bool>) {
        while !*stop.borrow() {
            let begun = Instant::now();
            let result = match self.dice.roll(10) {
                0 => self.list().await,
                1 => self.get().await,
                _ => Ok(self.create().await),
            };
            let ended = Instant::now();
            if !matches!(result, Ok(Result::Created { .. } | Result::Listed { .. })) {
                // A server that is away would be asked for nothing else.
                tokio::time::sleep(PAUSE).await;
            }
            match result {
                Ok(result) => self.note(Call {
                    begun,
                    ended,
                    result,
                }),
                // A read without an answer says nothing.
                Err(status) => assert!(is_broken(&status), "{status:?}"),
            }
        }
    }

    fn note(&self, call: Call) {
        let mut book = self.book.lock().unwrap();
        if let Result::Listed { records, .. } = &call.result {
            let last = records.last().map_or(0, |last| last.sequence);
            book.reached = book.reached.max(last);
        }
        book.calls.push(call);
    }

    fn client(&mut self) -> Client {
        let one = self.dice.index(self.clients.len());
        self.clients[one].clone()
    }

    /// New, or sent before with the same contents or with others.
    fn choose(&mut self) -> Consignment {
        let mut book = self.book.lock().unwrap();
        let count = book.sent.len();
        let chosen = if count > 0 && self.dice.roll(3) == 0 {
            let recent = count.min(CONSIGNMENTS_IN_PLAY);
            let mut again = book.sent[count - 1 - self.dice.index(recent)].clone();
            again.weight += i32::from(self.dice.roll(3) == 0);
            again
        } else {
            fresh(&mut self.dice)
        };
        book.sent.push(chosen.clone());
        chosen
    }

    async fn create(&mut self) -> Result {
        let chosen = self.choose();
        let mut client = self.client();
        let sent = sent(&chosen);
        match answer("a create", client.create_consignment(chosen)).await {
            Ok(reply) => {
                let reply = reply.into_inner();
                let stored = record(&reply.consignment.unwrap());
                assert_eq!(stored.sent, sent, "what was sent");
                Result::Created {
                    sent,
                    sequence: stored.sequence,
                    is_new: reply.created,
                }
            }
            Err(status) if status.code() == Code::AlreadyExists => Result::Conflict(sent),
            Err(status) if is_broken(&status) => Result::Unanswered(sent),
            Err(status) => panic!("{status:?}"),
        }
    }

    async fn get(&mut self) -> std::result::Result<Result, Status> {
        let mut client = self.client();
        let reply = answer("a get", client.get_consignments(GetRequest {})).await;
        let records = match reply {
            Ok(reply) => (reply.into_inner().consignments.into_iter())
                .map(|one| record(&Consignment::decode(one).unwrap()))
                .collect(),
            // By now there are too many for one reply.
            Err(status) if status.code() == Code::ResourceExhausted => return self.list().await,
            Err(status) => return Err(status),
        };
        Ok(Result::Listed { after: 0, records })
    }

    /// Lists all, or what is not known yet and some before.
    async fn list(&mut self) -> std::result::Result<Result, Status> {
        let after = match self.dice.roll(4) {
            0 => 0,
            _ => (self.book.lock().unwrap().reached).saturating_sub(self.dice.roll(20)),
        };
        let mut client = self.client();
        list(&mut client, &self.register, after).await
    }
}

async fn list(
    client: &mut Client,
    register: &str,
    after: u64,
) -> std::result::Result<Result, Status> {
    let request = ListRequest {
        after: Some(Position {
            register: register.to_owned(),
            sequence: after,
        }),
        ..ListRequest::default()
    };
    let chunks = answer("a list", client.list_consignments(request)).await?;
    let mut chunks = chunks.into_inner();
    let mut records = Vec::new();
    while let Some(chunk) = answer("a list's chunk", chunks.message()).await? {
        for listed in chunk.consignments {
            records.push(record(&Consignment::decode(listed).unwrap()));
        }
    }
    Ok(Result::Listed { after, records })
}

/// Whether there was no answer, or one that says to try again.
fn is_broken(status: &Status) -> bool {
    std::error::Error::source(status).is_some() || status.code() == Code::Unavailable
}

fn client_of(address: &str) -> Client {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    ShippingServiceClient::new(endpoint.connect_lazy())
}

/// Lets all call, while one server after another is killed, and checks what they saw.
async fn record_and_check(mut servers: Servers) {
    let seconds = setting("SHIPPY_TEST_HISTORY_SECONDS").unwrap_or(3);
    let seed = own_seed();
    let mut dice = Dice::new(seed);
    let book = Arc::<Mutex<Book>>::default();
    let register = servers.register();
    let (stop, stopped) = watch::channel(false);
    let callers = (0..CALLERS).map(|_| {
        let caller = Caller {
            clients: servers.addresses().iter().map(|at| client_of(at)).collect(),
            register: register.clone(),
            book: Arc::clone(&book),
            dice: Dice::new(dice.roll(u64::MAX)),
        };
        tokio::spawn(caller.run(stopped.clone()))
    });
    let callers: Vec<_> = callers.collect();
    let until = Instant::now() + Duration::from_secs(seconds);
    let mut kills = 0;
    while Instant::now() < until {
        tokio::time::sleep(LIFE).await;
        servers.kill_one(&mut dice).await;
        kills += 1;
    }
    stop.send_replace(true);
    for caller in join_all(callers).await {
        caller.unwrap();
    }
    let begun = Instant::now();
    let mut client = servers.running[0].1.connect().await;
    let result = list(&mut client, &register, 0).await.unwrap();
    let ended = Instant::now();
    let mut calls = std::mem::take(&mut book.lock().unwrap().calls);
    calls.push(Call {
        begun,
        ended,
        result,
    });
    report(&calls, kills, seed);
}

fn report(calls: &[Call], kills: u32, seed: u64) {
    let count = |is: fn(&Result) -> bool| calls.iter().filter(|call| is(&call.result)).count();
    let created = count(|result| matches!(result, Result::Created { .. }));
    let unanswered = count(|result| matches!(result, Result::Unanswered(_)));
    let conflicts = count(|result| matches!(result, Result::Conflict(_)));
    let lists = count(|result| matches!(result, Result::Listed { .. }));
    eprintln!(
        "{} calls, {kills} kills: {created} creates acknowledged, {conflicts} refused, {unanswered} unanswered; {lists} lists",
        calls.len()
    );
    assert!(
        created > 0 && conflicts > 0 && lists > 1,
        "the callers got nowhere"
    );
    if let Some((violation, call)) = violation(calls) {
        panic!("{violation:?} (seed {seed}): {call:#?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_server_that_is_killed_again_and_again_keeps_its_promises() {
    let home = folder();
    let store = format!("sqlite:{}", home.path().join("register.db").display());
    record_and_check(Servers::start(home, store, 1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL"]
async fn three_servers_of_which_one_is_killed_again_and_again_keep_their_promises() {
    let cluster = Cluster::shared();
    let store = cluster.url("postgres");
    record_and_check(Servers::start(folder(), store, 3)).await;
}
