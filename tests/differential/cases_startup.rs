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
