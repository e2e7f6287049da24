//! What has to be in force before a client's message runs, and how it gets there:
//!
//! * a setting that a used connection refuses (`temp_buffers`, once temporary tables were used
//!   there): what waits behind it does not run under the settings of another client;
//! * the same for somebody who brings that setting to its login;
//! * settings whose names are quoted as a whole, or longer than Postgres keeps them;
//! * tables that are temporary by a search_path which no text shows;
//! * descriptions of more than 64 KiB: 20,000 parameters, 1,200 columns with long names;
//! * statements that have to run alone, parsed under other settings than those in force;
//! * values that are too long, or too many, to be carried from connection to connection.

use super::common::raw::{parse, run, sync};
use super::peer::{describe, run_with};
use super::world::{Case, Kind, Place, Verdict, case, judge, same};

/// Uses temporary tables, and leaves none.
const USES_TEMPORARY: &str =
    "begin; create temp table gone (n int); insert into gone values (1); drop table gone; commit";

async fn behind_a_refusal(place: Place, prepared: bool) -> Verdict {
    place
        .execute(&place.own(
            "create schema if not exists one_{k}; create schema if not exists two_{k}; \
             create table if not exists one_{k}.who as select 'one' as n; \
             create table if not exists two_{k}.who as select 'two' as n; \
             grant usage on schema one_{k}, two_{k} to public; \
             grant select on all tables in schema one_{k}, two_{k} to public",
        ))
        .await;
    let mut a = place.peer().await?;
    a.run(&place.own("set search_path = one_{k}")).await?;
    for round in 0..4 {
        let mut b = place.peer().await?;
        b.run(&place.own("set search_path = two_{k}")).await?;
        b.run(&format!("set temp_buffers = '{}MB'", 20 + round))
            .await?;
        a.run(USES_TEMPORARY).await?;
        let text = "select n from who";
        let seen = match prepared {
            true => b.said_unnamed(text).await,
            false => b.said(text).await,
        };
        same(&*seen, "two", "its own")?;
        let set = b.said("show temp_buffers").await;
        same(set, format!("{}MB", 20 + round), "what it has set")?;
        same(&*a.said(text).await, "one", "that of the other")?;
        b.leave().await;
    }
    Ok(())
}

async fn at_its_login(place: Place) -> Verdict {
    for round in 0..3 {
        let mut a = place.stranger().await?;
        a.run(USES_TEMPORARY).await?;
        a.leave().await;
        let value = format!("{}MB", 30 + round);
        let mut b = place.peer_with(&[("temp_buffers", &value)]).await?;
        same(b.said("show temp_buffers").await, value, "brought")?;
        b.leave().await;
    }
    Ok(())
}

async fn custom_name(place: Place, n: usize) -> Verdict {
    let long = "x".repeat(80);
    let name = match n {
        0 => place.own("\"app.tenant_{k}\""),
        1 => place.own("app.\"tenant_{k}\""),
        _ => format!("app.{long}"),
    };
    let bare = name.replace('"', "");
    let look = format!(
        "select coalesce(current_setting('{}', true), '')",
        &bare[..bare.len().min(67)]
    );
    let mut a = place.peer().await?;
    let mut colleague = place.peer().await?;
    a.run(&format!("set {name} = 'of A'")).await?;
    same(&*a.said(&look).await, "of A", "its owner")?;
    a.leave().await;
    same(&*colleague.said(&look).await, "", "a colleague")?;
    let mut a = place.peer().await?;
    a.run(&format!("set {name} = 'of A'")).await?;
    if n < 2 {
        // One whose name is too long has the connection to itself, and there is but one.
        let mut other = place.stranger().await?;
        other.run("select 1").await?;
        same(&*colleague.said(&look).await, "", "a colleague, later")?;
    }
    same(&*a.said(&look).await, "of A", "its owner, later")
}

async fn temporary(place: Place, n: usize) -> Verdict {
    let mut a = place.peer().await?;
    let mut colleague = place.peer().await?;
    a.run("begin").await?;
    if n == 0 {
        let text = "select set_config('search_path', $1, true)";
        a.ask(&[parse("", text), run_with("", &["pg_temp"]), sync()].concat())
            .await?;
    } else {
        a.run(r"set local search_path = E'pg\x5ftemp'").await?;
    }
    a.run("create table mine (n text)").await?;
    a.run("insert into mine values ('row of A')").await?;
    a.run("commit").await?;
    let look = "select count(*)::text from pg_class where relname = 'mine' \
                and relnamespace = pg_my_temp_schema()";
    same(&*colleague.said(look).await, "0", "a colleague")?;
    same(
        &*a.said("select n from pg_temp.mine").await,
        "row of A",
        "its owner",
    )
}

