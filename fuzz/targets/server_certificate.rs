#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pgvalet::fuzz::server_certificate(data));
