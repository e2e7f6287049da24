//! A SET that lasts, behind something that looks like one that does not.
//!
//! Whether the server is asked what was set must not depend on how many texts
//! looked like SET LOCAL before. Tried in front of the SET, by Query and by
//! Parse, Bind, Execute:
//! * `set constraints`, whose command tag is another;
//! * `set local` that fails, behind a savepoint; that fails at Parse; in a
//!   transaction that has failed; behind an error in its batch;
//! * `set local` that is parsed and bound and never executed, executed twice,
//!   executed by a statement with a name, prepared by SQL;
//! * `set local` that is rolled back to a savepoint, or cancelled;
//! * `set local` outside a transaction, where it does nothing;
//! * `set transaction` that fails;
//! * `set local` of the same setting, and then the SET of it.
//!
//! The SETs: role, search_path, statement_timeout, TimeZone (which the server
//! reports), a custom setting, one by `set session`, one by `set … to default`
//! of what the login gave, `reset role`. The next client meets what the login
//! gave; the owner keeps its own.

use super::common::raw::{message, parse, query, run, sync};
use super::peer::{Peer, flush};
use super::world::{Case, Kind, Place, Verdict, case, judge, same};

#[derive(Debug, Clone, Copy, PartialEq)]
enum By {
    Query,
    Execute,
}

/// Acts before the SET; each is a text, or a batch by its name.
const TRICKS: &[(&str, &[&str])] = &[
    ("constraints", &["begin", "set constraints all deferred"]),
    (
        "constraints twice",
        &[
            "begin",
            "set constraints all deferred",
            "set constraints all immediate",
        ],
    ),
    (
        "constraints outside",
        &["set constraints all deferred", "begin"],
    ),
    (
        "failed local",
        &[
            "begin",
            "savepoint s",
            "!set local work_mem = 'much'",
            "rollback to s",
        ],
    ),
    (
        "unknown local",
        &[
            "begin",
            "savepoint s",
            "!set local nonsense = 1",
            "rollback to s",
        ],
    ),
    (
        "misspelt local",
        &[
            "begin",
            "savepoint s",
            "!set local work_mem",
            "rollback to s",
        ],
    ),
    (
        "local in a failed transaction",
        &[
            "begin",
            "savepoint s",
            "!select 1/0",
            "!set local work_mem = '7MB'",
            "!set local work_mem = '7MB'",
            "rollback to s",
        ],
    ),
    (
        "local that is rolled back",
        &[
            "begin",
            "savepoint s",
            "set local work_mem = '7MB'",
            "rollback to s",
        ],
    ),
    ("local outside", &["set local work_mem = '7MB'", "begin"]),
    (
        "failed local outside",
        &["!set local work_mem = 'much'", "begin"],
    ),
    (
        "failed transaction",
        &[
            "begin",
            "select 1",
            "savepoint s",
            "!set transaction isolation level serializable",
            "rollback to s",
        ],
    ),
    ("parsed only", &["*parsed", "begin"]),
    ("bound only", &["*bound", "begin"]),
    ("behind an error", &["*behind", "begin"]),
    ("by name, twice", &["begin", "*twice"]),
    ("by PREPARE", &["begin", "*sql"]),
    (
        "local in a function's text",
        &["begin", "select 'x', 'set local work_mem = 1'"],
    ),
];

/// Settings: how they are set, where they are seen, and as what.
const SETS: &[(&str, &str, &str)] = &[
    ("set role boss", "select current_user", "boss"),
    (
        "set search_path = elsewhere",
        "show search_path",
        "elsewhere",
    ),
    (
        "set statement_timeout = '99s'",
        "show statement_timeout",
        "99s",
    ),
    ("set session work_mem = '77MB'", "show work_mem", "77MB"),
    ("set timezone = 'Asia/Tokyo'", "show timezone", "Asia/Tokyo"),
    (
        "set app.tenant = 'blue'",
        "select coalesce(current_setting('app.tenant', true), '')",
        "blue",
    ),
];

/// A role keeps its owner on a server connection; others need one beside it.
fn room(set: &str) -> &'static str {
    match set.contains("role") {
        true => "pool_size = 2",
        false => "pool_size = 1",
    }
}

