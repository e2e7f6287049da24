//! COPY, both ways, in both protocols, and everything that can end it.

use super::dsl::*;

fn table(name: &str) -> Message {
    q(&format!("create table {name} (a int, b text)"))
}

fn copy(name: &str) -> Message {
    q(&format!("copy {name} from stdin"))
}

fn extended(name: &str) -> [Message; 3] {
    [
        p("", &format!("copy {name} from stdin")),
        b("", "", &[]),
        e("", 0),
    ]
}

fn count(name: &str) -> Message {
    q(&format!("select count(*), max(a) from {name}"))
}

pub fn cases() -> Vec<Case> {
    let mut cases = simple();
    cases.extend(in_batches());
    cases
}

fn simple() -> Vec<Case> {
    let long = format!("1\t{}\n", "w".repeat(1000)).repeat(300);
    vec![
        case(
            "copy out",
            [q(
                "copy (select i, 'x' from generate_series(1, 5) i) to stdout",
            )],
        ),
        case(
            "copy out, binary",
            [q(
                "copy (select 1::int4, 'x'::text) to stdout (format binary)",
            )],
        ),
        case(
            "copy out, large",
            [q(
                "copy (select i, repeat('x', 100) from generate_series(1, 3000) i) to stdout",
            )],
        ),
        case(
            "copy out, failing",
            [
                q("copy (select 1 / (3 - i) from generate_series(1, 5) i) to stdout"),
                q("select 1"),
            ],
        ),
        case(
            "copy out, nothing",
            [q("copy (select 1 where false) to stdout")],
        ),
        case(
            "copy in",
            [
                table("c_in"),
                copy("c_in"),
                cd("1\tx\n2\ty\n"),
                cdone(),
                count("c_in"),
            ],
        ),
        case(
            "copy in, in pieces",
            [
                table("c_pieces"),
                copy("c_pieces"),
                cd("1\t"),
                cd("x\n2"),
                cd(""),
                cd("\ty\n"),
                cdone(),
                count("c_pieces"),
            ],
        ),
        case(
            "copy in, nothing",
            [table("c_none"), copy("c_none"), cdone(), count("c_none")],
        ),
        case(
            "copy in, large",
            [
                table("c_large"),
                copy("c_large"),
                cd(&long),
                cd(&long),
                cdone(),
                count("c_large"),
            ],
        ),
        case(
            "copy in, end marker",
            [
                table("c_marker"),
                copy("c_marker"),
                cd("1\tx\n\\.\n"),
                cdone(),
                count("c_marker"),
            ],
        ),
        case(
            "copy in, Flush and Sync inside",
            [
                table("c_inside"),
                copy("c_inside"),
                cd("1\tx\n"),
                h(),
                s(),
                cd("2\ty\n"),
                s(),
                cdone(),
                count("c_inside"),
            ],
        ),
        case(
            "copy in, bad data",
            [
                table("c_bad"),
                copy("c_bad"),
                cd("x\tx\n"),
                cd("2\ty\n"),
                cdone(),
                count("c_bad"),
            ],
        ),
        case(
            "copy in, bad data, leftover for long",
            [
                table("c_left"),
                copy("c_left"),
                cd("x\tx\n"),
                cd(&long),
                cd(&long),
                cd(&long),
                cdone(),
                count("c_left"),
            ],
        ),
        case(
            "copy in, bad data, failed by the client too",
            [
                table("c_both"),
                copy("c_both"),
                cd("x\tx\n"),
                cfail("mine"),
                count("c_both"),
            ],
        ),
        case(
            "copy in, failed by the client",
            [
                table("c_fail"),
                copy("c_fail"),
                cd("1\tx\n"),
                cfail("no more"),
                count("c_fail"),
            ],
        ),
        case(
            "copy in, failed with no reason",
            [
                table("c_empty"),
                copy("c_empty"),
                cfail(""),
                count("c_empty"),
            ],
        ),
        case(
            "copy in, query inside",
            [
                table("c_query"),
                copy("c_query"),
                cd("1\tx\n"),
                q("select 1"),
                cdone(),
                count("c_query"),
            ],
        )
        .at_once(),
        case(
            "copy in, Parse inside",
            [
                table("c_parse"),
                copy("c_parse"),
                cd("1\tx\n"),
                p("", "select 1"),
                s(),
                cdone(),
                count("c_parse"),
            ],
        )
        .at_once(),
        case(
            "copy in, in a transaction",
            [
                table("c_tx"),
                q("begin"),
                copy("c_tx"),
                cd("1\tx\n"),
                cdone(),
                count("c_tx"),
                q("rollback"),
                count("c_tx"),
            ],
        ),
        case(
            "copy in, failing in a transaction",
            [
                table("c_txf"),
                q("begin"),
                copy("c_txf"),
                cd("x\tx\n"),
                cdone(),
                q("select 1"),
                q("commit"),
                count("c_txf"),
            ],
        ),
        case(
            "copy among statements",
            [
                table("c_among"),
                q("select 1; copy c_among from stdin; select 2"),
                cd("1\tx\n"),
                cdone(),
                count("c_among"),
            ],
        ),
        case(
            "failed copy among statements",
            [
                table("c_among2"),
                q("select 1; copy c_among2 from stdin; select 2"),
                cd("x\n"),
                cdone(),
                count("c_among2"),
            ],
        ),
        case(
            "copies of one query",
            [
                table("c_two"),
                q("copy c_two from stdin; copy c_two from stdin"),
                cd("1\tx\n"),
                cdone(),
                cd("2\ty\n"),
                cdone(),
                count("c_two"),
            ],
        )
        .at_once(),
        case(
            "copy in and out of one query",
            [
                table("c_inout"),
                q("copy c_inout from stdin; copy c_inout to stdout"),
                cd("1\tx\n"),
                cdone(),
                count("c_inout"),
            ],
        ),
        case(
            "copy of no table",
            [
                q("copy c_missing from stdin"),
                cd("1\n"),
                cdone(),
                q("select 1"),
            ],
        )
        .at_once(),
        case(
            "copy from a file",
            [
                table("c_file"),
                q("copy c_file from '/etc/none'"),
                q("select 1"),
            ],
        ),
        case(
            "copy data out of place",
            [cd("1\n"), cdone(), cfail("x"), q("select 1")],
        )
        .at_once(),
        case(
            "copy data out of place in a transaction",
            [
                q("begin"),
                cd("1\n"),
                cdone(),
                cfail("x"),
                q("select 1"),
                q("commit"),
            ],
        )
        .at_once(),
        case(
            "copy in, binary, wrong",
            [
                table("c_binary"),
                q("copy c_binary from stdin (format binary)"),
                cd("no header at all"),
                cdone(),
                count("c_binary"),
            ],
        ),
        case(
            "copy in, invalid utf-8",
            [
                table("c_utf"),
                copy("c_utf"),
                message(b'd', b"1\t\xff\n"),
                cdone(),
                count("c_utf"),
            ],
        ),
        case(
            "copy in, a notice",
            [
                table("c_notice"),
                q(
                    "do $$ begin create function c_say() returns trigger language plpgsql as 'begin raise notice ''row''; return new; end'; end $$; create trigger t before insert on c_notice for each row execute function c_say()",
                ),
                copy("c_notice"),
                cd("1\tx\n2\ty\n"),
                cdone(),
                count("c_notice"),
            ],
        ),
    ]
}

