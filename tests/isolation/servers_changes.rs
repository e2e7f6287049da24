//! Changes on the server by others are no client's doing.
//!
//! Tried:
//! * a default of the whole server is changed and changed back while a client
//!   that set nothing stays: default_transaction_read_only, TimeZone, DateStyle,
//!   IntervalStyle (which the server reports), work_mem, search_path and
//!   statement_timeout (which it does not); one that set it keeps its own;
//! * what a new client is told, and sees, after ALTER SYSTEM, ALTER ROLE … SET,
//!   ALTER DATABASE … SET, ALTER ROLE … IN DATABASE … SET and RESET of them, once
//!   the server connections of before are gone; also where it brings settings
//!   that a client before it brought too;
//! * server connections that logged in before and after such a change: a client
//!   sees one value on all of them, and it is what it was told;
//! * a standby that is promoted: in_hot_standby, also told to who is connected.

use std::time::{Duration, Instant};

use super::common::raw::query;
use super::common::{Cluster, Proxy, eventually, new_password};
use super::peer::Peer;
use super::world::{Case, Kind, Place, Verdict, case, judge, same};

const PATIENCE: Duration = Duration::from_secs(6);

struct Default {
    name: &'static str,
    value: &'static str,
    /// How the server shows it.
    shown: &'static str,
    reported: Option<&'static str>,
}

const fn default(
    name: &'static str,
    value: &'static str,
    shown: &'static str,
    reported: Option<&'static str>,
) -> Default {
    Default {
        name,
        value,
        shown,
        reported,
    }
}

const DEFAULTS: &[Default] = &[
    default(
        "default_transaction_read_only",
        "on",
        "on",
        Some("default_transaction_read_only"),
    ),
    default("timezone", "'Asia/Tokyo'", "Asia/Tokyo", Some("TimeZone")),
    default("datestyle", "'German'", "German, DMY", Some("DateStyle")),
    default(
        "intervalstyle",
        "'iso_8601'",
        "iso_8601",
        Some("IntervalStyle"),
    ),
    default("work_mem", "'77MB'", "77MB", None),
    default("search_path", "pg_catalog", "pg_catalog", None),
    default("statement_timeout", "'99s'", "1:39", None),
];

/// Whether Postgres shows the wanted value; it writes a timeout in two ways.
fn alike(seen: &str, wanted: &str) -> bool {
    seen == wanted || (seen, wanted) == ("99s", "1:39")
}

