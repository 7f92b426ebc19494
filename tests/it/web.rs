//! What is answered over plain HTTP.

mod connections;
mod create;
mod events;
mod health;
mod list;
pub(crate) mod metrics;
mod openapi;
mod strangers;
mod trusted;

const CONSIGNMENTS: &str = "/v1/consignments";
const JSON: &str = "Content-Type: application/json";
const NDJSON: &str = "Content-Type: application/x-ndjson";
