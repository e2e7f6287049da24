//! State that no command tag and no plain word of a text shows.
//!
//! Tried, each by Query and, where it is one statement, by Parse:
//! * `update pg_settings`, also by an alias, with `from`, in a CTE, in COPY;
//! * set_config written as `"set_config"`, `pg_catalog."set_config"`, with blanks
//!   and comments between the parts, as U&"…" with escapes, with named arguments,
//!   in VALUES, in a CTE, in INSERT, in COPY, in EXPLAIN ANALYZE, in a cursor, in
//!   EXECUTE of a prepared statement, by query_to_xml of a text put together;
//! * the same of a custom setting, which no list of the server's has;
//! * DO with SET, with SET of a custom setting, with set_config, with SET ROLE;
//! * FunctionCall of set_config and of pg_advisory_lock;
//! * behind 64 KiB of a text with a name: an advisory lock, a temporary table, a
//!   cursor WITH HOLD, SET, LISTEN, PREPARE, in whichever writing.
//!
//! The owner keeps it, and nobody else meets it. What is done in a function's
//! body may be lost to its owner, but nothing of it may stay for another
//! identity: settings (of the list and custom), roles, temporary tables, locks,
//! channels, statements; made in functions, procedures, triggers, DO, operators,
//! defaults, checks and views.

use super::common::raw::{parse, query, run, sync};
use super::peer::{Peer, call};
use super::world::{Case, Kind, Place, Verdict, case, judge, same};

const MEMORY: &str = "show work_mem";
const TENANT: &str = "select coalesce(current_setting('app.tenant', true), '')";
const LOCKS: &str =
    "select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()";
const TEMPORARY: &str = "select count(*) from pg_class where relnamespace = pg_my_temp_schema()";
const ROLE: &str = "select current_user";
const CHANNELS: &str = "select count(*) from pg_listening_channels()";
const PREPARED: &str = "select count(*) from pg_prepared_statements where from_sql";
const CURSORS: &str = "select count(*) from pg_cursors";

