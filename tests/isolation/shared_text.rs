//! Equal texts are not equal statements: the meaning depends on settings that the
//! lexer, the parser, the input functions of types and the planner read, on the
//! search path and on the role.
//!
//! Tried, with one text parsed with a name by two clients that differ in one
//! thing, on one server connection in turn:
//! * TimeZone, DateStyle, IntervalStyle, timezone_abbreviations: literals;
//! * standard_conforming_strings, backslash_quote: where a literal ends;
//! * client_encoding: what bytes are which letters;
//! * array_nulls, transform_null_equals, xmloption: literals, and operators;
//! * bytea_output, extra_float_digits, IntervalStyle: what is folded into a plan
//!   by output functions that are called immutable;
//! * default_text_search_config, lc_monetary, row_security, quote_all_identifiers,
//!   session settings of custom classes: what is read when it runs;
//! * search_path: another table of that name, with columns of other types; a
//!   table, a function, a type, an operator that only one of them has; the types
//!   of parameters;
//! * role: `"$user"` in the search path, row security.
//!
//! The same of one client that changes the setting between Parse and Execute,
//! when the Execute meets another server connection. What is right is asked of
//! Postgres, where every client has a connection of its own.

use super::common::raw::{parse, query, run, sync};
use super::peer::{Answer, Peer, describe};
use super::world::{Case, Kind, Place, Verdict, case, judge, same};

struct Difference {
    name: &'static str,
    /// The settings of the two.
    set: [&'static str; 2],
    sql: &'static str,
}

const fn of(name: &'static str, set: [&'static str; 2], sql: &'static str) -> Difference {
    Difference { name, set, sql }
}

const SETUP: &str = "
create schema one; create schema two; create schema boss;
grant usage on schema one, two, boss to public;
create table public.mine as select 'of all' as v; create table boss.mine as select 'of boss' as v;
create table one.t as select 1 as v; create table two.t as select 'two'::text as v;
create table one.same as select 'one' as v; create table two.same as select 'two' as v;
create table one.only as select 'one' as v;
create function one.f() returns text language sql as $$ select 'one' $$;
create function two.f() returns int language sql as $$ select 2 $$;
create function one.only_f() returns text language sql as $$ select 'one' $$;
create type one.mood as enum ('sad', 'ok'); create type two.mood as enum ('ok', 'sad');
create function one.minus(text, text) returns text language sql as $$ select 'one' $$;
create operator one.- (leftarg = text, rightarg = text, function = one.minus);
create table rows (who text); insert into rows values ('app_user'), ('boss');
alter table rows enable row level security;
create policy own on rows using (who = current_user);
grant all on all tables in schema public, one, two, boss to public;
";

