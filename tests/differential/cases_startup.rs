//! Start-up packets.

use super::dsl::*;

pub fn cases() -> Vec<Case> {
    let show = |name: &str| {
        [
            q(&format!("show {name}")),
            q(&format!("reset {name}")),
            q(&format!("show {name}")),
        ]
    };
    vec![
        case("start: no application_name", show("application_name")).nameless(),
        case("start: application_name", show("application_name")).with("application_name", "début"),
        case("start: several", show("timezone"))
            .with("TimeZone", "Europe/Rome")
            .with("DateStyle", "German")
            .with("extra_float_digits", "2"),
        case(
            "start: client_encoding",
            [q("show client_encoding"), q("select U&'\\00e9'")],
        )
        .with("client_encoding", "LATIN1"),
        case(
            "start: client_encoding as drivers write it",
            [q("show client_encoding")],
        )
        .with("client_encoding", "'utf-8'"),
        case("start: search_path", [q("show search_path")]).with("search_path", "a, \"B\""),
        case("start: statement_timeout", show("statement_timeout")).with("statement_timeout", "5s"),
        case("start: custom", show("my.start")).with("my.start", "x"),
        case("start: an empty value", show("application_name")).with("application_name", ""),
        case("start: twice", show("application_name"))
            .with("application_name", "one")
            .with("application_name", "two"),
        case(
            "start: discard all",
            [
                q("set work_mem = '9MB'"),
                q("discard all"),
                q("show work_mem"),
                q("show timezone"),
            ],
        )
        .with("work_mem", "7MB")
        .with("timezone", "Asia/Tokyo"),
        case(
            "start: reset all",
            [
                q("set work_mem = '9MB'"),
                q("reset all"),
                q("show work_mem"),
            ],
        )
        .with("work_mem", "7MB"),
        case(
            "start: reset in a transaction",
            [
                q("begin"),
                q("set timezone = 'UTC'"),
                q("reset timezone"),
                q("show timezone"),
                q("rollback"),
                q("show timezone"),
                q("set timezone = 'Asia/Tokyo'"),
                q("begin"),
                q("reset timezone"),
                q("set transaction isolation level serializable"),
                q("show timezone"),
                q("rollback"),
                q("show timezone"),
                q("begin"),
                q("reset all"),
                q("show timezone"),
                q("commit"),
                q("show timezone"),
            ],
        )
        .with("timezone", "Europe/Rome")
        .with("work_mem", "7MB"),
        case(
            "start: reset in a transaction that fails",
            [
                q("set timezone = 'Asia/Tokyo'"),
                q("begin"),
                q("savepoint s"),
                q("reset timezone; select 1/0"),
                q("rollback to s"),
                q("show timezone"),
                q("reset timezone; select 1/0"),
                q("rollback"),
                q("show timezone"),
                q("begin; reset timezone; rollback"),
                q("show timezone"),
            ],
        )
        .with("timezone", "Europe/Rome"),
        case(
            "start: reset before a savepoint",
            [
                q("set timezone = 'Asia/Tokyo'"),
                q("begin"),
                q("reset timezone; savepoint t; select 1/0"),
                q("show timezone"),
                q("rollback to t"),
                q("show timezone"),
                q("rollback"),
                q("show timezone"),
            ],
        )
        .with("timezone", "Europe/Rome"),
        case(
            "start: reset and show in one query",
            [q("reset timezone; show timezone"), q("show timezone")],
        )
        .with("timezone", "Europe/Rome"),
        case(
            "start: reset and show in one batch",
            [
                p("", "reset timezone"),
                b("", "", &[]),
                e("", 0),
                p("", "show timezone"),
                b("", "", &[]),
                e("", 0),
                s(),
                q("show timezone"),
            ],
        )
        .with("timezone", "Europe/Rome"),
        case(
            "start: reset, extended",
            [
                q("set timezone = 'Asia/Tokyo'"),
                p("", "reset timezone"),
                b("", "", &[]),
                dp(""),
                e("", 0),
                s(),
                q("show timezone"),
                p("r", "set timezone to default"),
                p("", "select 'kept'"),
                s(),
                q("begin"),
                q("set timezone = 'Asia/Tokyo'"),
                p("", "select generate_series(1, 3)"),
                b("", "", &[]),
                e("", 1),
                b("p", "r", &[]),
                e("p", 0),
                s(),
                e("", 2),
                b("", "", &[]),
                e("", 1),
                s(),
                q("commit"),
                q("show timezone"),
            ],
        )
        .with("timezone", "Europe/Rome"),
        case(
            "start: reset and set in one query",
            [
                q("reset all; set timezone = 'Asia/Tokyo'"),
                q("show timezone"),
                q("show datestyle"),
                q("set datestyle to default; reset timezone; set work_mem = '9MB'"),
                q("show timezone"),
                q("show work_mem"),
            ],
        )
        .with("timezone", "Europe/Rome")
        .with("datestyle", "German")
        .with("work_mem", "7MB"),
        case(
            "start: back to its values in other words",
            [
                q("set time zone 'Asia/Tokyo'"),
                q("set time zone local"),
                q("show timezone"),
                q("/* pool */ set session \"TimeZone\" = default; -- done"),
                q("show timezone"),
                q("set names 'LATIN1'"),
                q("set names default"),
                q("begin"),
                q("set local work_mem to default"),
                q("show work_mem"),
                q("commit"),
                q("show work_mem"),
                q("set work_mem = '9MB'"),
                q("begin"),
                q("set local work_mem to default"),
                q("show work_mem"),
                q("commit"),
                q("show work_mem"),
                q("set my.start = 'y'"),
                q("set my.start to default"),
                q("show my.start"),
                q("set search_path = public"),
                q("begin"),
                q("reset search_path"),
                q("show search_path"),
                q("commit"),
                q("reset none_such"),
                q("reset server_version"),
            ],
        )
        .with("timezone", "Europe/Rome")
        .with("client_encoding", "UTF8")
        .with("search_path", "a, \"B\"")
        .with("my.start", "x")
        .with("work_mem", "7MB"),
        case(
            "start: reset between copies",
            [
                q("create table su_copy (a int)"),
                q("reset timezone; copy su_copy from stdin"),
                cd("1\n"),
                cdone(),
                q("show timezone"),
                p("", "reset timezone"),
                b("", "", &[]),
                p("c", "copy su_copy from stdin"),
                b("c", "c", &[]),
                e("", 0),
                e("c", 0),
                s(),
                cd("2\n"),
                cdone(),
                s(),
                q("show timezone"),
                q("select * from su_copy"),
            ],
        )
        .with("timezone", "Europe/Rome"),
        case(
            "start: set local and back",
            [
                q("begin"),
                q("set local work_mem = '9MB'"),
                q("commit"),
                q("show work_mem"),
            ],
        )
        .with("work_mem", "7MB"),
        case(
            "start: set to default",
            [q("set work_mem to default"), q("show work_mem")],
        )
        .with("work_mem", "7MB"),
        case("start: unknown setting", []).with("none_such", "1"),
        case("start: invalid value", []).with("work_mem", "much"),
        case("start: value out of range", []).with("work_mem", "1kB"),
        case("start: invalid encoding", []).with("client_encoding", "klingon"),
        case("start: a setting for superusers", []).with("log_statement", "all"),
        case("start: a setting of the server", []).with("shared_buffers", "1GB"),
        case("start: a read-only setting", []).with("server_version", "9.6"),
        case(
            "start: options -c",
            [q("show work_mem"), q("show search_path")],
        )
        .with("options", "-c work_mem=7MB -csearch_path=a,\\ b"),
        case("start: options --", [q("show statement_timeout")])
            .with("options", "--statement-timeout=7s"),
        case("start: options, unknown setting", []).with("options", "-c none_such=1"),
        case("start: options, invalid value", []).with("options", "-c work_mem=x"),
        case("start: options without a value", []).with("options", "-c work_mem"),
        case("start: options, unknown switch", []).with("options", "-? 1"),
        case("start: options, empty", [q("select 1")]).with("options", "  "),
        case("start: options and parameter", show("work_mem"))
            .with("options", "-c work_mem=5MB")
            .with("work_mem", "6MB"),
        case("start: replication off", [q("select 1")]).with("replication", "false"),
        case("start: protocol option", [q("select 1")]).with("_pq_.none_such", "on"),
        case("start: protocol 3.1", [q("select 1")]).version(0x30001),
        case("start: protocol 3.2", [q("select 1")]).version(0x30002),
        case("start: protocol 3.2 and an option", [q("select 1")])
            .version(0x30002)
            .with("_pq_.none_such", "on"),
        case("start: protocol 3.9", [q("select 1")]).version(0x30009),
        case("start: protocol 1.0", []).version(0x10000),
        case("start: protocol 2.0", []).version(0x20000),
        case("start: protocol 4.0", []).version(0x40000),
    ]
}