async fn many_parameters(place: Place) -> Verdict {
    const N: usize = 20_000;
    let list: Vec<String> = (1..=N).map(|i| format!("(${i}::int4)")).collect();
    let text = format!("select count(*)::text from (values {}) v", list.join(","));
    let values = vec!["1"; N];
    let mut a = place.peer().await?;
    a.ask(&[parse("s", &text), sync()].concat()).await?;
    for _ in 0..2 {
        let answer = a.ask(&[run_with("s", &values), sync()].concat()).await?;
        same(answer.said(), N.to_string(), "counted")?;
        let mut other = place.stranger().await?;
        other.run("select 1").await?;
        other.leave().await;
    }
    Ok(())
}

async fn wide(place: Place) -> Verdict {
    let columns: Vec<String> = (0..1200)
        .map(|n| format!("c{n:04}_{} int", "x".repeat(57)))
        .collect();
    place
        .execute(&place.own("drop table if exists wide_{k}"))
        .await;
    let create = format!(
        "create table wide_{{k}} ({}); grant all on wide_{{k}} to public",
        columns.join(",")
    );
    place.execute(&place.own(&create)).await;
    let mut a = place.peer().await?;
    let text = place.own("select * from wide_{k}");
    a.ask(&[parse("w", &text), describe("w"), sync()].concat())
        .await?;
    let last = format!("c1199_{}", "x".repeat(57));
    let alter = place.own(&format!("alter table wide_{{k}} alter {last} type float4"));
    place.execute(&alter).await;
    let mut other = place.stranger().await?;
    other.run("select 1").await?;
    let answer = a.ask(&[run("w"), sync()].concat()).await?;
    same(answer.sqlstate().as_deref(), Some("0A000"), "refused")
}

async fn alone(place: Place, n: usize) -> Verdict {
    const TEXTS: [&str; 4] = [
        "vacuum alone_{k}",
        "call alone_{k}()",
        "discard all",
        "reindex table alone_{k}",
    ];
    place
        .execute(&place.own(
            "create table if not exists alone_{k} (n int); \
             create or replace procedure alone_{k}() language plpgsql as \
             $$ begin insert into alone_{k} values (1); commit; insert into alone_{k} values (2); commit; end $$; \
             grant all on alone_{k} to public",
        ))
        .await;
    let mut a = place.peer().await?;
    a.run("set timezone = 'Asia/Tokyo'").await?;
    a.ask(&[parse("v", &place.own(TEXTS[n])), sync()].concat())
        .await?;
    a.run("set timezone = 'Europe/Paris'").await?;
    let mut other = place.stranger().await?;
    other.run("select 1").await?;
    other.leave().await;
    let answer = a.ask(&[run("v"), sync()].concat()).await?;
    // Not everybody may do it; but whoever may not is told so, and nothing else.
    let error = answer.sqlstate().filter(|state| state != "42501");
    same(error, None, TEXTS[n])
}

async fn too_long(place: Place, n: usize) -> Verdict {
    let mut a = place.peer().await?;
    let (deed, look, wanted) = match n {
        0 => (
            "select length(set_config('app.long', repeat('x', 1000000), false))",
            "select length(current_setting('app.long'))::text",
            "1000000",
        ),
        1 => (
            "do $$ begin for n in 1..100 loop execute 'prepare p' || n || ' as select 1'; end loop; end $$",
            "select count(*)::text from pg_prepared_statements where from_sql",
            "100",
        ),
        _ => (
            "do $$ begin for n in 1..1500 loop execute 'listen c' || n; end loop; end $$",
            "select count(*)::text from pg_listening_channels()",
            "1500",
        ),
    };
    a.run(deed).await?;
    same(&*a.said(look).await, wanted, "its owner")?;
    let mut colleague = place.peer().await?;
    colleague.run("select 1").await?;
    same(&*a.said(look).await, wanted, "its owner, later")?;
    a.leave().await;
    let fresh = colleague
        .said("select coalesce(current_setting('app.long', true), '')")
        .await;
    same(&*fresh, "", "a colleague")
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_runs_before_its_settings_are_in_force() {
    let mut cases: Vec<Case> = vec![
        case("behind a refusal", |p| behind_a_refusal(p, false)).transaction_mode(),
        case("behind a refusal, extended", |p| behind_a_refusal(p, true)).transaction_mode(),
        case("at its login", at_its_login),
        case("many parameters", many_parameters).transaction_mode(),
        case("wide", wide).transaction_mode(),
    ];
    for n in 0..3 {
        let name = case(format!("custom name, {n}"), move |p| custom_name(p, n));
        let pool = if n < 2 {
            "pool_size = 1"
        } else {
            "pool_size = 3"
        };
        cases.push(name.transaction_mode().keys(pool));
        let long = case(format!("too long, {n}"), move |p| too_long(p, n));
        cases.push(long.transaction_mode().keys("pool_size = 3"));
    }
    for n in 0..2 {
        let way = case(format!("temporary, {n}"), move |p| temporary(p, n));
        cases.push(way.transaction_mode().keys("pool_size = 3"));
    }
    for n in 0..4 {
        let way = case(format!("alone, {n}"), move |p| alone(p, n));
        cases.push(way.transaction_mode());
    }
    judge(Kind {
        setup: "",
        cases,
        beside: 4,
    })
    .await;
}
