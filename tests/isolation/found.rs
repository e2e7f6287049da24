//! Found by attack, each kept as it was seen:
//!
//! * a query that copies twice, and a goodbye while the second COPY waits for data:
//!   its place in the pool is free again;
//! * an unnamed statement that is parsed in one lease and run in another: what it
//!   sets, and locks, is noticed;
//! * a setting made by set_config for a transaction stays in force while a statement
//!   is made anew there, and is not that of others who parse the same;
//! * what is sent before a goodbye, or before the write side is closed, is done also
//!   where a copy of a statement has to be made first;
//! * a portal that outlives a failed Bind is what it was;
//! * temporary tables by other ways than their usual name;
//! * a statement whose columns have changed is refused on every connection;
//! * SET of a search_path in front of a statement fixes no snapshot.

use std::time::Duration;

use super::common::raw::{close, message, parse, query, run, sync};
use super::peer::{copy_done, describe, run_with, terminate};
use super::world::{Case, Kind, Place, Verdict, case, judge, same};

/// Bind to a portal, and maybe Execute it.
fn portal(portal: &str, statement: &str, executes: bool) -> Vec<u8> {
    let mut bind = format!("{portal}\0{statement}\0").into_bytes();
    bind.extend([0; 6]);
    let mut out = message(b'B', &bind);
    if executes {
        let body = [portal.as_bytes(), &[0; 5]].concat();
        out.extend(message(b'E', &body));
    }
    out
}

async fn copies_twice(place: Place, ends: bool) -> Verdict {
    place
        .execute(
            &place.own(
                "create table if not exists twice_{k} (n int); grant all on twice_{k} to public",
            ),
        )
        .await;
    let copies = place.own("copy twice_{k} from stdin; copy twice_{k} from stdin");
    for _ in 0..2 {
        let mut a = place.peer().await?;
        let mut sent = [query(&copies), copy_done()].concat();
        if ends {
            sent.extend([sync(), copy_done()].concat());
        }
        sent.extend(terminate());
        a.send(&sent).await?;
        a.rest().await;
    }
    let mut b = place.stranger().await?;
    same(&*b.said("select 'b'").await, "b", "another")
}

/// Parse, Describe, Sync, and later Bind, Execute, Sync.
async fn in_two_leases(place: Place, n: usize) -> Verdict {
    const DEEDS: [(&str, &str, &str, &str); 3] = [
        (
            "set_config('role', $1, false)",
            "boss",
            "select current_user::text",
            "boss",
        ),
        (
            "set_config('work_mem', $1, false)",
            "77MB",
            "show work_mem",
            "77MB",
        ),
        (
            "pg_advisory_lock($1::int)::text",
            "7301",
            "select count(*) from pg_locks where locktype = 'advisory' and objid = 7301 and pid = pg_backend_pid()",
            "1",
        ),
    ];
    let (call, value, look, wanted) = DEEDS[n];
    let mut a = place.peer().await?;
    let mut colleague = place.peer().await?;
    let fresh = colleague.said(look).await;
    let text = format!("select {call}");
    a.ask(&[parse("", &text), describe(""), sync()].concat())
        .await?;
    let answer = a.ask(&[run_with("", &[value]), sync()].concat()).await?;
    same(answer.error(), None, "done")?;
    same(&*colleague.said(look).await, &*fresh, "a colleague")?;
    same(&*a.said(look).await, wanted, "its owner")?;
    a.leave().await;
    same(&*colleague.said(look).await, &*fresh, "after it has left")
}

/// A copy has to be made on a connection that others have used meanwhile.
async fn locally_by_call(place: Place) -> Verdict {
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
    a.ask(&[parse("w", "select n from who"), sync()].concat())
        .await?;
    let mut other = place.stranger().await?;
    other.run("select 1").await?;
    a.run("begin").await?;
    a.run(&place.own("select set_config('search_path', 'two_{k}', true)"))
        .await?;
    let answer = a.ask(&[run("w"), sync()].concat()).await?;
    same(&*answer.said(), "two", "by its statement")?;
    same(&*a.said("select n from who").await, "two", "by a query")?;
    a.run("commit").await?;
    same(&*a.said("select n from who").await, "one", "after it")
}

/// Another client has parsed the same text before, under other settings.
async fn anothers_meaning(place: Place, n: usize) -> Verdict {
    const DEEDS: [&str; 3] = [
        "select set_config('timezone', 'Asia/Tokyo', true)",
        "do $$ begin set local timezone = 'Asia/Tokyo'; end $$",
        "set local timezone = 'Asia/Tokyo'",
    ];
    let text = "select extract(epoch from '2020-01-01 00:00'::timestamptz)::bigint::text";
    let mut b = place.peer().await?;
    b.ask(&[parse("s", text), sync()].concat()).await?;
    let before = b.ask(&[run("s"), sync()].concat()).await?.said();
    let mut a = place.peer().await?;
    a.run("begin").await?;
    a.run(DEEDS[n]).await?;
    a.ask(&[parse("s", text), run("s"), sync()].concat())
        .await?;
    a.run("commit").await?;
    let after = b.ask(&[run("s"), sync()].concat()).await?.said();
    same(after, before, "what it has parsed")
}

