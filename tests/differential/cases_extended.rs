//! Parse, Bind, Describe, Execute, Close, with names.

use super::dsl::*;

const SERIES: &str = "select generate_series(1, 5)";

pub fn cases() -> Vec<Case> {
    let mut cases = statements();
    cases.extend(portals());
    cases
}

fn statements() -> Vec<Case> {
    vec![
        case(
            "named, one batch",
            [p("a", "select $1::int"), b("", "a", &["1"]), e("", 0), s()],
        ),
        case(
            "named, a batch each",
            [
                p("a", "select $1::int"),
                s(),
                b("", "a", &["1"]),
                s(),
                b("", "a", &["2"]),
                e("", 0),
                s(),
                b("", "a", &["3"]),
                e("", 0),
                s(),
            ],
        ),
        case(
            "many names, one text",
            [
                p("a", "select 1"),
                p("b", "select 1"),
                s(),
                b("", "a", &[]),
                e("", 0),
                b("", "b", &[]),
                e("", 0),
                s(),
                cs("a"),
                s(),
                b("", "b", &[]),
                e("", 0),
                b("", "a", &[]),
                e("", 0),
                s(),
            ],
        ),
        case(
            "describe statement",
            [
                p("a", "select $1::int as x, $2::text as y"),
                ds("a"),
                s(),
                ds("a"),
                s(),
            ],
        ),
        case(
            "describe without rows",
            [
                p("a", "set work_mem = '5MB'"),
                ds("a"),
                b("", "a", &[]),
                dp(""),
                s(),
            ],
        ),
        case(
            "declared types",
            [
                pt("a", "select $1, $2", &[23, 25]),
                ds("a"),
                b("", "a", &["1", "x"]),
                dp(""),
                e("", 0),
                s(),
            ],
        ),
        case(
            "type of oid zero",
            [pt("a", "select $1 + 1", &[0]), ds("a"), s()],
        ),
        case(
            "unknown type",
            [pt("a", "select $1", &[4_000_000_000]), s(), ds("a"), s()],
        ),
        case("undetermined type", [p("a", "select $2::int"), s()]),
        case(
            "name taken",
            [
                p("a", "select 1"),
                s(),
                p("a", "select 2"),
                s(),
                b("", "a", &[]),
                e("", 0),
                s(),
            ],
        ),
        case(
            "name taken, same text",
            [p("a", "select 1"), s(), p("a", "select 1"), s()],
        ),
        case(
            "name taken, one batch",
            [
                p("a", "select 1"),
                p("a", "select 2"),
                b("", "a", &[]),
                e("", 0),
                s(),
                b("", "a", &[]),
                e("", 0),
                s(),
            ],
        ),
        case(
            "name taken, text wrong",
            [
                p("a", "select 1"),
                s(),
                p("a", "selekt"),
                s(),
                b("", "a", &[]),
                e("", 0),
                s(),
            ],
        ),
        case(
            "name taken in a transaction",
            [
                q("begin"),
                p("a", "select 1"),
                p("a", "select 1"),
                s(),
                q("rollback"),
                b("", "a", &[]),
                e("", 0),
                s(),
            ],
        ),
        case(
            "name free after close",
            [
                p("a", "select 1"),
                s(),
                cs("a"),
                p("a", "select 2"),
                b("", "a", &[]),
                e("", 0),
                s(),
            ],
        ),
        case(
            "name free after failed parse",
            [
                p("a", "selekt"),
                s(),
                p("a", "select 2"),
                b("", "a", &[]),
                e("", 0),
                s(),
            ],
        ),
        case(
            "close and error",
            [
                p("a", "select 1"),
                s(),
                cs("a"),
                b("", "none", &[]),
                s(),
                b("", "a", &[]),
                e("", 0),
                s(),
            ],
        ),
        case(
            "error and close",
            [
                p("a", "select 1"),
                s(),
                b("", "none", &[]),
                cs("a"),
                s(),
                b("", "a", &[]),
                e("", 0),
                s(),
            ],
        ),
        case(
            "error and parse",
            [
                b("", "none", &[]),
                p("a", "select 1"),
                s(),
                b("", "a", &[]),
                s(),
            ],
        ),
        case(
            "close, parse anew, error, all in one",
            [
                p("a", "select 1"),
                s(),
                cs("a"),
                p("a", "select 2"),
                b("", "none", &[]),
                s(),
                b("", "a", &[]),
                e("", 0),
                s(),
            ],
        ),
        case(
            "close of unknown",
            [cs("none"), cp("none"), s(), cs(""), cp(""), s()],
        ),
        case(
            "bind of unknown",
            [b("", "none", &[]), e("", 0), s(), q("select 1")],
        ),
        case(
            "describe of unknown",
            [ds("none"), s(), dp("none"), s(), dp(""), s()],
        ),
        case("execute of unknown", [e("none", 0), s(), e("", 0), s()]),
        case(
            "parse error",
            [
                p("", "selekt"),
                b("", "", &[]),
                e("", 0),
                s(),
                q("select 1"),
            ],
        ),
        case("two commands", [p("a", "select 1; select 2"), s()]),
        case(
            "empty statement",
            [p("a", ""), b("", "a", &[]), dp(""), e("", 0), s()],
        ),
        case(
            "too few parameters",
            [
                p("a", "select $1::int, $2::int"),
                b("", "a", &["1"]),
                s(),
                b("", "a", &["1", "2"]),
                e("", 0),
                s(),
            ],
        ),
        case(
            "bad parameter",
            [
                p("a", "select $1::int"),
                b("", "a", &["x"]),
                s(),
                b("", "a", &["2"]),
                e("", 0),
                s(),
            ],
        ),
        case(
            "null parameter",
            [
                p("a", "select $1::int is null"),
                bf("", "a", &[], &[None], &[]),
                e("", 0),
                s(),
            ],
        ),
        case(
            "binary parameter",
            [
                p("a", "select $1::int"),
                bf("", "a", &[1], &[Some(&[0, 0, 0, 9])], &[1]),
                dp(""),
                e("", 0),
                s(),
            ],
        ),
        case(
            "bad binary parameter",
            [
                p("a", "select $1::int"),
                bf("", "a", &[1], &[Some(&[9])], &[]),
                s(),
            ],
        ),
        case(
            "mixed formats",
            [
                p("a", "select $1::int, $2::text, 1.5::float8"),
                bf(
                    "",
                    "a",
                    &[1, 0],
                    &[Some(&[0, 0, 0, 9]), Some(b"x")],
                    &[0, 1, 1],
                ),
                dp(""),
                e("", 0),
                s(),
            ],
        ),
        case(
            "too many formats",
            [
                p("a", "select 1"),
                bf("", "a", &[], &[], &[0, 1, 0]),
                s(),
                bf("", "a", &[0, 0], &[Some(b"1")], &[]),
                s(),
            ],
        ),
        case(
            "invalid format",
            [
                p("a", "select 1"),
                bf("", "a", &[], &[], &[7]),
                e("", 0),
                s(),
            ],
        ),
        case(
            "large parameter",
            [
                p("a", "select length($1::text), md5($1::text)"),
                b("", "a", &[&"z".repeat(300_000)]),
                e("", 0),
                s(),
            ],
        ),
        case(
            "large statement",
            [
                p("a", &format!("select 1 /* {} */", "c".repeat(100_000))),
                b("", "a", &[]),
                e("", 0),
                s(),
                b("", "a", &[]),
                e("", 0),
                s(),
            ],
        ),
        case(
            "long name",
            [
                p(&"n".repeat(3000), "select 1"),
                s(),
                b("", &"n".repeat(3000), &[]),
                e("", 0),
                s(),
                b("", &"n".repeat(2999), &[]),
                s(),
            ],
        ),
        case(
            "name with blanks and quotes",
            [
                p("a \"b' é", "select 1"),
                s(),
                p("a \"b' é", "select 1"),
                s(),
                b("", "a \"b' é", &[]),
                e("", 0),
                s(),
                b("", "a \"b'", &[]),
                s(),
            ],
        ),
        case(
            "three hundred statements",
            (0..300)
                .map(|i| p(&format!("s{i}"), &format!("select {i}")))
                .chain([s()])
                .chain((0..300).flat_map(|i| [b("", &format!("s{i}"), &[]), e("", 0)]))
                .chain([s()])
                .collect::<Vec<_>>(),
        ),
        case(
            "plan outdated",
            [
                q("create table x_plan (a int)"),
                p("a", "select * from x_plan"),
                b("", "a", &[]),
                e("", 0),
                s(),
                q("alter table x_plan add b int"),
                b("", "a", &[]),
                e("", 0),
                s(),
                cs("a"),
                p("a", "select * from x_plan"),
                b("", "a", &[]),
                dp(""),
                e("", 0),
                s(),
            ],
        ),
        case(
            "statement of a dropped table",
            [
                q("create table x_drop (a int)"),
                p("a", "select * from x_drop"),
                s(),
                q("drop table x_drop"),
                b("", "a", &[]),
                e("", 0),
                s(),
                ds("a"),
                s(),
            ],
        ),
        case(
            "parse in a failed transaction",
            [
                q("begin"),
                q("select 1/0"),
                p("a", "select 1"),
                s(),
                p("", "select 1"),
                s(),
                p("a", "rollback"),
                b("", "a", &[]),
                e("", 0),
                s(),
                b("", "a", &[]),
                e("", 0),
                s(),
            ],
        ),
        case(
            "known text in a failed transaction",
            [
                p("a", "select 1"),
                s(),
                q("begin"),
                q("select 1/0"),
                p("b", "select 1"),
                s(),
                b("", "a", &[]),
                s(),
                ds("a"),
                s(),
                cs("a"),
                s(),
                q("rollback"),
                b("", "a", &[]),
                s(),
                b("", "b", &[]),
                s(),
            ],
        ),
        case(
            "rollback by execute",
            [
                p("r", "rollback"),
                s(),
                q("begin"),
                q("select 1/0"),
                b("", "r", &[]),
                e("", 0),
                s(),
                q("select 1"),
            ],
        ),
        case(
            "statement made in a transaction rolled back",
            [
                q("begin"),
                p("a", "select 7"),
                s(),
                q("rollback"),
                b("", "a", &[]),
                e("", 0),
                s(),
            ],
        ),
    ]
}

