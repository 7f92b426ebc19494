//! The standard reflection service, by its own client.

use futures_util::{future::ready, stream::once};
use prost::Message as _;
use prost_types::{FileDescriptorProto, MethodDescriptorProto};
use shippy::proto::SERVICE;
use tonic::{Code, Request, Status, transport::Channel};
use tonic_reflection::pb;

use super::raw;
use crate::{
    cli::file,
    support::{Server, folder, run, shippy},
};

/// What is asked and what is answered have the same shape in both versions of the protocol.
macro_rules! ask {
    ($version:ident, $channel:expr, $token:expr, $question:ident($asked:expr), $answer:ident) => {{
        use pb::$version::{
            ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
            server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
        };
        let question = ServerReflectionRequest {
            host: String::new(),
            message_request: Some(MessageRequest::$question($asked.to_owned())),
        };
        let mut request = Request::new(once(ready(question)));
        let token: Option<&str> = $token;
        if let Some(token) = token {
            let bearer = format!("Bearer {token}").parse().unwrap();
            request.metadata_mut().insert("authorization", bearer);
        }
        let mut client = ServerReflectionClient::new($channel.clone());
        let answer = async {
            let mut answers = client.server_reflection_info(request).await?.into_inner();
            let answer = answers.message().await?.expect("an answer");
            assert_eq!(answers.message().await?, None, "one question, one answer");
            match answer.message_response {
                Some(MessageResponse::$answer(answer)) => Ok::<_, Status>(answer),
                other => panic!("{other:?}"),
            }
        };
        answer.await
    }};
}

async fn services(channel: &Channel) -> [Vec<String>; 2] {
    let new = ask!(v1, channel, None, ListServices(""), ListServicesResponse).unwrap();
    let old = ask!(
        v1alpha,
        channel,
        None,
        ListServices(""),
        ListServicesResponse
    )
    .unwrap();
    [
        new.service.into_iter().map(|one| one.name).collect(),
        old.service.into_iter().map(|one| one.name).collect(),
    ]
}

#[tokio::test]
async fn every_service_is_listed_in_both_versions() {
    let home = folder();
    let server = Server::start(home.path());
    let channel = raw::channel(&server).await;
    for (names, own) in services(&channel).await.into_iter().zip(["v1", "v1alpha"]) {
        for service in [SERVICE, "grpc.health.v1.Health"] {
            assert!(names.iter().any(|name| name == service), "{names:?}");
        }
        let own = format!("grpc.reflection.{own}.ServerReflection");
        assert!(names.contains(&own), "{names:?}");
    }
}

#[tokio::test]
async fn the_contract_is_shown_with_its_methods_and_what_it_imports() {
    let home = folder();
    let server = Server::start(home.path());
    let channel = raw::channel(&server).await;
    let file = |answer: Vec<Vec<u8>>| FileDescriptorProto::decode(&answer[0][..]).unwrap();
    let asked = ask!(
        v1,
        channel,
        None,
        FileContainingSymbol(SERVICE),
        FileDescriptorResponse
    );
    let contract = file(asked.unwrap().file_descriptor_proto);
    let methods: Vec<_> = (contract.service[0].method.iter())
        .map(MethodDescriptorProto::name)
        .collect();
    assert_eq!(
        methods,
        [
            "CreateConsignment",
            "GetConsignments",
            "ListConsignments",
            "CreateConsignments"
        ]
    );
    assert!(!contract.dependency.is_empty());
    for import in &contract.dependency {
        let asked = ask!(
            v1alpha,
            channel,
            None,
            FileByFilename(import),
            FileDescriptorResponse
        );
        assert_eq!(file(asked.unwrap().file_descriptor_proto).name(), import);
    }
    let unknown = ask!(
        v1,
        channel,
        None,
        FileContainingSymbol("nobody"),
        FileDescriptorResponse
    );
    assert_eq!(unknown.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn where_tokens_are_set_it_takes_one_that_may_read() {
    let home = folder();
    let ran = run(shippy(home.path()).args(["token", "desk", "--scope", "read"])).exits(0);
    let (token, line) = ran.stdout.split_once('\n').unwrap();
    let tokens = file(home.path(), "tokens", line);
    let server = Server::start_with(home.path(), |command| {
        command.args(["--tokens", &tokens]);
    });
    let channel = raw::channel(&server).await;
    for (sent, code) in [
        (None, Some(Code::Unauthenticated)),
        (Some("else"), Some(Code::Unauthenticated)),
        (Some(token), None),
    ] {
        let new = ask!(v1, channel, sent, ListServices(""), ListServicesResponse);
        assert_eq!(new.err().map(|status| status.code()), code, "{sent:?}");
        let old = ask!(
            v1alpha,
            channel,
            sent,
            ListServices(""),
            ListServicesResponse
        );
        assert_eq!(old.err().map(|status| status.code()), code, "{sent:?}");
    }
}
