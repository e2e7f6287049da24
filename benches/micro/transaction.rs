//! What pgvalet adds to a transaction besides system calls, piece by piece:
//! `make micro`.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use pgvalet::pool::{Quota, fake};
use pgvalet::session::bench::Conversation;

fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).expect("a short message");
    [&[tag][..], &length.to_be_bytes(), body].concat()
}

const SQL: &[u8] = b"SELECT abalance FROM pgbench_accounts WHERE aid = 271828;\0";

fn row(size: u16) -> Vec<u8> {
    let column = u32::from(size).to_be_bytes();
    let body = [&[0, 1], &column[..], &vec![b'x'; size.into()]].concat();
    message(b'D', &body)
}

fn complete() -> Vec<u8> {
    [message(b'C', b"SELECT 1\0"), message(b'Z', b"I")].concat()
}

fn scanner(c: &mut Criterion) {
    let ask = message(b'Q', SQL);
    let description = message(
        b'T',
        b"\0\x01abalance\0\0\0\x40\0\0\x03\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0",
    );
    let answer = [description, row(4), complete()].concat();
    let mut talk = Conversation::default();
    c.bench_function("simple query and its answer", |b| {
        b.iter(|| {
            black_box(talk.client_says(black_box(&ask)));
            black_box(talk.server_says(black_box(&answer)));
        });
    });
    assert!(talk.is_over());

    // As much as one read returns of a large result.
    let rows = row(100).repeat(300);
    let mut group = c.benchmark_group("result");
    group.throughput(Throughput::Bytes(rows.len() as u64));
    talk.client_says(&ask);
    group.bench_function("300 rows of 100 bytes", |b| {
        b.iter(|| black_box(talk.server_says(black_box(&rows))));
    });
    group.finish();

    let text = [b"SELECT '", &[b'x'; 8000][..], b"'\0"].concat();
    let long = message(b'Q', &text);
    talk.server_says(&complete());
    let mut group = c.benchmark_group("text");
    group.throughput(Throughput::Bytes(long.len() as u64));
    group.bench_function("simple query of 8 kB and its answer", |b| {
        b.iter(|| {
            black_box(talk.client_says(black_box(&long)));
            black_box(talk.server_says(&complete()));
        });
    });
    group.finish();
    assert!(talk.is_over());
}

fn prepared(c: &mut Criterion) {
    let parse = message(b'P', &[b"P0_1\0", SQL, b"\0\0"].concat());
    let sync = message(b'S', b"");
    let mut talk = Conversation::default();
    talk.client_says(&[&parse[..], &sync].concat());
    talk.server_says(&[message(b'1', b""), message(b'Z', b"I")].concat());
    let bind = message(b'B', b"\0P0_1\0\0\0\0\x01\0\0\0\x06271828\0\0");
    let execute = message(b'E', b"\0\0\0\0\0");
    let describe = message(b'D', b"P\0");
    let ask = [bind, describe, execute, sync].concat();
    let description = message(
        b'T',
        b"\0\x01abalance\0\0\0\x40\0\0\x03\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0",
    );
    let answer = [message(b'2', b""), description, row(4), complete()].concat();
    c.bench_function("prepared statement: Bind, Describe, Execute, Sync", |b| {
        b.iter(|| {
            black_box(talk.client_says(black_box(&ask)));
            black_box(talk.server_says(black_box(&answer)));
        });
    });
    assert!(talk.is_over());
}

fn pool(c: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let pool = runtime.block_on(fake::setup("pool_size = 4"));
    let _inside = runtime.enter();
    let (client, quota) = (std::sync::Arc::from("c"), Quota::default());
    c.bench_function("checkout and check-in", |b| {
        b.iter(|| drop(black_box(pool.pool.try_checkout(&client, &quota).expect("an idle one"))));
    });
}

criterion_group!(benches, scanner, prepared, pool);
criterion_main!(benches);
