//! Generates the wire types, the service, its JSON mapping and etcd's client from `proto/`, with no `protoc` on the
//! machine.

use std::{env, error::Error, fs, path::Path};

use prost::Message as _;

const PACKAGE: &str = ".go.micro.srv.consignment";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");

    let descriptors = protox::compile(["proto/consignment.proto"], ["proto"])?;
    let encoded = descriptors.encode_to_vec();
    fs::write(
        Path::new(&env::var("OUT_DIR")?).join("consignment.descriptors"),
        &encoded,
    )?;

    tonic_prost_build::configure()
        .codec_path("crate::proto::Codec")
        .compile_well_known_types(true)
        .extern_path(".google.protobuf", "::pbjson_types")
        // Records of which there are many are encoded and decoded one at a time, if at all, so these are written by hand.
        .extern_path(format!("{PACKAGE}.Response"), "crate::proto::Response")
        .extern_path(
            format!("{PACKAGE}.CreateChunk"),
            "crate::proto::CreateChunk",
        )
        .extern_path(format!("{PACKAGE}.ListChunk"), "crate::proto::ListChunk")
        .compile_fds(descriptors)?;

    // The client alone: etcd is the server.
    tonic_prost_build::configure()
        .build_server(false)
        .skip_debug(["etcdserverpb.AuthenticateRequest"])
        .compile_fds(protox::compile(["proto/etcd.proto"], ["proto"])?)?;

    pbjson_build::Builder::new()
        .register_descriptors(&encoded)?
        .preserve_proto_field_names()
        .build(&[
            format!("{PACKAGE}.Consignment"),
            format!("{PACKAGE}.Container"),
        ])?;
    Ok(())
}
