//! The simple query protocol, and function calls.

use super::dsl::*;

pub fn cases() -> Vec<Case> {
    vec![
        case("nothing at all", []),
        case("sync only", [s()]),
        case("many syncs", [s(), s(), s(), s()]),
        case("select", [q("select 1, 'two', null, 3.5::float8")]),
        case("empty query", [q("")]),
        case("only blanks and semicolons", [q("  ;; \n;")]),
        case("only a comment", [q("-- nothing"), q("/* nothing */")]),
        case("several statements", [q("select 1; select 2; select 3")]),
        case(
            "several queries",
            [q("select 1"), q("select 2"), q("select 3")],
        ),
        case("no rows", [q("select 1 where false")]),
        case("no columns", [q("select")]),
        case("syntax error", [q("selekt 1"), q("select 1")]),
        case(
            "error in the middle",
            [q("select 1; select 1/0; select 2"), q("select 3")],
        ),
        case("error position", [q("select nothing_there from pg_class")]),
        case(
            "error with detail and hint",
            [q("select sqrt('x'::text, 1)")],
        ),
        case(
            "a constraint's names",
            [
                q("create table s_unique (a int primary key)"),
                q("insert into s_unique values (1)"),
                q("insert into s_unique values (1)"),
            ],
        ),
        case(
            "a table's oid",
            [
                q("create table s_oid (a int, b text)"),
                q("insert into s_oid values (1, 'x'), (2, null)"),
                q("select * from s_oid order by a"),
                q("select b, a from s_oid order by a"),
            ],
        ),
        case(
            "command tags",
            [
                q("create table s_tags (a int)"),
                q("insert into s_tags select generate_series(1, 7)"),
                q("update s_tags set a = a where a > 2"),
                q("delete from s_tags where a > 5"),
                q("truncate s_tags"),
                q("alter table s_tags add b int"),
                q("drop table s_tags"),
            ],
        ),
        case(
            "returning",
            [
                q("create table s_returning (a serial, b text)"),
                q("insert into s_returning (b) values ('x'), ('y') returning *"),
            ],
        ),
        case("transaction", [q("begin"), q("select 1"), q("commit")]),
        case(
            "transaction in one query",
            [q("begin; select 1; commit; select 2")],
        ),
        case(
            "rollback",
            [
                q("begin"),
                q("create table s_gone (a int)"),
                q("rollback"),
                q("select * from s_gone"),
            ],
        ),
        case(
            "failed transaction",
            [
                q("begin"),
                q("select 1/0"),
                q("select 1"),
                q(""),
                q("commit"),
                q("select 2"),
            ],
        ),
        case(
            "failed transaction, syntax error",
            [q("begin"), q("selekt"), q("selekt"), q("rollback")],
        ),
        case("begin twice", [q("begin"), q("begin"), q("commit")]),
        case("commit without begin", [q("commit"), q("rollback")]),
        case(
            "begin in the middle",
            [
                q("select 1; begin; select 2"),
                q("select 1/0; commit"),
                q("rollback"),
            ],
        ),
        case(
            "commit and chain",
            [
                q("begin"),
                q("select 1"),
                q("commit and chain"),
                q("select 2"),
                q("rollback"),
            ],
        ),
        case(
            "savepoints",
            [
                q("begin"),
                q("savepoint a"),
                q("select 1/0"),
                q("rollback to a"),
                q("select 1"),
                q("release a"),
                q("release a"),
                q("rollback"),
            ],
        ),
        case(
            "read only transaction",
            [
                q("begin read only"),
                q("create table s_ro (a int)"),
                q("rollback"),
            ],
        ),
        case(
            "deferred constraint fails at commit",
            [
                q("create table s_deferred (a int unique deferrable initially deferred)"),
                q("begin"),
                q("insert into s_deferred values (1), (1)"),
                q("commit"),
                q("select 1"),
            ],
        ),
        case("left in a transaction", [q("begin"), q("select 1")]),
        case(
            "left in a failed transaction",
            [q("begin"), q("select 1/0")],
        ),
        case(
            "notice",
            [q("do $$ begin raise notice 'a % notice', 1; end $$")],
        ),
        case(
            "notices of every level",
            [
                q("set client_min_messages = debug1"),
                q(
                    "do $$ begin raise debug 'd'; raise log 'l'; raise info 'i'; raise notice 'n'; raise warning 'w'; end $$",
                ),
            ],
        ),
        case(
            "exception with fields",
            [q(
                "do $$ begin raise exception 'm' using errcode = 'P1234', detail = 'd', hint = 'h', table = 't', column = 'c', schema = 's', constraint = 'x', datatype = 'y'; end $$",
            )],
        ),
        case(
            "notice and error",
            [
                q("do $$ begin raise notice 'first'; raise 'then'; end $$"),
                q("select 1"),
            ],
        ),
        case(
            "many rows",
            [q(
                "select i, repeat('x', 50) from generate_series(1, 5000) i",
            )],
        ),
        case("large value", [q("select repeat('abcdefgh', 40000)")]),
        case(
            "large query",
            [q(&format!("select length('{}')", "y".repeat(200_000)))],
        ),
        case(
            "large query that fails",
            [
                q(&format!("select '{}' from", "y".repeat(100_000))),
                q("select 1"),
            ],
        ),
        case(
            "a hundred queries",
            (0..100)
                .map(|i| q(&format!("select {i}")))
                .collect::<Vec<_>>(),
        ),
        case(
            "every second query fails",
            (0..40)
                .map(|i| q(&format!("select 1/({i} % 2)")))
                .collect::<Vec<_>>(),
        ),
        case(
            "invalid utf-8",
            [message(b'Q', b"select '\xff\xfe'\0"), q("select 1")],
        ),
        case(
            "cursor",
            [
                q("begin"),
                q("declare c cursor for select generate_series(1, 5)"),
                q("fetch 2 from c"),
                q("move 1 in c"),
                q("fetch all from c"),
                q("close c"),
                q("fetch c"),
                q("rollback"),
            ],
        ),
        case(
            "cursor outside a transaction",
            [q("declare c cursor for select 1")],
        ),
        case(
            "fetch into binary",
            [
                q("begin"),
                q("declare c binary cursor for select 1::int4"),
                q("fetch c"),
                q("commit"),
            ],
        ),
        case("explain", [q("explain (costs off) select 1")]),
        case(
            "terminated by oneself",
            [
                q("select pg_terminate_backend(pg_backend_pid())"),
                q("select 1"),
            ],
        )
        .at_once(),
        case(
            "cancelled by oneself",
            [
                q("select pg_cancel_backend(pg_backend_pid()), pg_sleep(10)"),
                q("select 1"),
            ],
        ),
        case(
            "statement timeout",
            [
                q("set statement_timeout = 50"),
                q("select pg_sleep(10)"),
                q("select 1"),
            ],
        ),
        case(
            "function call, text",
            [f(177, 0, &[Some(b"20"), Some(b"22")])],
        ),
        case(
            "function call, binary",
            [f(177, 1, &[Some(&[0, 0, 0, 20]), Some(&[0, 0, 0, 22])])],
        ),
        case("function call, null", [f(177, 0, &[None, Some(b"22")])]),
        case(
            "function call of none",
            [f(3_999_999_999, 0, &[]), q("select 1")],
        ),
        case(
            "function call, too few arguments",
            [f(177, 0, &[Some(b"20")]), q("select 1")],
        ),
        case(
            "function call, bad argument",
            [
                f(177, 0, &[Some(b"x"), Some(b"1")]),
                f(177, 0, &[Some(b"1"), Some(b"1")]),
            ],
        ),
        case(
            "function call in a failed transaction",
            [
                q("begin"),
                q("select 1/0"),
                f(177, 0, &[Some(b"1"), Some(b"1")]),
                q("rollback"),
            ],
        ),
    ]
}
