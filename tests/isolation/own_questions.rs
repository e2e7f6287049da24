//! Queries of pgvalet's own do not run under a client's settings.
//!
//! Tried:
//! * a schema in front of pg_catalog in the search path, with operators that lie
//!   (always true, always false), that fail, that take for ever and that write
//!   down that they were called: `=`, `<>`, `||` on text, name, oid, integer, char;
//!   with types called text, oid, name, regclass; with functions and views of the
//!   catalogue's names; brought at start-up, and set; before the first question
//!   of a session, and after;
//! * timeouts of a client: statement_timeout, lock_timeout,
//!   idle_in_transaction_session_timeout, idle_session_timeout,
//!   transaction_timeout (17): neither the client's own connection is lost by
//!   them, nor anything of another client's;
//! * every setting that makes an answer look otherwise, or come otherwise:
//!   client_encoding, DateStyle, bytea_output, quote_all_identifiers,
//!   standard_conforming_strings, client_min_messages, default_transaction_*,
//!   row_security, array_nulls, transform_null_equals, plan_cache_mode …
//! * RESET, which leads back to what a client brought by a question of pgvalet's.

use std::time::Duration;

use super::common::raw::query;
use super::world::{Case, Kind, Place, Verdict, case, judge, same};

/// The value of a setting that was set and is set no more is empty.
const TENANT: &str = "select coalesce(pg_catalog.current_setting('app.tenant', true), '')";

const SETUP: &str = "
create table calls (what text); grant all on calls to public;
create schema elsewhere;
";