/// Ways to make state, and where it shows.
const MADE: &[(&str, &str)] = &[
    (
        "update pg_settings set setting = '77MB' where name = 'work_mem'",
        MEMORY,
    ),
    (
        "update pg_catalog.pg_settings as s set setting = '77MB' where s.name = 'work_mem'",
        MEMORY,
    ),
    (
        "update \"pg_settings\" set setting = v from (values ('77MB')) as x (v) where name = 'work_mem'",
        MEMORY,
    ),
    (
        "update/**/pg_settings set setting = 'Asia/Tokyo' where name = 'TimeZone'",
        "show timezone",
    ),
    (
        "update U&\"pg\\005fsettings\" set setting = '77MB' where name = 'work_mem'",
        MEMORY,
    ),
    ("select set_config('work_mem', '77MB', false)", MEMORY),
    ("select \"set_config\"('work_mem', '77MB', false)", MEMORY),
    (
        "select pg_catalog.\"set_config\"('work_mem', '77MB', false)",
        MEMORY,
    ),
    (
        "select \"pg_catalog\".set_config('work_mem', '77MB', false)",
        MEMORY,
    ),
    (
        "select \"pg_catalog\" . \"set_config\" ('work_mem', '77MB', false)",
        MEMORY,
    ),
    (
        "select pg_catalog./**/set_config/* a */(/* b */'work_mem', '77MB', false)",
        MEMORY,
    ),
    (
        "select U&\"set\\005fconfig\"('work_mem', '77MB', false)",
        MEMORY,
    ),
    (
        "select U&\"set!005fconfig\" uescape '!' ('work_mem', '77MB', false)",
        MEMORY,
    ),
    (
        "select u&\"\\0073et_config\"('work_mem', '77MB', false)",
        MEMORY,
    ),
    ("select set_config('work_mem', '77MB', 'false')", MEMORY),
    ("select set_config('work_mem', '77MB', 0::boolean)", MEMORY),
    ("select set_config('work_mem', '77MB', not true)", MEMORY),
    ("values (set_config('work_mem', '77MB', false))", MEMORY),
    (
        "with x as materialized (select set_config('work_mem', '77MB', false)) select 1 from x, lateral (select * from x) y",
        MEMORY,
    ),
    (
        "explain analyze select set_config('work_mem', '77MB', false)",
        MEMORY,
    ),
    (
        "insert into sink select set_config('work_mem', '77MB', false)",
        MEMORY,
    ),
    (
        "copy (select set_config('work_mem', '77MB', false)) to stdout",
        MEMORY,
    ),
    (
        "copy (select \"set_config\"('work_mem', '77MB', false)) to stdout",
        MEMORY,
    ),
    (
        "create table sink_{k} as select \"set_config\"('work_mem', '77MB', false)",
        MEMORY,
    ),
    (
        "begin; declare c cursor for select \"set_config\"('work_mem', '77MB', false); fetch all from c; commit",
        MEMORY,
    ),
    (
        "prepare p as select \"set_config\"('work_mem', '77MB', false); execute p; deallocate p",
        MEMORY,
    ),
    ("select \"set_config\"('app.tenant', 'blue', false)", TENANT),
    (
        "select pg_catalog.\"set_config\"('app' || '.tenant', 'blue', false)",
        TENANT,
    ),
    (
        "select U&\"set\\005fconfig\"('app.tenant', 'blue', false)",
        TENANT,
    ),
    (
        "select set_config(E'app\\x2etenant', 'blue', false)",
        TENANT,
    ),
    (
        "select set_config(U&'app\\002etenant', 'blue', false)",
        TENANT,
    ),
    ("select set_config($$app.tenant$$, 'blue', false)", TENANT),
    ("select set_config('app.'\n'tenant', 'blue', false)", TENANT),
    ("select set_config('APP.tenant', 'blue', false)", TENANT),
    ("set app.tenant to 'blue'", TENANT),
    ("set \"app\".\"tenant\" to 'blue'", TENANT),
    ("set U&\"app\".tenant to 'blue'", TENANT),
    ("set U&\"\\0061pp\".U&\"tenant\" to 'blue'", TENANT),
    ("set\tsession\napp.tenant = 'blue'", TENANT),
    ("begin; set app.tenant = 'blue'; commit", TENANT),
    (
        "begin; set app.tenant = 'blue'; savepoint s; set app.tenant = 'red'; rollback to s; commit",
        TENANT,
    ),
    ("do $$ begin set work_mem = '77MB'; end $$", MEMORY),
    (
        "do $$ begin perform set_config('work_mem', '77MB', false); end $$",
        MEMORY,
    ),
    (
        "do $$ begin perform \"set_config\"('work_mem', '77MB', false); end $$",
        MEMORY,
    ),
    (
        "do $$ begin update pg_settings set setting = '77MB' where name = 'work_mem'; end $$",
        MEMORY,
    ),
    ("do $$ begin set app.tenant = 'blue'; end $$", TENANT),
    (
        "do $$ begin execute 'set app' || '.tenant = ''blue'''; end $$",
        TENANT,
    ),
    (
        "do $$ begin perform set_config('app.tenant', 'blue', false); end $$",
        TENANT,
    ),
    (
        "do $$ begin perform \"set_config\"('app' || '.tenant', 'blue', false); end $$",
        TENANT,
    ),
    ("do 'begin set app.tenant = ''blue''; end'", TENANT),
    ("do $$ begin set role boss; end $$", ROLE),
    ("do $$ begin execute 'set ro' || 'le boss'; end $$", ROLE),
    ("select set_config('role', 'boss', false)", ROLE),
    ("select \"set_config\"('role', 'boss', false)", ROLE),
    ("do $$ begin perform pg_advisory_lock({k}); end $$", LOCKS),
    ("select \"pg_advisory_lock\"({k})", LOCKS),
    ("select U&\"pg\\005fadvisory_lock\"({k})", LOCKS),
    ("select pg_catalog.\"pg_try_advisory_lock\"({k})", LOCKS),
    ("do $$ begin create temp table t (n int); end $$", TEMPORARY),
    ("create table pg_temp.t (n int)", TEMPORARY),
    ("create table \"pg_temp\".t (n int)", TEMPORARY),
    ("create table U&\"pg\\005ftemp\".t (n int)", TEMPORARY),
    ("create/**/temp/**/table t (n int)", TEMPORARY),
    ("select 1 as n into temp t", TEMPORARY),
    ("create local temporary sequence t", TEMPORARY),
    ("create temp view t as select 1", TEMPORARY),
    ("select 1; create temp table t ()", TEMPORARY),
    ("do $$ begin execute 'listen x'; end $$", CHANNELS),
    (
        "do $$ begin execute 'prepare p as select 1'; end $$",
        PREPARED,
    ),
    (
        "declare c insensitive no scroll cursor with/**/hold for select 1",
        CURSORS,
    ),
    ("declare c cursor with hold for select 1", CURSORS),
];

