//! What users and their programs meet, tested from the outside.

mod mdns;