/// Objects in the schema `{s}`, whose types are spelt out.
const EVIL: &[(&str, &str)] = &[
    ("text = false", "create function {s}.f(text, text) returns boolean language sql as 'select false';
        create operator {s}.= (leftarg = text, rightarg = text, function = {s}.f)"),
    ("text = true", "create function {s}.f(text, text) returns boolean language sql as 'select true';
        create operator {s}.= (leftarg = text, rightarg = text, function = {s}.f)"),
    ("text = null", "create function {s}.f(text, text) returns boolean language sql as 'select null::boolean';
        create operator {s}.= (leftarg = text, rightarg = text, function = {s}.f)"),
    ("text = fails", "create function {s}.f(text, text) returns boolean language plpgsql as
        'begin raise exception ''evil''; end';
        create operator {s}.= (leftarg = text, rightarg = text, function = {s}.f)"),
    ("text = writes it down", "create function {s}.f(text, text) returns boolean language sql as
        'insert into public.calls values (''{s}'') returning true';
        create operator {s}.= (leftarg = text, rightarg = text, function = {s}.f)"),
    ("text <> true", "create function {s}.f(text, text) returns boolean language sql as 'select true';
        create operator {s}.<> (leftarg = text, rightarg = text, function = {s}.f)"),
    ("text = for ever", "create function {s}.f(text, text) returns boolean language sql as
        'select true from pg_catalog.pg_sleep(600)';
        create operator {s}.= (leftarg = text, rightarg = text, function = {s}.f)"),
    ("name = false", "create function {s}.f(name, text) returns boolean language sql as 'select false';
        create operator {s}.= (leftarg = name, rightarg = text, function = {s}.f)"),
    ("oid = false", "create function {s}.f(oid, oid) returns boolean language sql as 'select false';
        create operator {s}.= (leftarg = oid, rightarg = oid, function = {s}.f)"),
    ("integer = false", "create function {s}.f(int, int) returns boolean language sql as 'select false';
        create operator {s}.= (leftarg = int, rightarg = int, function = {s}.f)"),
    ("oid = regclass", "create function {s}.f(oid, regclass) returns boolean language sql as 'select false';
        create operator {s}.= (leftarg = oid, rightarg = regclass, function = {s}.f)"),
    ("type text", "create type {s}.text as (a int)"),
    ("type regclass", "create domain {s}.regclass as int"),
    ("type name", "create domain {s}.name as int"),
    ("view pg_settings", "create view {s}.pg_settings as select 'x'::pg_catalog.text as name, 'x'::pg_catalog.text as setting,
        'default'::pg_catalog.text as source"),
    ("function current_setting", "create function {s}.current_setting(text, boolean) returns text language sql as 'select null::text'"),
    ("function session_user", "create function {s}.\"session_user\"() returns name language sql as 'select ''evil''::name'"),
];

/// State that is made behind them, where it shows, and as what to its owner.
const MADE: &[(&str, &str, &str)] = &[
    ("set app.tenant = 'blue'", TENANT, "blue"),
    (
        "set role boss",
        "select current_user::pg_catalog.text",
        "boss",
    ),
    (
        "select pg_catalog.pg_advisory_lock({k})",
        "select pg_catalog.count(*) from pg_catalog.pg_locks \
        where locktype operator(pg_catalog.=) 'advisory' and pid operator(pg_catalog.=) pg_catalog.pg_backend_pid()",
        "1",
    ),
    ("set work_mem = '77MB'", "show work_mem", "77MB"),
];

/// Makes a schema of the case's own with an evil object in it; its name.
async fn evil_schema(place: &Place, evil: &str) -> Result<String, String> {
    let schema = format!("evil_{}", place.id());
    let create = format!(
        "create schema {schema} authorization app_user; grant all on schema {schema} to public"
    );
    place.execute(&create).await;
    let mut owner = place.direct().await?;
    owner.run(&evil.replace("{s}", &schema)).await?;
    Ok(schema)
}

async fn evil(place: Place, n: usize, made: usize, brought: bool) -> Verdict {
    let (name, evil) = EVIL[n];
    let schema = evil_schema(&place, evil).await?;
    let (made, look, wanted) = MADE[made];
    let path = format!("{schema}, pg_catalog");
    let fresh = {
        let mut first = place.peer().await?;
        let fresh = first.said(look).await;
        first.leave().await;
        fresh
    };
    let mut a = match brought {
        true => place.peer_with(&[("search_path", &path)]).await?,
        false => place.peer().await?,
    };
    if !brought {
        a.run(&format!("set search_path = {path}")).await?;
    }
    a.run(&place.own(made)).await?;
    if !place.is_session() {
        let mut b = place.peer().await?;
        same(b.said(look).await, fresh.clone(), "another client")?;
        same(
            &*b.said("show search_path").await,
            "\"$user\", public",
            "another client's search path",
        )?;
        b.leave().await;
    }
    same(&*a.said(look).await, wanted, "its owner")?;
    same(
        a.said("show search_path").await,
        path,
        "its owner's search path",
    )?;
    a.leave().await;
    let mut next = place.stranger().await?;
    same(next.said(look).await, fresh, "a client after it")?;
    same(
        &*next.said("show search_path").await,
        "\"$user\", public",
        "the search path after it",
    )?;
    if name.contains("writes") {
        let calls = format!("select count(*) from calls where what = '{schema}'");
        same(
            &*next.said(&calls).await,
            "0",
            "calls of the client's operator by pgvalet",
        )?;
    }
    Ok(())
}

/// A client has what it brought at start-up again after RESET.
async fn resets(place: Place, n: usize) -> Verdict {
    let (_, evil) = EVIL[n];
    let schema = evil_schema(&place, evil).await?;
    let path = format!("{schema}, pg_catalog");
    let brought = [
        ("search_path", &*path),
        ("work_mem", "7MB"),
        ("app.tenant", "mine"),
    ];
    let mut a = place.peer_with(&brought).await?;
    for reset in [
        "reset work_mem; select 1",
        "reset app.tenant; select 1",
        "reset all",
        "begin; reset all; commit",
    ] {
        a.run("set work_mem = '9MB'; set app.tenant = 'other'")
            .await?;
        a.run(reset).await?;
        let wanted = |all: &str, one: bool, other: &str| match one || reset.contains("all") {
            true => all.to_owned(),
            false => other.to_owned(),
        };
        same(
            a.said("show work_mem").await,
            wanted("7MB", reset.contains("work_mem"), "9MB"),
            reset,
        )?;
        same(
            a.said(TENANT).await,
            wanted("mine", reset.contains("tenant"), "other"),
            reset,
        )?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_path_answers_for_nobody() {
    let mut cases: Vec<Case> = Vec::new();
    for (n, (name, _)) in EVIL.iter().enumerate() {
        for brought in [false, true] {
            let made = (2 * n + usize::from(brought)) % MADE.len();
            let how = if brought { "brought" } else { "set" };
            let name = format!("{name}, {how}, {}", MADE[made].0);
            let one = case(name, move |place| evil(place, n, made, brought));
            cases.push(one.keys("pool_size = 3"));
        }
        cases.push(case(format!("{name}, RESET"), move |place| {
            resets(place, n)
        }));
    }
    judge(Kind {
        setup: SETUP,
        cases,
        beside: 6,
    })
    .await;
}

/// Timeouts that are over before anything is asked, and what another does meanwhile.
const TIMEOUTS: &[(&str, &str)] = &[
    ("statement_timeout", "select pg_sleep(0.3), 'b'"),
    ("lock_timeout", "select pg_sleep(0.3), 'b'"),
    ("idle_in_transaction_session_timeout", "begin"),
    ("idle_session_timeout", "select pg_sleep(0.3), 'b'"),
    ("transaction_timeout", "begin"),
];

async fn times_out(place: Place, n: usize, limit: &'static str) -> Verdict {
    let (timeout, work) = TIMEOUTS[n];
    let set = format!("set {timeout} = {limit}");
    // What an older server does not know.
    if place.direct().await?.run(&set).await.is_err() {
        return Ok(());
    }
    let mut b = place.peer().await?;
    for _ in 0..5 {
        let mut a = place.peer().await?;
        // At a millisecond Postgres itself may end this statement, or the connection.
        let _ = a.ask(&query(&set)).await;
        if place.is_session() {
            a.leave().await;
        }
        tokio::time::sleep(Duration::from_millis(150)).await;
        let seen = b.said(work).await;
        let wanted = if work == "begin" { "" } else { ",b" };
        same(&*seen, wanted, "what another asked")?;
        if work == "begin" {
            tokio::time::sleep(Duration::from_millis(150)).await;
            same(&*b.said("select 'b'").await, "b", "in its transaction")?;
            b.run("commit").await?;
        }
        same(
            &*b.said(&format!("show {timeout}")).await,
            "0",
            "another's timeout",
        )?;
        if place.is_session() {
            b.leave().await;
            b = place.peer().await?;
        }
    }
    Ok(())
}

/// The owner's connection is not lost by what pgvalet asks on it.
async fn survives(place: Place, n: usize) -> Verdict {
    let (timeout, _) = TIMEOUTS[n];
    let set = format!("set {timeout} = 1");
    if place.direct().await?.run(&set).await.is_err() {
        return Ok(());
    }
    // transaction_timeout ends the connection, and on a busy machine Postgres ends one whose
    // own statement took a millisecond. Questions of pgvalet's would end every connection.
    let attempts = match timeout {
        "transaction_timeout" => 10,
        _ => 1,
    };
    let mut seen = Ok(());
    for _ in 0..attempts {
        seen = outlives(&place, timeout, &set).await;
        if seen.is_ok() {
            break;
        }
    }
    seen
}

async fn outlives(place: &Place, timeout: &str, set: &str) -> Verdict {
    let mut a = place.peer().await?;
    for n in 0..30 {
        // Each may be too slow by itself; that is an error, and no more. What
        // makes pgvalet ask stands in the same transaction.
        a.ask(&query(&format!("{set}; set app.tenant = '{n}'")))
            .await?;
        a.ask(&query("select 1")).await?;
        a.ask(&query(&format!("set app.tenant = '{n}'; reset {timeout}")))
            .await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clients_timeouts_end_nothing_else() {
    let mut cases: Vec<Case> = Vec::new();
    for (n, (timeout, _)) in TIMEOUTS.iter().enumerate() {
        for limit in ["1", "'50ms'"] {
            let name = format!("{timeout} = {limit}");
            cases.push(case(name, move |place| times_out(place, n, limit)));
        }
        // It ends idle sessions, and this is what it is for.
        if *timeout != "idle_session_timeout" {
            cases.push(case(format!("{timeout}, its owner"), move |place| {
                survives(place, n)
            }));
        }
    }
    judge(Kind {
        setup: SETUP,
        cases,
        beside: 4,
    })
    .await;
}

const SETTINGS: &[&str] = &[
    "client_encoding = 'LATIN1'",
    "client_encoding = 'SJIS'",
    "client_encoding = 'WIN1252'",
    "datestyle = 'SQL, DMY'",
    "bytea_output = 'escape'",
    "quote_all_identifiers = on",
    "standard_conforming_strings = off",
    "backslash_quote = off",
    "escape_string_warning = on",
    "client_min_messages = debug5",
    "client_min_messages = error",
    "default_transaction_read_only = on",
    "default_transaction_isolation = serializable",
    "default_transaction_deferrable = on",
    "row_security = off",
    "array_nulls = off",
    "transform_null_equals = on",
    "plan_cache_mode = force_generic_plan",
    "extra_float_digits = -15",
    "intervalstyle = 'iso_8601'",
    "timezone = 'Asia/Kathmandu'",
    "xmloption = document",
    "work_mem = '64kB'",
    "enable_seqscan = off",
    "enable_hashjoin = off",
    "check_function_bodies = off",
    "search_path = ''",
    "search_path = pg_temp",
    "search_path = 'a b, c'",
    "default_tablespace = ''",
    "max_stack_depth = '100kB'",
    "log_min_messages = debug5",
    "constraint_exclusion = on",
    "statement_timeout = '9s'",
    "lock_timeout = '9s'",
    "jit = on",
    "geqo = off",
    "from_collapse_limit = 1",
    "cursor_tuple_fraction = 0.5",
    "session authorization app_user",
];

async fn set(place: Place, n: usize) -> Verdict {
    let setting = SETTINGS[n];
    // What only a superuser may set, or this server does not know.
    if place
        .direct()
        .await?
        .run(&format!("set {setting}"))
        .await
        .is_err()
    {
        return Ok(());
    }
    let mut a = place.peer().await?;
    a.run(&format!("set {setting}")).await?;
    a.run("set app.tenant = 'blue'").await?;
    if !place.is_session() {
        same(
            &*place.peer().await?.said(TENANT).await,
            "",
            "another client",
        )?;
    }
    same(&*a.said(TENANT).await, "blue", "its owner")?;
    a.run("select pg_catalog.pg_advisory_lock_shared(1)")
        .await?;
    a.run("select pg_catalog.pg_advisory_unlock_shared(1)")
        .await?;
    same(&*a.said(TENANT).await, "blue", "its owner, later")?;
    a.leave().await;
    same(
        &*place.stranger().await?.said(TENANT).await,
        "",
        "a client after it",
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn no_setting_changes_what_is_understood() {
    let cases = (0..SETTINGS.len())
        .map(|n| case(SETTINGS[n], move |place| set(place, n)).keys("pool_size = 2"));
    judge(Kind {
        setup: SETUP,
        cases: cases.collect(),
        beside: 8,
    })
    .await;
}