/// Asked until it is so.
async fn becomes(peer: &mut Peer, name: &str, wanted: &str) -> Verdict {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let seen = peer.said(&format!("show {name}")).await;
        if alike(&seen, wanted) {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(format!("{name} is {seen:?} for good, wanted {wanted:?}"));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn alter(place: &Place, sql: &str) {
    // It may be the default to write nothing.
    match sql.starts_with("alter system") {
        true => place.execute(sql).await,
        false => {
            place
                .execute(&format!("begin read write; {sql}; commit"))
                .await
        }
    }
    place.execute("select pg_reload_conf()").await;
}

/// Changed and changed back, while a client that set nothing is there.
async fn there_and_back(place: Place, n: usize) -> Verdict {
    let Default {
        name, value, shown, ..
    } = DEFAULTS[n];
    let mut a = place.peer().await?;
    let mut b = place.peer().await?;
    let before = a.said(&format!("show {name}")).await;
    alter(&place, &format!("alter system set {name} = {value}")).await;
    let changed = becomes(&mut a, name, shown).await;
    alter(&place, &format!("alter system reset {name}")).await;
    changed?;
    // Another one is the first to hear of it.
    let back = |e| format!("back: {e}");
    becomes(&mut b, name, &before).await.map_err(back)?;
    becomes(&mut a, name, &before).await.map_err(back)?;
    // And the other way round.
    alter(&place, &format!("alter system set {name} = {value}")).await;
    let changed = becomes(&mut b, name, shown).await;
    let seen = becomes(&mut a, name, shown).await;
    alter(&place, &format!("alter system reset {name}")).await;
    changed.and(seen)?;
    becomes(&mut a, name, &before).await.map_err(back)?;
    becomes(&mut b, name, &before).await.map_err(back)?;
    // Nor who comes now.
    let mut next = place.peer().await?;
    becomes(&mut next, name, &before)
        .await
        .map_err(|e| format!("next: {e}"))
}

/// The default changes and a client that set the same keeps its own value.
async fn its_own(place: Place, n: usize) -> Verdict {
    let Default {
        name, value, shown, ..
    } = DEFAULTS[n];
    let mut a = place.peer().await?;
    let own = a.said(&format!("show {name}")).await;
    a.run(&format!("set {name} = {}", quoted(name, &own)))
        .await?;
    alter(&place, &format!("alter system set {name} = {value}")).await;
    let mut direct = place.direct().await?;
    let reached = becomes(&mut direct, name, shown).await;
    let seen = a.said(&format!("show {name}")).await;
    alter(&place, &format!("alter system reset {name}")).await;
    reached?;
    same(seen, own.clone(), "what it set")?;
    same(
        a.said(&format!("show {name}")).await,
        own,
        "what it set, afterwards",
    )
}

fn quoted(name: &str, value: &str) -> String {
    match name {
        "search_path" => value.to_owned(),
        _ => format!("'{value}'"),
    }
}

const WAYS: &[(&str, &str, &str)] = &[
    (
        "ALTER SYSTEM",
        "alter system set {n} = {v}",
        "alter system reset {n}",
    ),
    (
        "ALTER ROLE",
        "alter role app_user set {n} = {v}",
        "alter role app_user reset {n}",
    ),
    (
        "ALTER DATABASE",
        "alter database postgres set {n} = {v}",
        "alter database postgres reset {n}",
    ),
    (
        "ALTER ROLE IN DATABASE",
        "alter role app_user in database postgres set {n} = {v}",
        "alter role app_user in database postgres reset {n}",
    ),
];

/// Lets go of all server connections, as their lifetime or a restart would.
async fn terminate_all(place: &Place) {
    place
        .execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'app_user'",
        )
        .await;
}

/// The value that a new client is told and sees, once the connections of before
/// are gone.
async fn told(place: Place, n: usize, way: usize, brings: bool) -> Verdict {
    let Default {
        name,
        value,
        shown,
        reported,
    } = DEFAULTS[n];
    let (_, set, reset) = WAYS[way];
    let own = |sql: &str| sql.replace("{n}", name).replace("{v}", value);
    let more: &[(&str, &str)] = match brings {
        true => &[("application_name", "mine"), ("extra_float_digits", "2")],
        false => &[],
    };
    let before = {
        let mut first = place.peer_with(more).await?;
        let before = first.said(&format!("show {name}")).await;
        first.leave().await;
        before
    };
    alter(&place, &own(set)).await;
    terminate_all(&place).await;
    let after = meets(&place, more, name, shown, reported).await;
    alter(&place, &own(reset)).await;
    terminate_all(&place).await;
    after.map_err(|e| format!("after the change: {e}"))?;
    let back = meets(&place, more, name, &before, reported).await;
    back.map_err(|e| format!("after its end: {e}"))
}

/// New clients come until one is told and sees what it should.
async fn meets(
    place: &Place,
    more: &[(&str, &str)],
    name: &str,
    wanted: &str,
    reported: Option<&str>,
) -> Verdict {
    let deadline = Instant::now() + PATIENCE;
    loop {
        // A connection that was terminated may still be met.
        let seen = match place.peer_with(more).await {
            Ok(mut peer) => {
                let told =
                    reported.and_then(|n| peer.told.iter().find(|(name, _)| name == n).cloned());
                let seen = peer.said(&format!("show {name}")).await;
                peer.leave().await;
                (told.map(|(_, value)| value), seen)
            }
            Err(fault) => (None, fault),
        };
        let told_right = seen.0.as_deref().is_none_or(|told| alike(told, wanted));
        if told_right && alike(&seen.1, wanted) {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(format!(
                "a client is told {:?} and sees {:?}, wanted {wanted:?}",
                seen.0, seen.1
            ));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Connections of before and after a change, in turn.
async fn in_turn(place: Place, n: usize, way: usize) -> Verdict {
    let (_, _, reset) = WAYS[way];
    let reset = reset.replace("{n}", DEFAULTS[n].name);
    let verdict = in_turn_until_reset(&place, n, way).await;
    alter(&place, &reset).await;
    verdict
}

async fn in_turn_until_reset(place: &Place, n: usize, way: usize) -> Verdict {
    let Default {
        name,
        value,
        reported,
        ..
    } = DEFAULTS[n];
    let (_, set, _) = WAYS[way];
    let mut old = place.peer().await?;
    let mut new = place.peer().await?;
    old.run("begin").await?;
    alter(place, &set.replace("{n}", name).replace("{v}", value)).await;
    // The other connection logs in now.
    new.run("begin; commit").await?;
    old.run("commit").await?;
    let mut client = place.peer().await?;
    let told = reported.and_then(|n| client.told.iter().find(|(name, _)| name == n).cloned());
    let mut seen = Vec::new();
    for busy in [0, 1, 0, 1] {
        let other = if busy == 0 { &mut old } else { &mut new };
        other.run("begin").await?;
        seen.push(client.said(&format!("show {name}")).await);
        other.run("rollback").await?;
    }
    // And on whichever is free while nobody else has any.
    seen.push(client.said(&format!("show {name}")).await);
    seen.dedup();
    if seen.len() > 1 {
        return Err(format!("one client saw {seen:?} in turn"));
    }
    match told {
        Some((_, told)) if !alike(&told, &seen[0]) => {
            Err(format!("it was told {told:?} and sees {seen:?}"))
        }
        _ => Ok(()),
    }
}

/// A default that changes past pgvalet, of a pool whose one connection nobody holds for long.
async fn now_and_then(place: Place) -> Verdict {
    let mut first = place.peer().await?;
    let before = first.said("show work_mem").await;
    first.leave().await;
    alter(&place, "alter role app_user set work_mem = '7MB'").await;
    let after = meets(&place, &[], "work_mem", "7MB", None).await;
    alter(&place, "alter role app_user reset work_mem").await;
    after?;
    meets(&place, &[], "work_mem", &before, None).await
}

/// Runs one case after the other: each changes defaults of the whole server.
async fn judge_alone(cases: Vec<Case>) {
    judge(Kind {
        setup: "",
        cases,
        beside: 1,
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_default_that_changes_is_nobodys_setting() {
    let mut cases: Vec<Case> = Vec::new();
    for (n, default) in DEFAULTS.iter().enumerate() {
        let back = format!("{}, there and back", default.name);
        let back = case(back, move |place| there_and_back(place, n));
        // In session mode each has a connection to itself; else there is one.
        cases.push(back.transaction_mode());
        let back = format!("{}, there and back, in sessions", default.name);
        let back = case(back, move |place| there_and_back(place, n));
        cases.push(back.pooled_by_session().keys("pool_size = 3"));
        cases.push(case(format!("{}, its own", default.name), move |place| {
            its_own(place, n)
        }));
    }
    judge_alone(cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_client_is_told_what_is() {
    let mut cases: Vec<Case> = Vec::new();
    for (n, default) in DEFAULTS.iter().enumerate() {
        for (w, (way, ..)) in WAYS.iter().enumerate() {
            // Every way with some of them; the ways do not depend on which.
            if (n + w) % 2 == 0 {
                let name = format!("{}, {way}", default.name);
                cases.push(case(name, move |place| told(place, n, w, n % 2 == 1)));
            }
        }
    }
    judge_alone(cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_sees_one_default_on_every_connection() {
    let mut cases: Vec<Case> = Vec::new();
    for (n, default) in DEFAULTS.iter().enumerate() {
        let w = 1 + n % 3;
        let name = format!("{}, {}", default.name, WAYS[w].0);
        let one = case(name, move |place| in_turn(place, n, w));
        cases.push(one.keys("pool_size = 2").pooled_by_transaction());
    }
    judge_alone(cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_default_that_changes_past_pgvalet_is_noticed_by_a_small_pool() {
    let one = case("one connection", now_and_then);
    judge_alone(vec![one.keys("pool_size = 1").pooled_by_transaction()]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promoted_standby_is_told_of() {
    let mut failed = Vec::new();
    let mut clusters = Cluster::all();
    while let Some(mut primary) = clusters.next().await {
        let major = primary.binaries.major;
        let password = new_password();
        primary.create_role("app_user", &password).await;
        let standby = primary.standby().await;
        let mut builder = Proxy::builder().secret("app", &standby.secret("app_user", &password));
        for mode in ["transaction", "session"] {
            builder = builder.database(mode, &format!("secret = \"app\"\npool_mode = \"{mode}\""));
        }
        let proxy = builder.start().await;
        let login = async |mode: &str| {
            Peer::login(proxy.port, &[("user", "any"), ("database", mode)]).await
        };
        let hot = |told: &[(String, String)]| {
            let found = told.iter().rev().find(|(name, _)| name == "in_hot_standby");
            found.map(|(_, value)| value.clone()).unwrap_or_default()
        };
        let mut stays = Vec::new();
        for mode in ["transaction", "session"] {
            let mut peer = login(mode).await.expect("let in");
            assert_eq!(hot(&peer.told), "on");
            peer.run("select 1").await.expect("a query");
            stays.push(peer);
        }
        standby.execute("select pg_promote()").await;
        eventually("promoted", Duration::from_secs(20), || async {
            let admin = standby.superuser().await;
            (admin.value("select pg_is_in_recovery()").await == "f").then_some(())
        })
        .await;
        for (mode, peer) in ["transaction", "session"].into_iter().zip(&mut stays) {
            let deadline = Instant::now() + PATIENCE;
            // By ParameterStatus, with some query or other.
            let told = loop {
                match peer.ask(&query("select 1")).await {
                    Ok(answer) if hot(&answer.reported()) == "off" => break Ok(()),
                    Err(fault) => break Err(fault),
                    Ok(_) if Instant::now() > deadline => break Err("is never told".to_owned()),
                    Ok(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                }
            };
            if let Err(fault) = told {
                failed.push(format!("{major} {mode}: one that is connected: {fault}"));
            }
            let deadline = Instant::now() + PATIENCE;
            let told = loop {
                match login(mode).await {
                    Ok(peer) if hot(&peer.told) == "off" => break Ok(()),
                    Err(fault) => break Err(fault),
                    Ok(peer) if Instant::now() > deadline => {
                        break Err(format!("is told {:?}", hot(&peer.told)));
                    }
                    Ok(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                }
            };
            if let Err(fault) = told {
                failed.push(format!("{major} {mode}: one that comes: {fault}"));
            }
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
