//! Prepared statements: any interleaving of clients over shared connections.

use proptest::prelude::*;
use proptest::sample::select;

use super::messages::Say;
use super::world::World;

const CLIENTS: usize = 3;

#[derive(Debug, Clone)]
enum Op {
    Say(usize, Vec<Say>),
    Hear(usize, usize),
    Answer(usize, usize),
    Settle,
}

fn text() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        12 => select(vec!["SELECT 1", "SELECT 2", "SELECT 3", "SELECT 4", "SELECT 5"]),
        1 => Just("SYNTAX"),
        1 => Just("FAIL"),
        1 => Just("COPY"),
        1 => Just("COPY REFUSED"),
        1 => select(DEALLOCATE.to_vec()),
        2 => select(vec!["SHOW zone", "SET zone a", "SET zone b"]),
    ]
}

const DEALLOCATE: [&str; 4] = [
    "DEALLOCATE a",
    "DEALLOCATE b",
    "DEALLOCATE r",
    "DEALLOCATE none",
];

/// `r` is always ROLLBACK, and nothing else is; `z` is RESET ALL.
fn name() -> impl Strategy<Value = &'static str> {
    select(vec!["", "", "a", "a", "b", "c", "r", "z"])
}

const RESET: [&str; 3] = ["RESET zone", "RESET ALL", "SET zone TO DEFAULT"];

fn say() -> impl Strategy<Value = Say> {
    let portal = || select(vec!["", "", "", "p"]);
    prop_oneof![
        6 => (name(), text()).prop_map(|(name, sql)| match name {
            "r" => Say::Parse(name, "ROLLBACK"),
            "z" => Say::Parse(name, "RESET ALL"),
            _ => Say::Parse(name, sql),
        }),
        1 => Just(Say::Parse("", "BEGIN")),
        8 => (portal(), name(), 0..40usize).prop_map(|(p, n, size)| Say::Bind(p, n, size)),
        3 => name().prop_map(Say::Describe),
        1 => portal().prop_map(Say::DescribePortal),
        6 => portal().prop_map(Say::Execute),
        2 => name().prop_map(Say::Close),
        1 => portal().prop_map(Say::ClosePortal),
        6 => Just(Say::Sync),
        1 => select(vec![Say::Flush, Say::CopyFail]),
        2 => select(vec![Say::CopyDone, Say::CopyData(5), Say::CopyData(30)]),
        2 => text().prop_map(Say::Query),
        3 => select(vec!["BEGIN", "ROLLBACK", "COMMIT", "DEALLOCATE ALL"]).prop_map(Say::Query),
        1 => select(RESET.to_vec()).prop_map(Say::Query),
        1 => Just(Say::Query("SHOW zone")),
        1 => select(DEALLOCATE.to_vec()).prop_map(Say::Query),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let who = || 0..CLIENTS;
    let size = || prop_oneof![1..12usize, 12..200usize, Just(usize::MAX)];
    prop_oneof![
        4 => (who(), proptest::collection::vec(say(), 1..6)).prop_map(|(w, s)| Op::Say(w, s)),
        1 => (who(), text()).prop_map(|(w, sql)| {
            Op::Say(w, vec![Say::Parse("", sql), Say::Describe(""), Say::Sync])
        }),
        1 => (who(), select([&DEALLOCATE[..], &RESET].concat())).prop_map(|(w, sql)| {
            let bound = Say::Bind("", "", 0);
            Op::Say(w, vec![Say::Parse("", sql), bound, Say::Execute(""), Say::Sync])
        }),
        2 => (who(), name()).prop_map(|(w, name)| {
            Op::Say(w, vec![Say::Bind("", name, 3), Say::Execute(""), Say::Sync])
        }),
        5 => (who(), size()).prop_map(|(w, n)| Op::Hear(w, n)),
        5 => (who(), size()).prop_map(|(w, n)| Op::Answer(w, n)),
        1 => Just(Op::Settle),
    ]
}

fn run(servers: usize, ops: &[Op]) {
    let mut world = World::new(CLIENTS, servers, 3);
    for op in ops {
        match op {
            Op::Say(who, messages) => messages.iter().for_each(|m| world.say(*who, m)),
            Op::Hear(who, n) => world.hear(*who, *n),
            Op::Answer(who, n) => world.answer(*who, *n),
            Op::Settle => world.settle(),
        }
    }
    world.finish();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_client_sees_what_a_postgres_of_its_own_would_say(
        servers in 1..3usize,
        ops in proptest::collection::vec(op(), 1..60),
    ) {
        run(servers, &ops);
    }
}

/// What sets, resets, fails and ends a transaction, and nothing else.
fn setting() -> impl Strategy<Value = Op> {
    let size = || prop_oneof![1..12usize, 12..200usize, Just(usize::MAX)];
    let say = || {
        prop_oneof![
            4 => select(vec!["BEGIN", "ROLLBACK", "COMMIT", "FAIL"]).prop_map(Say::Query),
            4 => select(vec!["SET zone a", "SET zone b", "SHOW zone"]).prop_map(Say::Query),
            3 => select(RESET.to_vec()).prop_map(Say::Query),
            2 => Just(Say::Bind("", "", 0)),
            2 => Just(Say::Sync),
        ]
    };
    prop_oneof![
        4 => proptest::collection::vec(say(), 1..4).prop_map(|s| Op::Say(0, s)),
        3 => size().prop_map(|n| Op::Hear(0, n)),
        3 => size().prop_map(|n| Op::Answer(0, n)),
        1 => Just(Op::Settle),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2048) })]

    #[test]
    fn settings_are_told_as_a_postgres_of_its_own_would_tell_them(
        ops in proptest::collection::vec(setting(), 1..20),
    ) {
        run(1, &ops);
    }
}