async fn step(peer: &mut Peer, step: &str, by: By) -> Verdict {
    let local = "set local work_mem = '7MB'";
    let batch = match step.split_at(1) {
        ("*", "parsed") => [parse("", local), sync()].concat(),
        ("*", "bound") => {
            let bind = message(b'B', b"\0\0\0\0\0\0\0\0");
            [parse("", local), bind, sync()].concat()
        }
        ("*", "behind") => [
            parse("", "select 1/0"),
            run(""),
            parse("", local),
            run(""),
            sync(),
        ]
        .concat(),
        ("*", "twice") => {
            let run_it = || [run("l"), flush()].concat();
            [parse("l", local), run_it(), run_it(), sync()].concat()
        }
        ("*", "sql") => query(
            "prepare l as select set_config('work_mem', '7MB', true); execute l; deallocate l",
        ),
        ("!", sql) => return fails(peer, sql, by).await,
        _ => batch(step, by),
    };
    let answer = peer.ask(&batch).await?;
    match answer.error() {
        Some(error) if step != "*behind" => Err(format!("{step}: {error}")),
        _ => Ok(()),
    }
}

fn batch(sql: &str, by: By) -> Vec<u8> {
    match by {
        By::Query => query(sql),
        By::Execute => [parse("", sql), run(""), sync()].concat(),
    }
}

async fn fails(peer: &mut Peer, sql: &str, by: By) -> Verdict {
    let answer = peer.ask(&batch(sql, by)).await?;
    match answer.error() {
        Some(_) => Ok(()),
        None => Err(format!("{sql} did not fail")),
    }
}

async fn lasts(place: Place, trick: usize, set: usize, by: By) -> Verdict {
    let (_, steps) = TRICKS[trick];
    let (set, look, mine) = SETS[set];
    let mut a = place.peer().await?;
    let fresh = a.said(look).await;
    for text in steps.iter().copied().chain([set, "commit"]) {
        step(&mut a, text, by).await?;
    }
    let mut b;
    if place.is_session() {
        same(&*a.said(look).await, mine, "its owner, before it left")?;
        a.leave().await;
        b = place.peer().await?;
    } else {
        b = place.peer().await?;
        same(b.said(look).await, fresh.clone(), "the next client")?;
        same(&*a.said(look).await, mine, "its owner")?;
        a.leave().await;
    }
    same(b.said(look).await, fresh, "the client after it")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lasts_is_not_taken_for_what_ends_with_the_transaction() {
    let mut cases: Vec<Case> = Vec::new();
    for (t, (trick, _)) in TRICKS.iter().enumerate() {
        for (s, (set, ..)) in SETS.iter().enumerate() {
            for by in [By::Query, By::Execute] {
                // Every trick with every SET, by one protocol or the other.
                if (t + s) % 2 != by as usize {
                    continue;
                }
                let name = format!("{trick}; {set}, by {by:?}");
                let one = case(name, move |place| lasts(place, t, s, by));
                cases.push(one.keys(room(set)));
            }
        }
    }
    judge(Kind {
        setup: "create schema elsewhere",
        cases,
        beside: 8,
    })
    .await;
}

/// All of it in one text, and one text after the other in one send.
async fn at_once(place: Place, one_text: bool, set: usize) -> Verdict {
    let (set, look, mine) = SETS[set];
    let steps = ["begin", "set constraints all deferred", set, "commit"];
    let mut a = place.peer().await?;
    let fresh = a.said(look).await;
    let batch = match one_text {
        true => query(&steps.join("; ")),
        false => steps.map(query).concat(),
    };
    a.send(&batch).await?;
    for _ in 0..if one_text { 1 } else { steps.len() } {
        if let Some(error) = a.ready().await?.error() {
            return Err(format!("{set}: {error}"));
        }
    }
    if !place.is_session() {
        let mut b = place.peer().await?;
        same(b.said(look).await, fresh.clone(), "the next client")?;
    }
    same(&*a.said(look).await, mine, "its owner")?;
    a.leave().await;
    same(
        place.peer().await?.said(look).await,
        fresh,
        "the client after it",
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lasts_is_noticed_in_one_text_too() {
    let mut cases: Vec<Case> = Vec::new();
    for one_text in [true, false] {
        for (s, (set, ..)) in SETS.iter().enumerate() {
            let name = format!(
                "{set}, in {}",
                if one_text { "one text" } else { "one send" }
            );
            let one = case(name, move |place| at_once(place, one_text, s));
            cases.push(one.keys(room(set)));
        }
    }
    judge(Kind {
        setup: "create schema elsewhere",
        cases,
        beside: 8,
    })
    .await;
}
