//! A text means what it means when it is parsed, not when somebody first did.
//!
//! While one client keeps a statement with a name, the schema changes: through
//! the pool, and past it. A new client that parses the same text, and the old
//! one when it closes and parses it again, see the new meaning. Tried:
//! * a column whose type changes: types of parameters, of results, values;
//! * a column that is added, dropped, renamed;
//! * an enum that is dropped and made again; a domain; a composite type;
//! * a function that is replaced, dropped and made again with other types;
//! * a view that is replaced, and dropped and made again;
//! * a table that is dropped and made again, or hidden by another one in front
//!   of it in the search path, or renamed;
//! * an operator, a cast, a sequence, a collation that is dropped and made again.
//!
//! The owner that goes on using its statement gets what Postgres gives it, at
//! the worst an error that is over when it parses anew.

use super::common::raw::{close, parse, sync};
use super::peer::{Peer, describe, run_with};
use super::world::{Case, Kind, Place, Verdict, case, judge, same};

struct Change {
    name: &'static str,
    /// `{s}` is a schema of the case's own.
    before: &'static str,
    sql: &'static str,
    parameters: &'static [&'static str],
    then: &'static str,
    /// Values that suit the new meaning, where those of before do not.
    after: &'static [&'static str],
}

const fn change(
    name: &'static str,
    before: &'static str,
    sql: &'static str,
    then: &'static str,
) -> Change {
    Change {
        name,
        before,
        sql,
        parameters: &[],
        then,
        after: &[],
    }
}

const fn with(
    mut change: Change,
    before: &'static [&'static str],
    after: &'static [&'static str],
) -> Change {
    change.parameters = before;
    change.after = after;
    change
}