/// Found by the tests above, each once; kept because they are short.
#[test]
fn what_went_wrong_before() {
    use Op::{Answer, Hear, Say as S, Settle};
    use Say::{Bind, Describe, Execute, Parse, Query, Sync};
    let all = usize::MAX;
    let one = "SELECT 1";
    let cases: [(&str, usize, Vec<Op>); 8] = [
        (
            "a simple query in a failed batch does not end it",
            1,
            vec![S(0, vec![Bind("", "", 0), Query(one)]), Settle],
        ),
        (
            "the unnamed statement of another client is not bound",
            1,
            vec![
                S(0, vec![Parse("", one), Sync]),
                Settle,
                S(1, vec![Bind("", "", 0), Execute(""), Sync]),
            ],
        ),
        (
            "nor is an earlier one of the same client",
            2,
            vec![
                S(1, vec![Parse("", one), Sync]),
                Settle,
                S(1, vec![Parse("", "SELECT 2"), Sync]),
                Settle,
                S(1, vec![Bind("", "", 0), Execute(""), Sync]),
            ],
        ),
        (
            "a name is not taken before the Parse that takes it has succeeded",
            1,
            vec![S(
                1,
                vec![
                    Bind("", "", 0),
                    Parse("a", one),
                    Sync,
                    Parse("a", "SELECT 2"),
                    Sync,
                ],
            )],
        ),
        (
            "a statement whose eviction was passed over is still there",
            1,
            vec![
                S(
                    1,
                    vec![
                        Parse("a", one),
                        Parse("b", "SELECT 2"),
                        Parse("c", "SELECT 3"),
                        Sync,
                    ],
                ),
                Settle,
                S(1, vec![Execute(""), Parse("r", "ROLLBACK"), Sync]),
                Settle,
                S(
                    1,
                    vec![
                        Bind("", "a", 0),
                        Sync,
                        Bind("", "b", 0),
                        Sync,
                        Bind("", "c", 0),
                        Sync,
                    ],
                ),
            ],
        ),
        (
            "a setting brought up to date drops the unnamed statement",
            1,
            vec![
                S(2, vec![Parse("", one), Sync]),
                Settle,
                S(1, vec![Parse("a", one), Sync]),
                Settle,
                S(2, vec![Describe(""), Sync]),
            ],
        ),
        (
            "what was deallocated is not evicted as well",
            1,
            vec![S(
                0,
                vec![
                    Parse("b", "DEALLOCATE b"),
                    Parse("z", "RESET ALL"),
                    Bind("", "b", 0),
                    Execute(""),
                    Parse("a", "SYNTAX"),
                    Parse("a", one),
                    Sync,
                ],
            )],
        ),
        (
            "what others have parsed fails all the same in a failed transaction",
            2,
            vec![
                S(1, vec![Parse("a", one), Sync]),
                Settle,
                S(0, vec![Query("BEGIN")]),
                Settle,
                S(0, vec![Query("FAIL"), Parse("a", one), Sync]),
                Hear(0, all),
                Answer(0, all),
            ],
        ),
    ];
    for (what, servers, ops) in cases {
        println!("{what}");
        run(servers, &ops);
    }
}

#[test]
fn copies_that_fail_leave_nothing_behind() {
    use Op::{Say as S, Settle};
    use Say::{Bind, CopyData, CopyDone, Execute, Parse, Query, Sync};
    let begin = |sql| vec![Parse("", sql), Bind("", "", 0), Execute(""), Sync];
    let data = |size| vec![CopyData(size), CopyDone, Sync];
    let after = |who| S(who, vec![Query("SELECT 1")]);
    for ops in [
        // The server ignores the first Sync, in the other case it does not.
        vec![
            S(1, begin("COPY")),
            Settle,
            S(1, data(30)),
            after(1),
            Settle,
            after(0),
        ],
        vec![
            S(1, begin("COPY REFUSED")),
            S(1, data(5)),
            after(1),
            Settle,
            after(0),
        ],
        // What follows the data comes late, or the data do.
        vec![
            S(1, begin("COPY")),
            Settle,
            S(1, vec![CopyDone]),
            Settle,
            after(0),
        ],
        vec![
            S(1, vec![Query("BEGIN")]),
            Settle,
            S(1, data(5)),
            Settle,
            S(1, begin("SELECT 2")),
        ],
    ] {
        run(1, &ops);
    }
}
