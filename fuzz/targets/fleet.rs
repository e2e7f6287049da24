#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pgvalet::fuzz::fleet(data));