const DIFFERENCES: &[Difference] = &[
    of(
        "TimeZone",
        ["timezone = 'UTC'", "timezone = 'Asia/Tokyo'"],
        "select extract(epoch from '2024-06-01 00:00'::timestamptz)",
    ),
    of(
        "TimeZone of a time",
        ["timezone = 'UTC'", "timezone = 'Asia/Tokyo'"],
        "select '00:00'::timetz at time zone interval '0'",
    ),
    of(
        "TimeZone in a comparison",
        ["timezone = 'UTC'", "timezone = 'Asia/Tokyo'"],
        "select '2024-06-01 00:00'::timestamptz = '2024-06-01 00:00+00'",
    ),
    of(
        "timezone_abbreviations",
        [
            "timezone_abbreviations = 'Default'",
            "timezone_abbreviations = 'Australia'",
        ],
        "select extract(epoch from '2024-06-01 00:00 EST'::timestamptz)",
    ),
    of(
        "DateStyle",
        ["datestyle = 'ISO, MDY'", "datestyle = 'ISO, DMY'"],
        "select extract(month from '01/02/2024'::date)",
    ),
    of(
        "DateStyle of a timestamp",
        ["datestyle = 'ISO, MDY'", "datestyle = 'ISO, DMY'"],
        "select '01/02/2024 03:04'::timestamp - '2024-01-01'",
    ),
    of(
        "DateStyle that refuses",
        ["datestyle = 'ISO, MDY'", "datestyle = 'ISO, DMY'"],
        "select extract(month from '01/22/2024'::date)",
    ),
    of(
        "IntervalStyle",
        [
            "intervalstyle = 'postgres'",
            "intervalstyle = 'sql_standard'",
        ],
        "select extract(epoch from '-1 02:03:04'::interval)",
    ),
    of(
        "IntervalStyle in a folded cast",
        ["intervalstyle = 'postgres'", "intervalstyle = 'iso_8601'"],
        "select '1 day 2 hours'::interval::text",
    ),
    of(
        "standard_conforming_strings",
        [
            "standard_conforming_strings = on",
            "standard_conforming_strings = off",
        ],
        r"select length('a\nb')",
    ),
    of(
        "standard_conforming_strings and a quote",
        [
            "standard_conforming_strings = on",
            "standard_conforming_strings = off",
        ],
        r"select '\', 'mine' --'",
    ),
    of(
        "backslash_quote",
        ["backslash_quote = on", "backslash_quote = off"],
        r"select E'\'' || 'x'",
    ),
    of(
        "backslash_quote, refused first",
        ["backslash_quote = off", "backslash_quote = on"],
        r"select E'\'' || 'x'",
    ),
    of(
        "client_encoding",
        ["client_encoding = 'UTF8'", "client_encoding = 'LATIN1'"],
        "select length('é')",
    ),
    of(
        "client_encoding of a column",
        ["client_encoding = 'LATIN1'", "client_encoding = 'UTF8'"],
        "select length('ü'), 1 as \"ü\"",
    ),
    of(
        "array_nulls",
        ["array_nulls = on", "array_nulls = off"],
        "select ('{NULL,a}'::text[])[1] is null",
    ),
    of(
        "transform_null_equals",
        ["transform_null_equals = off", "transform_null_equals = on"],
        "select coalesce((v = null)::text, 'unknown') from one.only",
    ),
    of(
        "xmloption",
        ["xmloption = content", "xmloption = document"],
        "select '<a/><b/>'::xml",
    ),
    of(
        "bytea_output in a folded cast",
        ["bytea_output = 'hex'", "bytea_output = 'escape'"],
        r"select '\x4142'::bytea::text",
    ),
    of(
        "extra_float_digits in a folded cast",
        ["extra_float_digits = 1", "extra_float_digits = -5"],
        "select 0.123456789::float8::text",
    ),
    of(
        "extra_float_digits",
        ["extra_float_digits = 1", "extra_float_digits = -5"],
        "select 0.123456789::float8",
    ),
    of(
        "default_text_search_config",
        [
            "default_text_search_config = 'simple'",
            "default_text_search_config = 'english'",
        ],
        "select to_tsvector('the cats')",
    ),
    of(
        "quote_all_identifiers",
        ["quote_all_identifiers = off", "quote_all_identifiers = on"],
        "select quote_ident('a')",
    ),
    of(
        "row_security",
        ["row_security = on", "row_security = off"],
        "select who from rows",
    ),
    of(
        "custom setting",
        ["app.tenant = 'blue'", "app.tenant = 'red'"],
        "select current_setting('app.tenant')",
    ),
    of(
        "search_path, other types",
        ["search_path = one", "search_path = two"],
        "select v from t",
    ),
    of(
        "search_path, all columns",
        ["search_path = one", "search_path = two"],
        "select * from t",
    ),
    of(
        "search_path, same types",
        ["search_path = one", "search_path = two"],
        "select v from same",
    ),
    of(
        "search_path, missing table",
        ["search_path = one", "search_path = two"],
        "select v from only",
    ),
    of(
        "search_path, table missing first",
        ["search_path = two", "search_path = one"],
        "select v from only",
    ),
    of(
        "search_path, function",
        ["search_path = one", "search_path = two"],
        "select f()",
    ),
    of(
        "search_path, missing function",
        ["search_path = one", "search_path = two"],
        "select only_f()",
    ),
    of(
        "search_path, missing type",
        ["search_path = one", "search_path = pg_catalog"],
        "select 'ok'::mood",
    ),
    of(
        "search_path, order of a type",
        ["search_path = one", "search_path = two"],
        "select 'ok'::mood > 'sad'",
    ),
    of(
        "search_path, operator",
        [
            "search_path = one, pg_catalog",
            "search_path = two, pg_catalog",
        ],
        "select 'a'::text - 'b'::text",
    ),
    of(
        "role, $user",
        ["role = none", "role = boss"],
        "select v from mine",
    ),
    of(
        "role, current_user",
        ["role = none", "role = boss"],
        "select current_user, current_schema()",
    ),
    of(
        "role, row security",
        ["role = none", "role = boss"],
        "select who from rows",
    ),
];

