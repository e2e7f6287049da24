//! It makes no difference in which pieces bytes arrive.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::messages::{Say, drain, frame, readable};
use crate::pool::{Prepared, Statements};
use crate::session::backend::{self, Backend};
use crate::session::frontend::{self, Frontend, Verdict};
use crate::session::replies::Replies;

struct Session {
    statements: Statements,
    prepared: Prepared,
    front: Frontend,
    back: Backend,
    replies: Replies,
    reported: BTreeMap<Box<str>, Box<str>>,
    /// What is to be seen from outside.
    seen: Vec<String>,
}

impl Default for Session {
    fn default() -> Self {
        Self {
            // Two of them are compared.
            statements: Statements::named("test"),
            prepared: Prepared::default(),
            front: Frontend::default(),
            back: Backend::default(),
            replies: Replies::default(),
            reported: BTreeMap::new(),
            seen: Vec::new(),
        }
    }
}

#[derive(Debug, Clone)]
enum Cuts {
    Nowhere,
    Everywhere,
    At(Vec<usize>),
}

/// Cuts `bytes` at the given places and offers them as a relay does: what was
/// not dealt with comes again, with the next piece behind it.
fn pieces(bytes: &[u8], cuts: &Cuts, mut offer: impl FnMut(&[u8]) -> usize) -> usize {
    let mut cuts: Vec<usize> = match cuts {
        Cuts::Nowhere => Vec::new(),
        Cuts::Everywhere => (0..bytes.len().min(5000)).collect(),
        Cuts::At(places) => places.iter().map(|at| at % (bytes.len() + 1)).collect(),
    };
    cuts.push(bytes.len());
    cuts.sort_unstable();
    let mut waiting = Vec::new();
    let mut from = 0;
    for cut in cuts {
        waiting.extend_from_slice(&bytes[from..cut]);
        from = cut;
        let consumed = offer(&waiting);
        waiting.drain(..consumed);
    }
    waiting.len()
}

impl Session {
    fn client_says(&mut self, bytes: &[u8], cuts: &Cuts, leased: bool, failed: bool) -> Vec<u8> {
        let mut sent = Vec::new();
        let mut verdict = "";
        let rest = pieces(bytes, cuts, |input| {
            let mut out = Vec::new();
            let server = frontend::Server {
                session: 7,
                statements: &self.statements,
                prepared: leased.then_some(&mut self.prepared),
                status: if failed { b'E' } else { b'I' },
                multiplex: true,
            };
            let progress = self.front.scan(input, &mut out, &mut self.replies, server);
            sent.extend(out);
            sent.extend(&input[progress.run..progress.consumed]);
            verdict = match progress.verdict {
                Verdict::More => "more",
                Verdict::NeedServer => "server",
                Verdict::NeedAnswers => "answers",
                Verdict::Terminate => "terminate",
                Verdict::Violation(_) => "violation",
            };
            progress.consumed
        });
        self.seen.push(format!("{verdict}, {rest} left"));
        sent
    }

    fn server_says(&mut self, bytes: &[u8], cuts: &Cuts) -> Vec<u8> {
        let mut sent = Vec::new();
        let mut findings = backend::Findings::default();
        let rest = pieces(bytes, cuts, |input| {
            if findings.broken {
                return 0; // the session ends
            }
            let server = backend::Server {
                statements: &self.statements,
                prepared: &mut self.prepared,
                reported: &mut self.reported,
                one_statement: false,
            };
            let mut out = Vec::new();
            let (replies, front) = (&mut self.replies, &mut self.front);
            let progress = self.back.scan(input, &mut out, replies, front, server);
            sent.extend(out);
            sent.extend(&input[progress.run..progress.consumed]);
            self.back.answer_known(&mut self.replies, &mut sent);
            if let Some(found) = progress.findings {
                findings.reported.extend(found.reported);
                findings.ask |= found.ask;
                findings.discarded |= found.discarded;
                findings.own_failed = found.own_failed.or(findings.own_failed.take());
                findings.broken |= found.broken;
            }
            progress.consumed
        });
        let seen = [
            format!("{rest} left, {:?}", self.reported),
            format!("{:?} {}", findings.reported, findings.ask),
            format!("{:?} {}", findings.own_failed, findings.discarded),
            format!(
                "{} {} {}",
                findings.broken, self.back.doubtful, self.back.fatal
            ),
            format!("{} {}", self.back.status, self.back.transactions),
            format!(
                "{:?}",
                (1..20)
                    .map(|id| self.prepared.touch(id))
                    .collect::<Vec<_>>()
            ),
        ];
        self.seen.extend(seen);
        sent
    }

    fn seen(mut self) -> Vec<String> {
        let batch = self.front.batch_open;
        self.seen.push(format!("batch open: {batch}"));
        self.seen.extend(drain(&mut self.replies));
        self.seen
    }
}

fn say() -> impl Strategy<Value = Say> {
    let name = || select(vec!["", "", "a", "b", "a longer name"]);
    let size = || prop_oneof![6 => 0..30usize, 1 => 500..3000usize];
    let text = || select(vec!["SELECT 1", "SELECT 2", "BEGIN"]);
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
        "DISCARD ALL",
        "DEALLOCATE ALL",
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
    ) {
        let (mut whole, mut cut) = (Session::default(), Session::default());
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