const SETUP: &str = "
create table sink (v text);
create view settings_view as select name, setting from pg_settings;
create rule r as on update to settings_view do instead
    select set_config(old.name, new.setting, false);
create function sets(n text, v text) returns text language plpgsql as
    $$ begin perform set_config(n, v, false); return v; end $$;
create function sets_in_sql(n text, v text) returns text language sql as
    $$ select set_config(n, v, false) $$;
create procedure sets_by_call(n text, v text) language plpgsql as
    $$ begin perform set_config(n, v, false); end $$;
create procedure commits(n text, v text) language plpgsql as
    $$ begin perform set_config(n, v, false); commit; end $$;
create function becomes() returns void language plpgsql as $$ begin set role boss; end $$;
create function locks(k int) returns void language plpgsql as
    $$ begin perform pg_advisory_lock(k); end $$;
create function makes() returns void language plpgsql as
    $$ begin create temp table hidden (n int); insert into hidden values (42); end $$;
create function hears() returns void language plpgsql as $$ begin execute 'listen x'; end $$;
create function prepares() returns void language plpgsql as
    $$ begin execute 'prepare hidden as select 1'; end $$;
create function operates(text, text) returns text language plpgsql as
    $$ begin perform set_config($1, $2, false); return $2; end $$;
create operator === (leftarg = text, rightarg = text, function = operates);
create function triggered() returns trigger language plpgsql as
    $$ begin perform set_config('app.tenant', 'blue', false); return new; end $$;
create table trap (n int);
create trigger t before insert on trap for each row execute function triggered();
create table defaults (n int, v text default set_config('app.tenant', 'blue', false));
create view looks as select sets('app.tenant', 'blue') as v;
grant all on sink, trap, defaults, looks, settings_view to public;
grant create on schema public to public;
";

async fn make(peer: &mut Peer, made: &str, by_parse: bool) -> Verdict {
    let batch = match by_parse {
        true => [parse("made", made), run("made"), sync()].concat(),
        false => query(made),
    };
    let answer = peer.ask(&batch).await?;
    match answer.error() {
        Some(error) => Err(format!("cannot be made: {error}")),
        None => Ok(()),
    }
}

/// The owner has the state, on the server connection that others use in between
/// too.
async fn kept(place: Place, n: usize, by_parse: bool) -> Verdict {
    let (made, look) = MADE[n];
    let made = place.own(made);
    keeps(place, made, look, by_parse).await
}

async fn keeps(place: Place, made: String, look: &'static str, by_parse: bool) -> Verdict {
    let mut oracle = place.direct().await?;
    make(&mut oracle, &made, by_parse).await?;
    let wanted = oracle.said(look).await;
    let gone = place.own("drop table if exists sink_{k}");
    oracle.run(&gone).await?;
    oracle.leave().await;

    let mut a = place.peer().await?;
    let mut b = place.peer().await?;
    let fresh = match place.is_session() {
        true => place.direct().await?.said(look).await,
        false => b.said(look).await,
    };
    make(&mut a, &made, by_parse).await?;
    if !place.is_session() {
        same(
            b.said(look).await,
            fresh.clone(),
            "another client of its identity",
        )?;
        let mut stranger = place.stranger().await?;
        same(
            stranger.said(look).await,
            fresh.clone(),
            "a client of another identity",
        )?;
    }
    // Channels are listened on elsewhere in transaction mode.
    if look != CHANNELS || !place.is_transaction() {
        same(a.said(look).await, wanted, "its owner")?;
    }
    a.leave().await;
    same(
        place.stranger().await?.said(look).await,
        fresh,
        "a client after it",
    )
}