async fn is_done(place: Place, half: bool) -> Verdict {
    place
        .execute(&place.own("create table if not exists done_{k} (n int); delete from done_{k}; grant all on done_{k} to public"))
        .await;
    let mut a = place.peer().await?;
    let text = place.own("insert into done_{k} values (1)");
    a.ask(&[parse("ins", &text), sync()].concat()).await?;
    let mut other = place.stranger().await?;
    other.run("select 1").await?;
    let mut sent = [run("ins"), sync()].concat();
    if !half {
        sent.extend(terminate());
    }
    a.send(&sent).await?;
    if half {
        a.half_close().await;
        let (answer, _) = a.rest().await;
        same(
            answer.tags().contains('Z'),
            true,
            &format!("answered: {answer}"),
        )?;
    } else {
        a.rest().await;
    }
    let mut admin = place.direct().await?;
    let count = place.own("select count(*) from done_{k}");
    let deadline = std::time::Instant::now() + Duration::from_secs(5);
    while admin.said(&count).await != "1" && std::time::Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    same(&*admin.said(&count).await, "1", "rows")
}

async fn a_failed_bind(place: Place) -> Verdict {
    let mut a = place.peer().await?;
    let set = "set work_mem = '77MB'";
    a.ask(
        &[
            parse("sp", "savepoint s"),
            parse("back", "rollback to s"),
            parse("set", set),
            parse("local", "set local enable_sort = off"),
            sync(),
        ]
        .concat(),
    )
    .await?;
    a.run("begin").await?;
    a.ask(&[portal("", "set", false), portal("p", "sp", true), sync()].concat())
        .await?;
    // A parameter too many: the portal stays what it was.
    a.ask(&[run_with("local", &["x"]), sync()].concat()).await?;
    a.ask(&[portal("q", "back", true), sync()].concat()).await?;
    let execute = b"E\0\0\0\x09\0\0\0\0\0";
    a.ask(&[&execute[..], &sync()].concat()).await?;
    a.run("commit").await?;
    let mut colleague = place.peer().await?;
    same(
        &*colleague.said("show work_mem").await,
        "4MB",
        "a colleague",
    )
}

async fn temporary(place: Place, n: usize) -> Verdict {
    const WAYS: [&str; 2] = [
        "set search_path = \"$user\", pg_temp; create table odd (n int)",
        "create temp table first (); do $$ begin execute format('create table pg_temp_%s.odd (n int)', \
         substr((select nspname from pg_namespace where oid = pg_my_temp_schema()), 9)); end $$",
    ];
    let mut a = place.peer().await?;
    a.run(WAYS[n]).await?;
    let mut colleague = place.peer().await?;
    let seen = colleague.ask(&query("select count(*) from odd")).await?;
    same(seen.sqlstate().as_deref(), Some("42P01"), "a colleague")?;
    same(&*a.said("select count(*) from odd").await, "0", "its owner")
}

async fn other_columns(place: Place) -> Verdict {
    place
        .execute(&place.own("create table if not exists odd_{k} (a int); truncate odd_{k}; insert into odd_{k} values (1); grant all on odd_{k} to public"))
        .await;
    let mut a = place.peer().await?;
    let text = place.own("select a from odd_{k}");
    a.ask(&[parse("s", &text), run("s"), sync()].concat())
        .await?;
    place
        .execute(&place.own("alter table odd_{k} alter column a type float4"))
        .await;
    // Its connection is another's now, or a fresh one.
    let mut other = place.stranger().await?;
    other.run("select 1").await?;
    for _ in 0..2 {
        let answer = a.ask(&[run("s"), sync()].concat()).await?;
        same(
            answer.sqlstate().as_deref(),
            Some("0A000"),
            &format!("{answer}"),
        )?;
    }
    let again = [close("s"), parse("s", &text), run("s"), sync()].concat();
    same(&*a.ask(&again).await?.said(), "1", "parsed afresh")?;
    place
        .execute(&place.own("alter table odd_{k} alter column a type int"))
        .await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_it_happens_again() {
    let mut cases: Vec<Case> = vec![
        case("COPY twice, goodbye", |p| copies_twice(p, false)),
        case("COPY twice, ended, goodbye", |p| copies_twice(p, true)),
        case("set_config in a transaction", locally_by_call).transaction_mode(),
        case("Terminate", |p| is_done(p, false)).transaction_mode(),
        case("the write side closed", |p| is_done(p, true)).transaction_mode(),
        case("a failed Bind", a_failed_bind)
            .transaction_mode()
            .keys("pool_size = 2"),
        case("other columns", other_columns).transaction_mode(),
    ];
    for n in 0..3 {
        let two = move |p| in_two_leases(p, n);
        let leases = case(format!("in two leases, {n}"), two).transaction_mode();
        cases.push(leases.keys("pool_size = 3"));
        let meaning = case(format!("another's meaning, {n}"), move |p| {
            anothers_meaning(p, n)
        });
        cases.push(meaning.transaction_mode());
    }
    for n in 0..2 {
        let way = case(format!("temporary, {n}"), move |p| temporary(p, n));
        cases.push(way.transaction_mode().keys("pool_size = 3"));
    }
    judge(Kind {
        setup: "",
        cases,
        beside: 8,
    })
    .await;
}
