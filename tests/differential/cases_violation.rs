//! Messages that no client should send.

use super::dsl::*;

fn unknown(name: &'static str, tag: u8) -> Case {
    case(name, [q("select 1"), message(tag, b""), q("select 2")]).at_once()
}

pub fn cases() -> Vec<Case> {
    let good = [p("", "select 1"), b("", "", &[]), e("", 0)].concat();
    vec![
        unknown("unknown message type", b'?'),
        unknown("message type zero", 0),
        unknown("a server's message type", b'Z'),
        unknown("password out of place", b'p'),
        case("unknown message first", [message(b'!', b"x")]).at_once(),
        case(
            "unknown message in a transaction",
            [q("begin"), message(b'!', b"x")],
        )
        .at_once(),
        case(
            "unknown message in a batch",
            [good.clone(), message(b'!', b"x"), s()],
        )
        .at_once(),
        case(
            "unknown message while passing over",
            [b("", "none", &[]), message(b'!', b"x"), s()],
        )
        .at_once(),
        case(
            "unknown message in copy data",
            [
                q("create table v_copy (a int)"),
                q("copy v_copy from stdin"),
                message(b'!', b"x"),
            ],
        )
        .at_once(),
        case("terminate", [q("select 1"), x(), q("select 2")]).at_once(),
        case("terminate at once", [x()]).at_once(),
        case("terminate in a batch", [good.clone(), x()]).at_once(),
        case(
            "terminate in a transaction",
            [q("begin"), q("select 1"), x()],
        )
        .at_once(),
        case("terminate after an error", [b("", "none", &[]), x(), s()]).at_once(),
        case(
            "terminate in copy data",
            [
                q("create table v_copy2 (a int)"),
                q("copy v_copy2 from stdin"),
                x(),
            ],
        )
        .at_once(),
        case("length zero", [q("select 1"), raw(b"Q\0\0\0\0")]).at_once(),
        case("length three", [raw(b"Q\0\0\0\x03")]).at_once(),
        case("length negative", [raw(b"Q\xff\xff\xff\xff")]).at_once(),
        case("length huge", [raw(b"Q\x7f\xff\xff\xff")]).at_once(),
        case("length too large for a Sync", [raw(b"S\x00\x10\x00\x00")]).at_once(),
        case(
            "length negative in a transaction",
            [q("begin"), raw(b"B\x80\0\0\0")],
        )
        .at_once(),
        case(
            "Query without its end",
            [message(b'Q', b"select 1"), q("select 2")],
        ),
        case("Query without a body", [message(b'Q', b""), q("select 2")]),
        case(
            "Query with a tail",
            [message(b'Q', b"select 1\0select 2\0"), q("select 2")],
        ),
        case(
            "Parse without a body",
            [message(b'P', b""), s(), q("select 1")],
        ),
        case(
            "Parse cut off",
            [
                message(b'P', b"a\0select 1\0"),
                s(),
                message(b'P', b"a\0select 1\0\0\x01\0"),
                s(),
                message(b'P', b"a"),
                s(),
            ],
        ),
        case(
            "Parse cut off, unnamed",
            [
                message(b'P', b"\0select 1\0"),
                s(),
                message(b'P', b"\0select 1"),
                s(),
                b("", "", &[]),
                s(),
            ],
        ),
        case(
            "Parse with a tail",
            [
                message(b'P', b"a\0select 1\0\0\0more"),
                s(),
                b("", "a", &[]),
                s(),
            ],
        ),
        case(
            "Parse with types missing",
            [message(b'P', b"a\0select $1\0\0\x02\0\0\0\x17"), s()],
        ),
        case(
            "Bind without a body",
            [message(b'B', b""), s(), q("select 1")],
        ),
        case(
            "Bind cut off",
            [
                p("a", "select $1::int"),
                message(b'B', b"\0a\0"),
                s(),
                message(b'B', b"\0a"),
                s(),
                message(b'B', b"\0a\0\0\0\0\x01\0\0\0\x09"),
                s(),
            ],
        ),
        case(
            "Bind with a tail",
            [
                p("a", "select 1"),
                message(b'B', b"\0a\0\0\0\0\0\0\0more"),
                s(),
            ],
        ),
        case(
            "Describe of nothing",
            [
                message(b'D', b""),
                s(),
                message(b'D', b"S"),
                s(),
                message(b'D', b"X\0"),
                s(),
            ],
        ),
        case(
            "Describe with a tail",
            [p("a", "select 1"), message(b'D', b"Sa\0more"), s()],
        ),
        case(
            "Close of nothing",
            [
                message(b'C', b""),
                s(),
                message(b'C', b"S"),
                s(),
                message(b'C', b"X\0"),
                s(),
            ],
        ),
        case(
            "Close with a tail",
            [
                p("a", "select 1"),
                message(b'C', b"Sa\0more"),
                s(),
                b("", "a", &[]),
                e("", 0),
                s(),
            ],
        ),
        case(
            "Execute without a body",
            [message(b'E', b""), s(), message(b'E', b"\0\0"), s()],
        ),
        case("Sync with a body", [message(b'S', b"body"), q("select 1")]).at_once(),
        case(
            "Flush with a body",
            [message(b'H', b"body"), s(), q("select 1")],
        ),
        case(
            "function call without a body",
            [message(b'F', b""), q("select 1")],
        ),
        case(
            "function call, bad format",
            [f(177, 9, &[Some(b"1"), Some(b"1")]), q("select 1")],
        ),
        case(
            "CopyFail without its end",
            [
                q("create table v_cf (a int)"),
                q("copy v_cf from stdin"),
                message(b'f', b"reason"),
                q("select 1"),
            ],
        ),
        case(
            "CopyDone with a body",
            [
                q("create table v_cd (a int)"),
                q("copy v_cd from stdin"),
                message(b'c', b"body"),
                q("select 1"),
            ],
        )
        .at_once(),
    ]
}