/// The state is made behind so much text, with a name, that nobody looks at it
/// closely.
async fn far(place: Place, n: usize) -> Verdict {
    let (made, look) = FAR[n];
    let made = place.own(made).replace("{x}", &"x".repeat(70_000));
    keeps(place, made, look, true).await
}

const FAR: &[(&str, &str)] = &[
    ("select '{x}', pg_advisory_lock({k})", LOCKS),
    ("select '{x}', pg_try_advisory_lock({k})", LOCKS),
    ("select '{x}', \"pg_advisory_lock\"({k})", LOCKS),
    ("create temp table t as select '{x}'", TEMPORARY),
    ("/* {x} */ create temp table t (n int)", TEMPORARY),
    ("create /* {x} */ temp table t (n int)", TEMPORARY),
    ("select '{x}' as n into temp t", TEMPORARY),
    ("declare c cursor /* {x} */ with hold for select 1", CURSORS),
    ("/* {x} */ declare c cursor with hold for select 1", CURSORS),
    (
        "select '{x}', set_config('work_mem', '77MB', false)",
        MEMORY,
    ),
    (
        "select '{x}', \"set_config\"('work_mem', '77MB', false)",
        MEMORY,
    ),
    (
        "select '{x}', U&\"set\\005fconfig\"('app.tenant', 'blue', false)",
        TENANT,
    ),
    (
        "update pg_settings set setting = '77MB' where name = 'work_mem' and '{x}' <> ''",
        MEMORY,
    ),
    (
        "/* {x} */ update pg_settings set setting = '77MB' where name = 'work_mem'",
        MEMORY,
    ),
    ("/* {x} */ set app.tenant = 'blue'", TENANT),
    ("set /* {x} */ app.tenant = 'blue'", TENANT),
    ("/* {x} */ set role boss", ROLE),
    ("/* {x} */ listen x", CHANNELS),
    ("/* {x} */ prepare p as select 1", PREPARED),
    (
        "do $$ begin /* {x} */ set app.tenant = 'blue'; end $$",
        TENANT,
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn its_owner_keeps_it_and_nobody_else_meets_it() {
    let mut cases: Vec<Case> = Vec::new();
    for (n, (made, _)) in MADE.iter().enumerate() {
        for by_parse in [false, true] {
            let several = made.contains("; ") && !made.starts_with("do");
            if by_parse && several {
                continue;
            }
            let name = format!("{made}{}", if by_parse { " (by Parse)" } else { "" });
            // What keeps its client on a connection leaves others to the rest;
            // nobody opens one while another is free.
            cases.push(case(name, move |place| kept(place, n, by_parse)).keys("pool_size = 3"));
        }
    }
    judge(Kind {
        setup: SETUP,
        cases,
        beside: 8,
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_long_text_as_well() {
    let far = |n: usize| case(FAR[n].0, move |place| far(place, n)).keys("pool_size = 3");
    judge(Kind {
        setup: SETUP,
        cases: (0..FAR.len()).map(far).collect(),
        beside: 8,
    })
    .await;
}

/// OIDs of pg_proc that do not change: set_config, pg_advisory_lock(bigint).
const CALLS: &[(&str, u32, &[&str], &str)] = &[
    ("set_config", 2078, &["work_mem", "77MB", "false"], MEMORY),
    (
        "set_config, custom",
        2078,
        &["app.tenant", "blue", "false"],
        TENANT,
    ),
    ("set_config, role", 2078, &["role", "boss", "false"], ROLE),
    ("pg_advisory_lock", 2880, &["{k}"], LOCKS),
];

async fn called(place: Place, n: usize) -> Verdict {
    let (_, oid, arguments, look) = CALLS[n];
    let arguments: Vec<String> = arguments.iter().map(|a| place.own(a)).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut oracle = place.direct().await?;
    let answer = oracle.ask(&call(oid, &arguments)).await?;
    same(answer.error(), None, "FunctionCall at Postgres")?;
    let wanted = oracle.said(look).await;
    oracle.leave().await;
    let fresh = place.direct().await?.said(look).await;
    let mut a = place.peer().await?;
    let answer = a.ask(&call(oid, &arguments)).await?;
    same(answer.error(), None, "FunctionCall")?;
    if !place.is_session() {
        same(
            place.peer().await?.said(look).await,
            fresh.clone(),
            "another client",
        )?;
    }
    same(a.said(look).await, wanted, "its owner")?;
    a.leave().await;
    same(
        place.stranger().await?.said(look).await,
        fresh,
        "a client after it",
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_call_is_noticed() {
    judge(Kind {
        setup: SETUP,
        cases: (0..CALLS.len())
            .map(|n| case(CALLS[n].0, move |place| called(place, n)).keys("pool_size = 3"))
            .collect(),
        beside: 4,
    })
    .await;
}

/// State that only shows when the statement runs.
const WITHIN: &[(&str, &str)] = &[
    ("select sets('work_mem', '77MB')", MEMORY),
    ("select sets('app.tenant', 'blue')", TENANT),
    ("select sets('role', 'boss')", ROLE),
    ("select sets_in_sql('work_mem', '77MB')", MEMORY),
    ("select sets_in_sql('app.tenant', 'blue')", TENANT),
    ("call sets_by_call('app.tenant', 'blue')", TENANT),
    ("call commits('app.tenant', 'blue')", TENANT),
    ("call commits('work_mem', '77MB')", MEMORY),
    ("select 'app.tenant'::text === 'blue'::text", TENANT),
    ("insert into trap values (1)", TENANT),
    ("insert into defaults (n) values (1)", TENANT),
    ("select v from looks", TENANT),
    (
        "update settings_view set setting = '77MB' where name = 'work_mem'",
        MEMORY,
    ),
    ("select becomes()", ROLE),
    ("select locks({k})", LOCKS),
    ("select makes()", TEMPORARY),
    (
        "select makes()",
        "select coalesce(to_regclass('hidden')::text, 'none')",
    ),
    ("select hears()", CHANNELS),
    ("select prepares()", PREPARED),
    (
        "do $$ begin perform sets('app.tenant', 'blue'); end $$",
        TENANT,
    ),
    ("do $$ begin perform makes(); end $$", TEMPORARY),
    ("begin; select makes(); commit", TEMPORARY),
    ("begin; select locks({k}); rollback", LOCKS),
    ("select setseed(0.5), sets('app.tenant', 'blue')", TENANT),
];

/// No state stays for another identity.
async fn stays(place: Place, n: usize, by_parse: bool, leaves: bool) -> Verdict {
    let (made, look) = WITHIN[n];
    let made = &place.own(made);
    let mut bob = place.stranger().await?;
    let fresh = bob.said(look).await;
    let mut alice = match place.is_session() {
        true => {
            bob.leave().await;
            place.peer().await?
        }
        false => place.peer().await?,
    };
    make(&mut alice, made, by_parse).await?;
    let alice = match leaves || place.is_session() {
        true => {
            alice.leave().await;
            None
        }
        false => Some(alice),
    };
    for _ in 0..2 {
        let mut bob = place.stranger().await?;
        same(
            bob.said(look).await,
            fresh.clone(),
            "a client of another identity",
        )?;
        bob.leave().await;
    }
    drop(alice);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_stays_for_another_identity() {
    let mut cases: Vec<Case> = Vec::new();
    for (n, (made, look)) in WITHIN.iter().enumerate() {
        for (by_parse, leaves) in [(false, true), (true, false)] {
            if by_parse && made.starts_with("begin") {
                continue;
            }
            let how = if by_parse {
                "by Parse, stays"
            } else {
                "leaves"
            };
            let name = format!("{made} ({how}), {look}");
            let one = case(name, move |place| stays(place, n, by_parse, leaves));
            // One that stays may keep its connection.
            cases.push(if leaves {
                one
            } else {
                one.keys("pool_size = 2").transaction_mode()
            });
        }
    }
    judge(Kind {
        setup: SETUP,
        cases,
        beside: 8,
    })
    .await;
}