const CHANGES: &[Change] = &[
    with(
        change(
            "type of a column, insert",
            "create table {s}.t (c integer)",
            "insert into {s}.t (c) values ($1) returning c",
            "alter table {s}.t alter column c type text",
        ),
        &["1"],
        &["x"],
    ),
    with(
        change(
            "type of a column, update",
            "create table {s}.t (c integer); insert into {s}.t values (1)",
            "update {s}.t set c = $1 returning c",
            "alter table {s}.t alter column c type text",
        ),
        &["1"],
        &["x"],
    ),
    with(
        change(
            "type of a column, where",
            "create table {s}.t (c integer)",
            "select count(*) from {s}.t where c = $1",
            "alter table {s}.t alter column c type text",
        ),
        &["1"],
        &["x"],
    ),
    change(
        "type of a column, select",
        "create table {s}.t as select 1 as c",
        "select c from {s}.t",
        "alter table {s}.t alter column c type text",
    ),
    change(
        "column added",
        "create table {s}.t as select 1 as c",
        "select * from {s}.t",
        "alter table {s}.t add column d text default 'd'",
    ),
    change(
        "column dropped",
        "create table {s}.t as select 1 as c, 2 as d",
        "select * from {s}.t",
        "alter table {s}.t drop column c",
    ),
    change(
        "column renamed",
        "create table {s}.t as select 1 as c, 2 as d",
        "select c from {s}.t",
        "alter table {s}.t rename column c to e; alter table {s}.t rename column d to c",
    ),
    change(
        "enum",
        "create type {s}.mood as enum ('sad', 'ok')",
        "select 'ok'::{s}.mood",
        "drop type {s}.mood; create type {s}.mood as enum ('ok', 'sad')",
    ),
    with(
        change(
            "enum as a parameter",
            "create type {s}.mood as enum ('sad', 'ok')",
            "select $1::{s}.mood",
            "drop type {s}.mood; create type {s}.mood as enum ('ok', 'fine')",
        ),
        &["ok"],
        &["fine"],
    ),
    with(
        change(
            "domain as a parameter",
            "create domain {s}.d as int",
            "select $1::{s}.d",
            "drop domain {s}.d; create domain {s}.d as text",
        ),
        &["1"],
        &["x"],
    ),
    change(
        "composite type",
        "create type {s}.pair as (a int, b int)",
        "select (row(1, 2)::{s}.pair).a",
        "drop type {s}.pair; create type {s}.pair as (b int, a text)",
    ),
    change(
        "function replaced",
        "create function {s}.f() returns text language sql as $$ select 'old' $$",
        "select {s}.f()",
        "create or replace function {s}.f() returns text language sql as $$ select 'new' $$",
    ),
    change(
        "immutable function replaced",
        "create function {s}.f() returns text immutable language plpgsql as $$ begin return 'old'; end $$",
        "select {s}.f()",
        "create or replace function {s}.f() returns text immutable language plpgsql as $$ begin return 'new'; end $$",
    ),
    change(
        "function of another type",
        "create function {s}.f() returns text language sql as $$ select 'old' $$",
        "select {s}.f()",
        "drop function {s}.f(); create function {s}.f() returns int language sql as $$ select 2 $$",
    ),
    with(
        change(
            "function of another parameter",
            "create function {s}.f(int) returns text language sql as $$ select 'int' $$",
            "select {s}.f($1)",
            "drop function {s}.f(int); create function {s}.f(text) returns text language sql as $$ select 'text' $$",
        ),
        &["1"],
        &["x"],
    ),
    with(
        change(
            "a better function",
            "create function {s}.f(bigint) returns text language sql as $$ select 'bigint' $$",
            "select {s}.f(1)",
            "create function {s}.f(int) returns text language sql as $$ select 'int' $$",
        ),
        &[],
        &[],
    ),
    change(
        "view replaced",
        "create view {s}.v as select 1 as c",
        "select c from {s}.v",
        "create or replace view {s}.v as select 2 as c",
    ),
    change(
        "view of other types",
        "create view {s}.v as select 1 as c",
        "select c from {s}.v",
        "drop view {s}.v; create view {s}.v as select 'two'::text as c",
    ),
    change(
        "table made again",
        "create table {s}.t as select 1 as c",
        "select c from {s}.t",
        "drop table {s}.t; create table {s}.t as select 2 as c",
    ),
    change(
        "table made again with other types",
        "create table {s}.t as select 1 as c",
        "select * from {s}.t",
        "drop table {s}.t; create table {s}.t as select 'two'::text as c, 3 as d",
    ),
    with(
        change(
            "table made again, insert",
            "create table {s}.t (c int)",
            "insert into {s}.t (c) values ($1) returning c",
            "drop table {s}.t; create table {s}.t (c text)",
        ),
        &["1"],
        &["x"],
    ),
    with(
        change(
            "table renamed",
            "create table {s}.t (c int)",
            "insert into {s}.t (c) values ($1) returning c",
            "alter table {s}.t rename to u; create table {s}.t (c text)",
        ),
        &["1"],
        &["x"],
    ),
    with(
        change(
            "table that became a view",
            "create table {s}.t (c int)",
            "select $1 = c from {s}.t",
            "drop table {s}.t; create view {s}.t as select 'x'::text as c",
        ),
        &["1"],
        &["x"],
    ),
    change(
        "table hidden by another",
        "create table {s}_b.t as select 'back' as c",
        "select c from t",
        "create table {s}.t as select 1 as c",
    ),
    change(
        "operator",
        "create function {s}.minus(text, text) returns text language sql as $$ select 'old' $$;
        create operator {s}.- (leftarg = text, rightarg = text, function = {s}.minus)",
        "select 'a'::text operator({s}.-) 'b'::text",
        "drop operator {s}.- (text, text);
        create function {s}.other(text, text) returns int language sql as $$ select 2 $$;
        create operator {s}.- (leftarg = text, rightarg = text, function = {s}.other)",
    ),
    change(
        "cast",
        "create type {s}.pair as (a int);
        create function {s}.f({s}.pair) returns text language sql immutable as $$ select 'old' $$;
        create cast ({s}.pair as text) with function {s}.f({s}.pair)",
        "select row(1)::{s}.pair::text",
        "drop cast ({s}.pair as text);
        create function {s}.g({s}.pair) returns text language sql immutable as $$ select 'new' $$;
        create cast ({s}.pair as text) with function {s}.g({s}.pair)",
    ),
    change(
        "sequence",
        "create sequence {s}.q",
        "select nextval('{s}.q')",
        "drop sequence {s}.q; create sequence {s}.q start 100",
    ),
    change(
        "regclass",
        "create table {s}.t ()",
        "select '{s}.t'::regclass::oid = (select oid from pg_class where relname = 't' and relnamespace = '{s}'::regnamespace)",
        "drop table {s}.t; create table {s}.t ()",
    ),
    change(
        "text search configuration",
        "create text search configuration {s}.c (copy = simple)",
        "select to_tsvector('{s}.c', 'the cats')",
        "drop text search configuration {s}.c; create text search configuration {s}.c (copy = english)",
    ),
];

