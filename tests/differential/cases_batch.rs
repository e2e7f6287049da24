//! Pipelines: several batches, errors in their middle, Flush, Sync left out.

use super::dsl::*;

fn one(sql: &str) -> [Message; 3] {
    [p("", sql), b("", "", &[]), e("", 0)]
}

fn all(parts: &[&[Message]]) -> Vec<Message> {
    parts.concat()
}

pub fn cases() -> Vec<Case> {
    let sync = [s()];
    let (good, bad) = (one("select 1"), one("select 1/0"));
    vec![
        case(
            "several syncs",
            all(&[&good, &sync, &good, &sync, &good, &sync]),
        ),
        case("one sync for many", all(&[&good, &good, &good, &sync])),
        case("bad, then good", all(&[&bad, &sync, &good, &sync])),
        case(
            "good, bad, good in one batch",
            all(&[&good, &bad, &good, &sync, &good, &sync]),
        ),
        case(
            "bad batches in a row",
            all(&[&bad, &sync, &bad, &sync, &bad, &bad, &sync]),
        ),
        case(
            "Query without Sync before it",
            all(&[&good, &[q("select 2")], &good, &sync]),
        )
        .at_once(),
        case(
            "Query passed over",
            all(&[
                &bad,
                &[q("select 2"), q("select 3")],
                &sync,
                &[q("select 4")],
            ]),
        )
        .at_once(),
        case(
            "function call passed over",
            all(&[&bad, &[f(177, 0, &[Some(b"1"), Some(b"1")])], &sync]),
        )
        .at_once(),
        case("Flush", all(&[&good, &[h()], &good, &[h(), h()], &sync])),
        case("Flush alone", [h(), h(), s()]),
        case(
            "Flush after an error",
            all(&[&bad, &[h()], &good, &[h()], &sync]),
        ),
        case(
            "Flush after each message",
            [
                p("a", "select 1"),
                h(),
                b("", "a", &[]),
                h(),
                dp(""),
                h(),
                e("", 0),
                h(),
                cs("a"),
                h(),
                s(),
            ],
        ),
        case("no Sync at the end", all(&[&good])),
        case("error and no Sync at the end", all(&[&bad, &good])),
        case(
            "batch rolled back as one",
            all(&[
                &[q("create table b_one (a int)")],
                &one("insert into b_one values (1)"),
                &bad,
                &sync,
                &[q("select * from b_one")],
            ]),
        ),
        case(
            "batch committed at Sync",
            all(&[
                &[q("create table b_two (a int)")],
                &one("insert into b_two values (1)"),
                &sync,
                &bad,
                &sync,
                &[q("select * from b_two")],
            ]),
        ),
        case(
            "begin and commit in one batch",
            all(&[&one("begin"), &good, &one("commit"), &sync]),
        ),
        case(
            "begin in one batch, commit in another",
            all(&[&one("begin"), &sync, &good, &sync, &one("commit"), &sync]),
        ),
        case(
            "begin, error, commit",
            all(&[
                &one("begin"),
                &sync,
                &bad,
                &sync,
                &good,
                &sync,
                &one("commit"),
                &sync,
                &good,
                &sync,
            ]),
        ),
        case(
            "begin and error in one batch",
            all(&[
                &one("begin"),
                &bad,
                &one("commit"),
                &sync,
                &good,
                &sync,
                &one("rollback"),
                &sync,
            ]),
        ),
        case(
            "commit and error in one batch",
            all(&[
                &one("begin"),
                &sync,
                &one("commit"),
                &bad,
                &sync,
                &good,
                &sync,
            ]),
        ),
        case(
            "simple and extended mixed",
            all(&[
                &[q("begin")],
                &good,
                &sync,
                &[q("select 2")],
                &bad,
                &sync,
                &[q("rollback")],
                &good,
                &sync,
            ]),
        ),
        case(
            "parse known names while failing",
            all(&[
                &[p("a", "select 1"), s()],
                &bad,
                &[
                    p("b", "select 1"),
                    cs("a"),
                    s(),
                    b("", "a", &[]),
                    e("", 0),
                    b("", "b", &[]),
                    s(),
                ],
            ]),
        ),
        case(
            "parse and close over and over",
            (0..30)
                .flat_map(|i| {
                    [
                        p("a", &format!("select {}", i % 3)),
                        b("", "a", &[]),
                        e("", 0),
                        cs("a"),
                        s(),
                    ]
                })
                .collect::<Vec<_>>(),
        ),
        case(
            "failed parse of a text over and over",
            (0..10)
                .flat_map(|_| [p("a", "select * from none_such"), s()])
                .collect::<Vec<_>>(),
        ),
        case(
            "text that becomes valid",
            [
                p("a", "select * from b_late"),
                s(),
                q("create table b_late (a int)"),
                p("a", "select * from b_late"),
                b("", "a", &[]),
                e("", 0),
                s(),
            ],
        ),
        case(
            "two hundred batches",
            (0..200)
                .flat_map(|i| {
                    [
                        p("", "select $1::int"),
                        b("", "", &[&i.to_string()]),
                        e("", 0),
                        s(),
                    ]
                })
                .collect::<Vec<_>>(),
        ),
        case(
            "two hundred executions of one",
            [p("a", "select $1::int")]
                .into_iter()
                .chain((0..200).flat_map(|i| [b("", "a", &[&i.to_string()]), e("", 0), s()]))
                .collect::<Vec<_>>(),
        ),
        case(
            "error in every third batch",
            [p("a", "select 1/($1::int % 3)")]
                .into_iter()
                .chain((0..60).flat_map(|i| [b("", "a", &[&i.to_string()]), e("", 0), s()]))
                .collect::<Vec<_>>(),
        ),
        case(
            "vacuum in a batch",
            all(&[&good, &one("vacuum"), &sync, &one("vacuum"), &sync]),
        ),
        case(
            "notice in a batch",
            all(&[&one("do $$ begin raise notice 'n'; end $$"), &good, &sync]),
        ),
        case(
            "notice between known answers",
            all(&[
                &[p("a", "select 1"), s(), p("b", "select 1")],
                &one("do $$ begin raise notice 'n'; end $$"),
                &[p("c", "select 1"), cs("b"), s()],
            ]),
        ),
        case(
            "set in a batch",
            all(&[
                &one("set application_name = 'batch'"),
                &one("show application_name"),
                &sync,
                &one("show application_name"),
                &sync,
            ]),
        ),
        case(
            "set in a failed batch",
            all(&[
                &one("set application_name = 'failed'"),
                &bad,
                &sync,
                &one("show application_name"),
                &sync,
            ]),
        ),
    ]
}
