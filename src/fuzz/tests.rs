//! What the fuzzers do, in seconds and without them: the same functions, with
//! bytes of any kind and with mutations of the seeds in `fuzz/seeds`.

use std::fs;
use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, TestRunner};

/// What happens to a seed on its way.
#[derive(Debug, Clone)]
enum Mutation {
    Flip(Index, u8),
    Set(Index, u8),
    Insert(Index, Vec<u8>),
    Delete(Index, usize),
    Repeat(Index, usize),
    Truncate(Index),
    /// The end of another seed.
    Splice(Index, Vec<u8>),
}

impl Mutation {
    fn apply(self, bytes: &mut Vec<u8>) {
        let length = bytes.len();
        let place = |at: Index| at.index(length + 1);
        match self {
            Self::Flip(at, bit) if length > 0 => bytes[at.index(length)] ^= 1 << (bit % 8),
            Self::Set(at, value) if length > 0 => bytes[at.index(length)] = value,
            Self::Flip(..) | Self::Set(..) => {}
            Self::Insert(at, more) => drop(bytes.splice(place(at)..place(at), more)),
            Self::Delete(at, count) => {
                drop(bytes.drain(place(at)..(place(at) + count).min(length)))
            }
            Self::Repeat(at, count) => {
                let part = bytes[place(at)..(place(at) + count).min(length)].to_vec();
                bytes.splice(place(at)..place(at), part);
            }
            Self::Truncate(at) => bytes.truncate(place(at)),
            Self::Splice(at, tail) => {
                bytes.truncate(place(at));
                bytes.extend(tail);
            }
        }
    }
}

fn mutation(seeds: Vec<Vec<u8>>) -> impl Strategy<Value = Mutation> {
    let index = any::<Index>;
    let edges = select(vec![
        0, 1, 4, 0x20, b'"', b'\'', b';', b'\\', 0x7f, 0x80, 0xff,
    ]);
    let tail =
        (select(seeds), index()).prop_map(|(seed, at)| seed[at.index(seed.len() + 1)..].to_vec());
    prop_oneof![
        (index(), any::<u8>()).prop_map(|(at, bit)| Mutation::Flip(at, bit)),
        (index(), edges).prop_map(|(at, value)| Mutation::Set(at, value)),
        (index(), vec(any::<u8>(), 1..6)).prop_map(|(at, more)| Mutation::Insert(at, more)),
        (index(), 1..9usize).prop_map(|(at, count)| Mutation::Delete(at, count)),
        (index(), 1..40usize).prop_map(|(at, count)| Mutation::Repeat(at, count)),
        index().prop_map(Mutation::Truncate),
        (index(), tail).prop_map(|(at, tail)| Mutation::Splice(at, tail)),
    ]
}

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
    let entries = fs::read_dir(directory.join(target)).expect("seeds");
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// The seeds, `cases` mutations of them, and half as many cases of any bytes.
fn drive(target: &str, read: fn(&[u8]), cases: u32) {
    let seeds = seeds(target);
    seeds.iter().for_each(|seed| read(seed));
    let runner = |cases| {
        TestRunner::new(Config {
            failure_persistence: None,
            ..Config::with_cases(cases)
        })
    };
    let mutated =
        (select(seeds.clone()), vec(mutation(seeds), 1..6)).prop_map(|(seed, mutations)| {
            let mut bytes = seed;
            mutations.into_iter().for_each(|m| m.apply(&mut bytes));
            bytes
        });
    let ran = runner(cases).run(&mutated, |bytes| {
        read(&bytes);
        Ok(())
    });
    ran.unwrap_or_else(|e| panic!("{target}: {e}"));
    let ran = runner(cases / 2).run(&vec(any::<u8>(), 0..300), |bytes| {
        read(&bytes);
        Ok(())
    });
    ran.unwrap_or_else(|e| panic!("{target}: {e}"));
}

macro_rules! targets {
    ($($name:ident: $cases:literal),+ $(,)?) => {
        $(#[test]
        fn $name() {
            drive(stringify!($name), super::$name, $cases);
        })+

        /// `make fuzz` runs what is in `fuzz/targets`.
        #[test]
        fn every_function_is_a_target() {
            let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/targets");
            let mut names: Vec<String> = fs::read_dir(directory)
                .expect("targets")
                .map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
                .collect();
            names.sort();
            assert_eq!(names, [$(stringify!($name)),+]);
        }
    };
}

targets! {
    answer: 2000,
    call: 500,
    certificate: 2000,
    client: 2000,
    fields: 4000,
    fleet: 4000,
    presigned: 4000,
    proxy_header: 4000,
    request: 4000,
    sasl: 4000,
    scram: 4000,
    secret: 4000,
    server: 2000,
    server_certificate: 1000,
    sql: 2000,
    startup: 4000,
    token: 2000,
}