async fn whole(peer: &mut Peer, sql: &str, parameters: &[&str]) -> Result<String, String> {
    whole_of(peer, "mine", sql, parameters).await
}

async fn whole_of(
    peer: &mut Peer,
    name: &str,
    sql: &str,
    parameters: &[&str],
) -> Result<String, String> {
    let batch = [
        parse(name, sql),
        describe(name),
        run_with(name, parameters),
        sync(),
    ];
    let answer = peer.ask(&batch.concat()).await?;
    let types = answer.0.iter().find(|(tag, _)| *tag == b'T');
    let types = types.map(|(_, body)| body.clone());
    let (types, said) = (described(types.unwrap_or_default()), answer.said());
    Ok(format!(
        "takes {:?}, gives {types:?}: {said}",
        answer.parameter_types()
    ))
}

/// The names and types of columns; OIDs of what is made anew differ by mode, so
/// only those that every Postgres has.
fn described(body: Vec<u8>) -> Vec<String> {
    let mut columns = Vec::new();
    let mut rest = body.get(2..).unwrap_or_default();
    while let Some(end) = rest.iter().position(|b| *b == 0) {
        let name = String::from_utf8_lossy(&rest[..end]).into_owned();
        let Some(fixed) = rest.get(end + 1..end + 19) else {
            break;
        };
        let oid = u32::from_be_bytes([fixed[6], fixed[7], fixed[8], fixed[9]]);
        columns.push(format!("{name} {oid}"));
        rest = &rest[end + 19..];
    }
    columns
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Way {
    /// Acts of a client of the pool.
    Through,
    /// Acts of somebody who is no client of it.
    Past,
}

async fn changes(place: Place, n: usize, way: Way) -> Verdict {
    let change = &CHANGES[n];
    let schema = format!("{}_{way:?}", place.id()).to_lowercase();
    let own = |sql: &str| sql.replace("{s}", &schema);
    place
        .execute(&format!(
            "drop schema if exists {schema}, {schema}_b cascade;
             create schema {schema} authorization app_user; create schema {schema}_b authorization app_user"
        ))
        .await;
    let mut direct = place.direct().await?;
    direct.run(&own(change.before)).await?;
    let path = format!("set search_path = {schema}, {schema}_b");
    let sql = own(change.sql);
    let after = match change.after {
        [] => change.parameters,
        after => after,
    };

    let mut owner = place.peer().await?;
    owner.run(&path).await?;
    let first = whole(&mut owner, &sql, change.parameters).await?;
    if first.contains("ERROR") {
        return Err(format!("before the change: {first}"));
    }
    match way {
        Way::Past => direct.run(&own(change.then)).await?,
        Way::Through => {
            let mut other = place.peer().await?;
            other.run(&own(change.then)).await?;
            other.leave().await;
        }
    }
    let mut oracle = place.direct().await?;
    oracle.run(&path).await?;
    let wanted = whole(&mut oracle, &sql, after).await?;
    let wanted = match change.name {
        "sequence" => wanted.replace("100", "101"),
        _ => wanted,
    };
    if wanted.contains("ERROR") {
        return Err(format!("after the change, at Postgres: {wanted}"));
    }
    let mut new = place.peer().await?;
    new.run(&path).await?;
    same(
        whole(&mut new, &sql, after).await?,
        wanted.clone(),
        "a new client",
    )?;
    if change.name == "sequence" {
        return Ok(());
    }
    // Whatever the owner is told first.
    let _ = owner
        .ask(&[run_with("mine", change.parameters), sync()].concat())
        .await?;
    owner.ask(&[close("mine"), sync()].concat()).await?;
    same(
        whole(&mut owner, &sql, after).await?,
        wanted.clone(),
        "its owner, parsed anew",
    )?;
    let mut third = place.peer().await?;
    third.run(&path).await?;
    same(
        whole(&mut third, &sql, after).await?,
        wanted,
        "a third client",
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_client_gets_the_new_meaning() {
    let mut cases: Vec<Case> = Vec::new();
    for (n, change) in CHANGES.iter().enumerate() {
        for way in [Way::Through, Way::Past] {
            let name = format!("{}, {way:?}", change.name);
            cases.push(case(name, move |place| changes(place, n, way)).transaction_mode());
        }
    }
    judge(Kind {
        setup: "",
        cases,
        beside: 8,
    })
    .await;
}

/// With `reuse_plans`, a change of one of these past the pool shows only when pgvalet or the
/// server connection forgets the plan (docs/PERFORMANCE.md): Postgres keeps the types of
/// parameters, and what a name stood for.
const KEPT_PAST: &[&str] = &[
    "a better function",
    "table hidden by another",
    "text search configuration",
    "composite type",
];

/// The same text, parsed without a name again and again, before and after the change.
async fn reused(place: Place, n: usize, way: Way) -> Verdict {
    let change = &CHANGES[n];
    let schema = format!("{}_{way:?}", place.id()).to_lowercase();
    let own = |sql: &str| sql.replace("{s}", &schema);
    place
        .execute(&format!(
            "create schema {schema} authorization app_user; create schema {schema}_b authorization app_user"
        ))
        .await;
    let mut direct = place.direct().await?;
    direct.run(&own(change.before)).await?;
    let path = format!("set search_path = {schema}, {schema}_b");
    let sql = own(change.sql);
    let after = match change.after {
        [] => change.parameters,
        after => after,
    };
    let mut client = place.peer().await?;
    client.run(&path).await?;
    for _ in 0..4 {
        let seen = whole_of(&mut client, "", &sql, change.parameters).await?;
        if seen.contains("ERROR") {
            return Err(format!("before the change: {seen}"));
        }
    }
    // More than one, where a case beside this one has changed something.
    let planned = "select count(*) > 0 from pg_prepared_statements where name like 'pgvalet%'";
    same(client.said(planned).await, "t".to_owned(), "plans are kept")?;
    match way {
        Way::Past => direct.run(&own(change.then)).await?,
        Way::Through => {
            let mut other = place.peer().await?;
            other.run(&own(change.then)).await?;
            other.leave().await;
        }
    }
    let mut oracle = place.direct().await?;
    oracle.run(&path).await?;
    let wanted = whole(&mut oracle, &sql, after).await?;
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(whole_of(&mut client, "", &sql, after).await?);
    }
    if change.name == "sequence" {
        return Ok(()); // each call gives another value
    }
    match way == Way::Past && KEPT_PAST.contains(&change.name) {
        true => Ok(()),
        false => same(seen, vec![wanted; 3], "the text again"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_is_used_again_has_the_new_meaning() {
    let mut cases: Vec<Case> = Vec::new();
    for (n, change) in CHANGES.iter().enumerate() {
        for way in [Way::Through, Way::Past] {
            let name = format!("{}, {way:?}", change.name);
            let case = case(name, move |place| reused(place, n, way));
            cases.push(
                case.pooled_by_transaction()
                    .keys("pool_size = 1\nreuse_plans = true"),
            );
        }
    }
    judge(Kind {
        setup: "",
        cases,
        beside: 8,
    })
    .await;
}
