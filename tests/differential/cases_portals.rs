//! Execute, row limits, portals by name.

use super::dsl::*;

const SERIES: &str = "select generate_series(1, 5)";

pub fn cases() -> Vec<Case> {
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
