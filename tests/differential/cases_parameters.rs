//! Contents of Parse and Bind.

use super::dsl::*;

pub fn cases() -> Vec<Case> {
    vec![
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
    ]
}