/// The observable result of a statement: its description, and what running it
/// answers.
async fn runs(peer: &mut Peer, name: &str) -> Result<String, String> {
    let batch = [describe(name), run(name), sync()].concat();
    Ok(shown(&peer.ask(&batch).await?))
}

async fn parses(peer: &mut Peer, name: &str, sql: &str) -> Result<String, String> {
    let batch = [parse(name, sql), describe(name), run(name), sync()].concat();
    Ok(shown(&peer.ask(&batch).await?))
}

fn shown(answer: &Answer) -> String {
    let types: Vec<String> = answer
        .0
        .iter()
        .filter(|(tag, _)| *tag == b'T')
        .map(|(_, body)| {
            // The type of the first column: behind its name, table and number.
            let name = body.iter().skip(2).position(|b| *b == 0).unwrap_or(0) + 3;
            let oid = body.get(name + 6..name + 10).unwrap_or_default();
            oid.iter()
                .fold(0_u32, |n, b| n << 8 | u32::from(*b))
                .to_string()
        })
        .collect();
    format!("{} type {}", answer.said(), types.join(","))
}

async fn set(peer: &mut Peer, what: &str) -> Verdict {
    peer.run(&format!("set {what}")).await
}

/// Two clients, one text.
async fn two(place: Place, n: usize) -> Verdict {
    let Difference { set: sets, sql, .. } = &DIFFERENCES[n];
    let mut wanted = Vec::new();
    for setting in sets {
        let mut oracle = place.direct().await?;
        set(&mut oracle, setting).await?;
        let first = parses(&mut oracle, "mine", sql).await?;
        same(
            runs(&mut oracle, "mine").await?,
            first.clone(),
            "Postgres, twice",
        )
        .or_else(|e| {
            // What failed at Parse is not there.
            if first.starts_with("ERROR") {
                Ok(())
            } else {
                Err(e)
            }
        })?;
        wanted.push(first);
    }
    let (mut a, mut b) = (place.peer().await?, place.peer().await?);
    set(&mut a, sets[0]).await?;
    set(&mut b, sets[1]).await?;
    same(
        parses(&mut a, "mine", sql).await?,
        wanted[0].clone(),
        "the first",
    )?;
    same(
        parses(&mut b, "mine", sql).await?,
        wanted[1].clone(),
        "the second",
    )?;
    for (peer, wanted, who) in [
        (&mut a, &wanted[0], "the first"),
        (&mut b, &wanted[1], "the second"),
    ] {
        if !wanted.starts_with("ERROR") {
            same(&runs(peer, "mine").await?, wanted, &format!("{who}, again"))?;
        }
    }
    // A third, that is like the first.
    let mut c = place.peer().await?;
    set(&mut c, sets[0]).await?;
    same(
        parses(&mut c, "other", sql).await?,
        wanted[0].clone(),
        "a third",
    )
}

/// The client changes the setting behind its Parse, and executes on another
/// server connection.
async fn one(place: Place, n: usize) -> Verdict {
    let Difference { set: sets, sql, .. } = &DIFFERENCES[n];
    let mut oracle = place.direct().await?;
    let wanted = changes(&mut oracle, sets, sql).await?;
    let mut a = place.peer().await?;
    set(&mut a, sets[0]).await?;
    let parsed = a.ask(&[parse("mine", sql), sync()].concat()).await?;
    same(parsed.error(), None, "Parse")?;
    let here = a.said("select pg_backend_pid()").await;
    set(&mut a, sets[1]).await?;
    let mut seen = vec![run_only(&mut a).await?];
    // Somebody takes the connection where it was parsed.
    let mut b = place.peer().await?;
    let mut c = place.peer().await?;
    for other in [&mut b, &mut c] {
        other.run("begin").await?;
        if place.is_direct() || other.said("select pg_backend_pid()").await == here {
            break;
        }
    }
    c.run("rollback").await?;
    seen.push(run_only(&mut a).await?);
    same(
        seen,
        vec![wanted.clone(), wanted],
        "here and on another connection",
    )
}

