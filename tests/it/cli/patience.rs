//! Servers that say how long to wait before they are asked again.

use std::{
    pin::Pin,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use futures_util::{Stream, stream};
use shippy::proto::{
    self, Consignment, CreateChunk, GetRequest, ListChunk, ListRequest, OutcomeChunk,
    shipping_service_server::ShippingService,
};
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::hostile::start;
use crate::support::{Ran, folder, run, shippy};

/// Far longer than a client waits by itself.
const WAIT: Duration = Duration::from_millis(1_500);

/// A server that is busy when it is asked first, and later refuses for good.
#[derive(Clone)]
struct Busy {
    wait: Duration,
    /// When it was asked for anything.
    asked: Arc<Mutex<Vec<Instant>>>,
}

impl Busy {
    fn status(&self) -> Status {
        let mut asked = self.asked.lock().unwrap();
        asked.push(Instant::now());
        if asked.len() > 1 {
            return Status::failed_precondition("asked again");
        }
        let retry = ErrorDetails::with_retry_info(Some(self.wait));
        Status::with_error_details(Code::ResourceExhausted, "too much to do", retry)
    }
}

#[tonic::async_trait]
impl ShippingService for Busy {
    type CreateConsignmentsStream =
        Pin<Box<dyn Stream<Item = Result<OutcomeChunk, Status>> + Send>>;
    type ListConsignmentsStream = Pin<Box<dyn Stream<Item = Result<ListChunk, Status>> + Send>>;

    async fn create_consignment(
        &self,
        _: Request<Consignment>,
    ) -> Result<Response<proto::Response>, Status> {
        Err(self.status())
    }

    async fn create_consignments(
        &self,
        _: Request<Streaming<CreateChunk>>,
    ) -> Result<Response<Self::CreateConsignmentsStream>, Status> {
        Err(self.status())
    }

    async fn get_consignments(
        &self,
        _: Request<GetRequest>,
    ) -> Result<Response<proto::Response>, Status> {
        Err(self.status())
    }

    /// Breaks off what it has begun.
    async fn list_consignments(
        &self,
        _: Request<ListRequest>,
    ) -> Result<Response<Self::ListConsignmentsStream>, Status> {
        let broken = stream::iter([Ok(ListChunk::default()), Err(self.status())]);
        Ok(Response::new(Box::pin(broken)))
    }
}

/// How a command with `args` ends that asks a server with `wait`, and when it asked.
async fn ran(wait: Duration, args: &'static [&'static str]) -> (Ran, Vec<Instant>) {
    let asked = Arc::default();
    let busy = Busy {
        wait,
        asked: Arc::clone(&asked),
    };
    let address = start(busy).await;
    let ran = tokio::task::spawn_blocking(move || {
        run(shippy(folder().path())
            .args(args)
            .args(["--server", &address]))
    });
    let ran = ran.await.unwrap();
    let asked = asked.lock().unwrap().clone();
    (ran, asked)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_says_when_is_not_asked_again_before() {
    for args in [&["create", "consignment.json"][..], &["list"]] {
        let (ran, asked) = ran(WAIT, args).await;
        ran.exits(4).says(&["asked again"]);
        let &[first, second] = &asked[..] else {
            panic!("{asked:?}");
        };
        assert!(second - first >= WAIT, "{:?}", second - first);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_waits_for_what_comes_after_the_time_is_up() {
    const HOUR: Duration = Duration::from_secs(3_600);
    for args in [
        &["create", "consignment.json", "--timeout", "20s"][..],
        &["list", "--timeout", "20s"],
    ] {
        let (ran, asked) = ran(HOUR, args).await;
        ran.exits(3).says(&["no server answered", "too much to do"]);
        assert_eq!(asked.len(), 1, "{asked:?}");
    }
}
