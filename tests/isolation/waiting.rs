//! A login needs no server connection once the database has been seen.
//!
//! While the only server connection is taken: clients with an application_name,
//! a TimeZone, DateStyle, IntervalStyle, client_encoding, search_path, other
//! settings, options and several of them, that nobody brought before, are greeted
//! at once, by either identity; they are told what Postgres tells such a client,
//! and see it when their turn comes.

use super::world::{Kind, Place, Verdict, in_two_ways, judge, same};

type Brought = &'static [(&'static str, &'static str)];

const BROUGHT: &[(&str, Brought, &str, &str)] = &[
    ("nothing", &[], "select 'x'", "x"),
    (
        "application_name",
        &[("application_name", "new")],
        "show application_name",
        "new",
    ),
    (
        "odd application_name",
        &[("application_name", "ne\u{e9}w \t'x'")],
        "select length(current_setting('application_name')) > 0",
        "t",
    ),
    (
        "TimeZone",
        &[("TimeZone", "Asia/Tokyo")],
        "show timezone",
        "Asia/Tokyo",
    ),
    (
        "timezone",
        &[("timezone", "asia/tokyo")],
        "show timezone",
        "Asia/Tokyo",
    ),
    (
        "timezone as an offset",
        &[("timezone", "+3")],
        "show timezone",
        "<+03>-03",
    ),
    (
        "DateStyle",
        &[("DateStyle", "german")],
        "show datestyle",
        "German, DMY",
    ),
    (
        "IntervalStyle",
        &[("IntervalStyle", "ISO_8601")],
        "show intervalstyle",
        "iso_8601",
    ),
    (
        "client_encoding",
        &[("client_encoding", "latin1")],
        "show client_encoding",
        "LATIN1",
    ),
    (
        "standard_conforming_strings",
        &[("standard_conforming_strings", "0")],
        "show standard_conforming_strings",
        "off",
    ),
    (
        "default_transaction_read_only",
        &[("default_transaction_read_only", "true")],
        "show transaction_read_only",
        "on",
    ),
    (
        "search_path",
        &[("search_path", "elsewhere")],
        "show search_path",
        "elsewhere",
    ),
    ("work_mem", &[("work_mem", "77MB")], "show work_mem", "77MB"),
    (
        "extra_float_digits",
        &[("extra_float_digits", "3")],
        "show extra_float_digits",
        "3",
    ),
    (
        "statement_timeout",
        &[("statement_timeout", "99s")],
        "show statement_timeout",
        "99s",
    ),
    (
        "custom",
        &[("app.tenant", "blue")],
        "show app.tenant",
        "blue",
    ),
    (
        "options",
        &[("options", "-c timezone=Asia/Tokyo -c work_mem=77MB")],
        "show timezone",
        "Asia/Tokyo",
    ),
    (
        "several",
        &[
            ("application_name", "new"),
            ("TimeZone", "Asia/Tokyo"),
            ("DateStyle", "SQL"),
            ("app.tenant", "x"),
        ],
        "select current_setting('application_name') || current_setting('timezone')",
        "newAsia/Tokyo",
    ),
];

async fn greeted(place: Place, n: usize, stranger: bool) -> Verdict {
    let (_, brought, look, wanted) = BROUGHT[n];
    let direct = place.direct_with(brought).await?;
    let mut holder = place.peer().await?;
    holder.run("begin").await?;
    let who = if stranger { "bob" } else { "alice" };
    let login = place.peer_of(who, brought).await;
    let mut peer = login.map_err(|e| format!("not greeted: {e}"))?;
    // pgvalet gives a client without a name its own, which is another difference.
    let known = |told: &[(String, String)]| {
        let mut told = told.to_vec();
        let named = brought.iter().any(|(name, _)| *name == "application_name");
        told.retain(|(name, _)| named || name != "application_name");
        told.sort();
        told
    };
    let seen = known(&peer.told);
    for wanted in known(&direct.told) {
        // How the server calls a time zone only the server knows: the client is
        // told by ParameterStatus before its first answer.
        if !seen.contains(&wanted) && wanted.0 != "TimeZone" {
            let instead = seen.iter().find(|(name, _)| *name == wanted.0);
            return Err(format!("told {instead:?}, wanted {wanted:?}"));
        }
    }
    holder.run("commit").await?;
    holder.leave().await;
    same(&*peer.said(look).await, wanted, "what it brought")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_is_greeted_while_the_pool_is_exhausted() {
    let names = BROUGHT.iter().map(|(name, ..)| *name);
    let ways = ["the same identity", "the other identity"];
    judge(Kind {
        setup: "create schema elsewhere",
        cases: in_two_ways(names, ways, greeted),
        beside: 24,
    })
    .await;
}
