#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| shippy::fuzz::check("mdns_query", data));