fn portals() -> Vec<Case> {
    vec![
        case(
            "row limit",
            [
                p("", SERIES),
                b("", "", &[]),
                e("", 2),
                e("", 2),
                e("", 2),
                s(),
            ],
        ),
        case(
            "row limit met exactly",
            [p("", SERIES), b("", "", &[]), e("", 5), e("", 1), s()],
        ),
        case(
            "row limit and Sync",
            [
                p("", SERIES),
                b("c", "", &[]),
                e("c", 2),
                s(),
                e("c", 2),
                s(),
            ],
        ),
        case(
            "row limit in a transaction",
            [
                q("begin"),
                p("", SERIES),
                b("c", "", &[]),
                e("c", 2),
                s(),
                e("c", 2),
                s(),
                e("c", 0),
                s(),
                e("c", 0),
                s(),
                q("commit"),
                e("c", 0),
                s(),
            ],
        ),
        case(
            "two portals",
            [
                q("begin"),
                p("a", SERIES),
                b("x", "a", &[]),
                b("y", "a", &[]),
                e("x", 1),
                e("y", 2),
                e("x", 1),
                s(),
                e("y", 0),
                e("x", 0),
                s(),
                q("rollback"),
            ],
        ),
        case(
            "portal taken",
            [
                p("a", "select 1"),
                b("x", "a", &[]),
                b("x", "a", &[]),
                s(),
                b("", "a", &[]),
                b("", "a", &[]),
                e("", 0),
                s(),
            ],
        ),
        case(
            "portal closed",
            [
                p("a", "select 1"),
                b("x", "a", &[]),
                cp("x"),
                e("x", 0),
                s(),
            ],
        ),
        case(
            "portal of a closed statement",
            [
                p("a", "select 1"),
                b("x", "a", &[]),
                cs("a"),
                dp("x"),
                e("x", 0),
                s(),
            ],
        ),
        case(
            "portal run twice",
            [
                p("a", "select 1"),
                b("x", "a", &[]),
                e("x", 0),
                e("x", 0),
                s(),
            ],
        ),
        case(
            "update run twice",
            [
                q("create table x_twice (a int)"),
                p("a", "insert into x_twice values (1)"),
                b("x", "a", &[]),
                e("x", 0),
                e("x", 0),
                s(),
                q("select * from x_twice"),
            ],
        ),
        case(
            "portal gone after Sync",
            [
                p("a", "select 1"),
                b("x", "a", &[]),
                s(),
                e("x", 0),
                s(),
                dp("x"),
                s(),
            ],
        ),
        case(
            "portal gone after Query",
            [
                p("a", "select 1"),
                b("", "a", &[]),
                q("select 2"),
                e("", 0),
                s(),
            ],
        )
        .at_once(),
        case(
            "portal and sql cursor",
            [
                q("begin"),
                p("", SERIES),
                b("c", "", &[]),
                s(),
                q("fetch 2 from c"),
                e("c", 1),
                s(),
                q("declare d cursor for select 4"),
                e("d", 0),
                s(),
                q("commit"),
            ],
        ),
        case(
            "returning with a limit",
            [
                q("create table x_limit (a int)"),
                p(
                    "",
                    "insert into x_limit select generate_series(1, 4) returning a",
                ),
                b("", "", &[]),
                e("", 2),
                e("", 0),
                s(),
                q("select count(*) from x_limit"),
            ],
        ),
        case(
            "negative row limit",
            [p("", SERIES), b("", "", &[]), e("", u32::MAX), s()],
        ),
        case(
            "many rows, extended",
            [
                p(
                    "",
                    "select i, repeat('x', 40) from generate_series(1, 3000) i",
                ),
                b("", "", &[]),
                e("", 0),
                s(),
            ],
        ),
        case(
            "error among rows",
            [
                p("", "select 1 / (3 - i) from generate_series(1, 5) i"),
                b("", "", &[]),
                e("", 0),
                s(),
                q("select 1"),
            ],
        ),
    ]
}