fn in_batches() -> Vec<Case> {
    let with = |name: &str, rest: &[Message]| {
        [
            &[table(name)],
            &extended(name)[..],
            rest,
            &[s(), count(name)],
        ]
        .concat()
    };
    vec![
        case("extended copy in", with("d_in", &[cd("1\tx\n"), cdone()])),
        case(
            "extended copy in, Sync before the data",
            with("d_sync", &[s(), cd("1\tx\n"), s(), cdone()]),
        ),
        case(
            "extended copy in, Flush before the data",
            with("d_flush", &[h(), cd("1\tx\n"), h(), cdone()]),
        ),
        case(
            "extended copy in, failed by the client",
            with("d_fail", &[cd("1\tx\n"), cfail("no")]),
        ),
        case(
            "extended copy in, failed after Sync",
            with("d_fail2", &[s(), cd("1\tx\n"), cfail("no")]),
        ),
        case(
            "extended copy in, bad data",
            with("d_bad", &[cd("x\tx\n"), cdone()]),
        ),
        case(
            "extended copy in, bad data and more behind",
            with(
                "d_more",
                &[
                    cd("x\tx\n"),
                    cdone(),
                    p("a", "select 1"),
                    b("", "a", &[]),
                    e("", 0),
                ],
            ),
        ),
        case(
            "extended copy in, more behind",
            with(
                "d_more2",
                &[
                    cd("1\tx\n"),
                    cdone(),
                    p("a", "select 1"),
                    b("", "a", &[]),
                    e("", 0),
                ],
            ),
        ),
        case(
            "extended copy in, Query inside",
            with("d_query", &[cd("1\tx\n"), q("select 1"), cdone()]),
        )
        .at_once(),
        case(
            "extended copy in, Execute inside",
            with("d_execute", &[cd("1\tx\n"), e("", 0), cdone()]),
        )
        .at_once(),
        case(
            "extended copy out",
            [
                p("a", "copy (select 1) to stdout"),
                b("", "a", &[]),
                dp(""),
                e("", 0),
                s(),
                b("", "a", &[]),
                e("", 0),
                s(),
            ],
        ),
        case(
            "extended copy in by name",
            [
                table("d_name"),
                p("a", "copy d_name from stdin"),
                ds("a"),
                s(),
                b("", "a", &[]),
                e("", 0),
                cd("1\tx\n"),
                cdone(),
                s(),
                b("", "a", &[]),
                e("", 0),
                cd("2\tx\n"),
                cdone(),
                s(),
                count("d_name"),
            ],
        ),
    ]
}
