//! It makes no difference in which pieces bytes arrive.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::messages::{Say, frame, readable};
use crate::session::relay::fuzz::{Cuts, Session};

fn say() -> impl Strategy<Value = Say> {
    let name = || select(vec!["", "", "a", "b", "a longer name"]);
    let size = || prop_oneof![6 => 0..30usize, 1 => 500..3000usize];
    let text = || {
        select(vec![
            "SELECT 1",
            "SELECT 2",
            "BEGIN",
            "RESET timezone",
            "SET timezone TO DEFAULT; SELECT 1",
            "DISCARD ALL",
            "DEALLOCATE a",
        ])
    };
    prop_oneof![
        3 => (name(), text()).prop_map(|(n, t)| Say::Parse(n, t)),
        3 => (name(), name(), size()).prop_map(|(p, n, size)| Say::Bind(p, n, size)),
        2 => name().prop_map(Say::Describe),
        1 => name().prop_map(Say::DescribePortal),
        2 => name().prop_map(Say::Execute),
        2 => name().prop_map(Say::Close),
        1 => name().prop_map(Say::ClosePortal),
        2 => select(vec![Say::Sync, Say::Flush, Say::Function, Say::CopyDone, Say::CopyFail]),
        1 => size().prop_map(Say::CopyData),
        2 => text().prop_map(Say::Query),
    ]
}

fn conversation() -> impl Strategy<Value = Vec<u8>> {
    vec(say(), 1..12).prop_map(|says| says.iter().flat_map(Say::bytes).collect())
}

/// One message of a server, in whatever place.
fn answer() -> impl Strategy<Value = Vec<u8>> {
    let status = select(vec![
        frame(b'Z', b"I"),
        frame(b'Z', b"T"),
        frame(b'Z', b"E"),
    ]);
    let empty = select(b"123nIsc".to_vec()).prop_map(|tag| frame(tag, b""));
    let done = select(vec![
        "SELECT 1",
        "SET",
        "RESET",
        "DISCARD ALL",
        "DEALLOCATE ALL",
        "DEALLOCATE",
        "PREPARE",
        "LISTEN",
    ])
    .prop_map(|tag| frame(b'C', &[tag.as_bytes(), &[0]].concat()));
    let failed = (
        select(vec!["22012", "0A000", "57P01"]),
        select(vec!["ERROR", "FATAL"]),
        0..80usize,
    )
        .prop_map(|(state, severity, size)| {
            let text = "pgvalet_2 ".repeat(size);
            frame(
                b'E',
                format!("S{severity}\0C{state}\0M{text}\0\0").as_bytes(),
            )
        });
    let reported = select(vec!["TimeZone\0UTC\0", "application_name\0x\0", "torn"])
        .prop_map(|text| frame(b'S', text.as_bytes()));
    let data = (select(b"DdtTGHNA".to_vec()), 0..400usize)
        .prop_map(|(tag, size)| frame(tag, &vec![b'.'; size]));
    // Larger than what is looked into.
    let large = select(b"DEC".to_vec()).prop_map(|tag| {
        let text = "pgvalet_2 ".repeat(7000);
        frame(tag, format!("SFATAL\0C57P01\0M{text}\0\0").as_bytes())
    });
    prop_oneof![
        4 => status, 8 => empty, 3 => done, 2 => failed, 2 => reported, 3 => data, 1 => large
    ]
}

fn cuts() -> impl Strategy<Value = Cuts> {
    prop_oneof![
        vec(any::<usize>(), 0..12).prop_map(Cuts::At),
        Just(Cuts::Everywhere)
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn of_what_a_client_says(
        bytes in conversation(), cuts in cuts(), leased in prop::bool::weighted(0.9), failed: bool,
        multiplex in prop::bool::weighted(0.8),
    ) {
        let (mut whole, mut cut) = (Session::with(multiplex), Session::with(multiplex));
        let expected = whole.client_says(&bytes, &Cuts::Nowhere, leased, failed);
        let sent = cut.client_says(&bytes, &cuts, leased, failed);
        prop_assert_eq!(readable(&sent), readable(&expected));
        prop_assert_eq!(cut.seen(), whole.seen());
    }

    #[test]
    fn of_what_a_server_says(
        bytes in conversation(), answers in vec(answer(), 1..16), cuts in cuts(),
    ) {
        let answers = answers.concat();
        let (mut whole, mut cut) = (Session::default(), Session::default());
        for session in [&mut whole, &mut cut] {
            session.client_says(&bytes, &Cuts::Nowhere, true, false);
        }
        let expected = whole.server_says(&answers, &Cuts::Nowhere);
        let sent = cut.server_says(&answers, &cuts);
        prop_assert_eq!(readable(&sent), readable(&expected));
        prop_assert_eq!(cut.seen(), whole.seen());
    }
}

/// Names that are far too long are refused, and it makes no difference how much
/// of them had come.
#[test]
fn of_names_that_are_too_long() {
    for length in (16_370..16_390).chain([10_000, 20_000]) {
        let name = "n".repeat(length);
        for (bytes, refused) in [
            (
                frame(b'P', format!("{name}\0select 1\0\0\0").as_bytes()),
                16_379,
            ),
            (
                frame(b'B', format!("\0{name}\0\0\0\0\0\0\0").as_bytes()),
                16_378,
            ),
            (
                frame(b'B', format!("{name}\0\0\0\0\0\0\0\0").as_bytes()),
                16_378,
            ),
            // Without an end.
            (frame(b'P', name.as_bytes()), 16_379),
            (frame(b'B', name.as_bytes()), 16_379),
        ] {
            let seen = |cuts: &Cuts| {
                let mut session = Session::default();
                session.client_says(&bytes, cuts, true, false);
                session.seen()
            };
            let whole = seen(&Cuts::Nowhere);
            let tag = char::from(bytes[0]);
            assert_eq!(
                whole.iter().any(|seen| seen.starts_with("Refused")),
                length >= refused,
                "{tag} {length}: {whole:?}"
            );
            for cut in [3, 100, length / 2, 16_383, 16_384, 16_385, length + 5] {
                assert_eq!(seen(&Cuts::At(vec![cut])), whole, "{tag} {length}, {cut}");
            }
        }
    }
}