async fn changes(peer: &mut Peer, sets: &[&str], sql: &str) -> Result<String, String> {
    set(peer, sets[0]).await?;
    peer.ask(&[parse("mine", sql), sync()].concat()).await?;
    set(peer, sets[1]).await?;
    run_only(peer).await
}

async fn run_only(peer: &mut Peer) -> Result<String, String> {
    Ok(peer.ask(&[run("mine"), sync()].concat()).await?.said())
}

/// A role keeps its client on a server connection, which others need not wait for.
fn room(name: &str) -> &'static str {
    match name.contains("role") {
        true => "pool_size = 3",
        false => "pool_size = 1",
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_clients_mean_what_they_say() {
    let two = |(n, d): (usize, &Difference)| {
        case(d.name, move |place| two(place, n))
            .transaction_mode()
            .keys(room(d.name))
    };
    judge(Kind {
        setup: SETUP,
        cases: DIFFERENCES.iter().enumerate().map(two).collect(),
        beside: 8,
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_means_what_it_did_when_it_was_parsed() {
    let mut cases: Vec<Case> = Vec::new();
    for (n, d) in DIFFERENCES.iter().enumerate() {
        // Those that one of the settings refuses, or that need a role, which
        // keeps its client where it is.
        let refused = [
            "backslash",
            "refuses",
            "quote",
            "missing",
            "xmloption",
            "role",
            "operator",
        ];
        if !refused.iter().any(|word| d.name.contains(word)) {
            cases.push(
                case(d.name, move |place| one(place, n))
                    .transaction_mode()
                    .keys("pool_size = 2"),
            );
        }
    }
    judge(Kind {
        setup: SETUP,
        cases,
        beside: 4,
    })
    .await;
}

/// Clients whose setting was brought at start-up are treated alike.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_brought_counts_as_well() {
    async fn brought(place: Place) -> Verdict {
        let sql = "select extract(epoch from '2024-06-01 00:00'::timestamptz)::int8";
        let mut a = place.peer_with(&[("TimeZone", "UTC")]).await?;
        let mut b = place.peer_with(&[("TimeZone", "Asia/Tokyo")]).await?;
        let mut c = place
            .peer_with(&[("options", "-c timezone=America/New_York")])
            .await?;
        for (peer, wanted) in [
            (&mut a, "1717200000"),
            (&mut b, "1717167600"),
            (&mut c, "1717214400"),
        ] {
            let answer = peer
                .ask(&[parse("mine", sql), run("mine"), sync()].concat())
                .await?;
            same(&*answer.said(), wanted, "its own zone")?;
        }
        Ok(())
    }
    /// Within a transaction, with SET LOCAL.
    async fn local(place: Place) -> Verdict {
        let sql = "select extract(epoch from '2024-06-01 00:00'::timestamptz)::int8";
        let (mut a, mut b) = (place.peer().await?, place.peer().await?);
        a.run("begin; set local timezone = 'Asia/Tokyo'").await?;
        let batch = [parse("mine", sql), run("mine"), sync()].concat();
        same(
            &*a.ask(&batch).await?.said(),
            "1717167600",
            "in the transaction",
        )?;
        a.ask(&query("commit")).await?;
        b.run("set timezone = 'UTC'").await?;
        same(&*b.ask(&batch).await?.said(), "1717200000", "the other")?;
        same(&*run_only(&mut a).await?, "1717167600", "afterwards")
    }
    judge(Kind {
        setup: SETUP,
        cases: vec![
            case("brought", brought).transaction_mode(),
            case("local", local).transaction_mode(),
        ],
        beside: 2,
    })
    .await;
}
