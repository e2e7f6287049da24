//! What is wrong with a database: its logins, its waiting clients, its drains.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::Finding;
use crate::admin::{Place, TroubleKind};
use crate::base::duration::{format, words};
use crate::pool::{DrainDeadlineAction, GenerationCounts, LoginTrouble, Pool, PoolCounts, Stuck};
use crate::secret::store_title;
use crate::session::Handle;
use crate::upstream::{Target, TargetError};
use crate::wire::LoginFailure;

/// A restart, or the moment between password and label in a rotation, is no trouble.
const BLIP: Duration = Duration::from_secs(2);
/// A label that is set before the password is followed by it at once.
const LABEL_FIRST: Duration = Duration::from_secs(5);
/// A pause for a moment is maintenance.
const DELIBERATE: Duration = Duration::from_secs(10);
/// So long, another replica may have its turn to take a share, or a server may restart.
const TURN: Duration = Duration::from_secs(5);
/// A client that waits for longer shows that the pool is too small.
const LONG_WAIT: Duration = Duration::from_secs(5);

pub(super) fn find(
    pool: &Pool,
    counts: &PoolCounts,
    sessions: &[Arc<Handle>],
    disabled: bool,
    found: &mut Vec<Finding>,
) {
    found.extend(switched_off(pool, disabled));
    if !counts.in_use {
        // Nobody asks for it any more.
    } else if let Some(trouble) = &counts.trouble {
        found.extend(login(pool, counts, trouble));
    } else if let Some(stuck) = counts.fleet_stuck.as_ref().filter(|s| lasts(s)) {
        found.push(share(pool, counts, stuck));
    } else {
        found.extend(wait(pool, counts));
    }
    let drains = counts.generations.iter();
    found.extend(drains.filter_map(|g| drain(pool, g, sessions)));
}

fn finding(pool: &Pool, kind: TroubleKind, patience: Duration) -> Finding {
    Finding {
        kind,
        place: Place {
            database: Some(pool.name.clone()),
            secret: Some(pool.secret.as_str().into()),
            ..Place::default()
        },
        since: None,
        patience,
        sentence: String::new(),
        remedy: String::new(),
    }
}

/// An administrator has paused or disabled the database: that is meant, and easily forgotten.
fn switched_off(pool: &Pool, disabled: bool) -> Option<Finding> {
    let name = &pool.name;
    let (sentence, remedy) = match (pool.is_paused(), disabled) {
        (true, _) => (
            format!("database {name} is paused: its clients wait"),
            format!("pgvalet resume {name} serves them again"),
        ),
        (false, true) => (
            format!("database {name} is disabled: new clients are refused"),
            format!("ENABLE {name} in the console lets them in again"),
        ),
        (false, false) => return None,
    };
    Some(Finding {
        sentence,
        remedy,
        ..finding(pool, TroubleKind::DatabasePaused, DELIBERATE)
    })
}

fn login(pool: &Pool, counts: &PoolCounts, trouble: &LoginTrouble) -> Option<Finding> {
    let (name, secret) = (&pool.name, pool.secret.as_str());
    let in_force = counts.in_force().map(|g| &g.generation);
    let put = format!("pgvalet secret put {secret}");
    let known = pool.follower.known().current;
    let user = in_force.map(|g| &g.credential).or(known.as_ref());
    let user = user.map_or("the user of the secret", |c| c.username.as_str());
    let advice = counts.failure.and_then(|f| advice(&f, name, user));
    Some(match trouble {
        LoginTrouble::Down(why) => Finding {
            sentence: format!("database {name} is down: {why}"),
            remedy: format!(
                "{}; pgvalet tries again by itself",
                advice
                    .as_deref()
                    .unwrap_or("see to the database server and the way to it")
            ),
            ..finding(pool, TroubleKind::DatabaseDown, BLIP)
        },
        // What is wrong is the secret, which says so itself.
        LoginTrouble::NoneLogsIn(_) if known.is_none() => return None,
        LoginTrouble::NoneLogsIn(why) => Finding {
            sentence: format!("no version of secret {secret} logs in to database {name}: {why}"),
            remedy: remedy(pool)
                .or(advice)
                .unwrap_or_else(|| right_password(&put)),
            ..finding(pool, TroubleKind::NoLogin, BLIP)
        },
        LoginTrouble::NotMoved(why) => Finding {
            sentence: format!("database {name} is served as before the reload: {why}"),
            remedy: format!(
                "mend [database.{name}] and reload again, or see to the place that it names"
            ),
            ..finding(pool, TroubleKind::ReloadFailed, BLIP)
        },
        LoginTrouble::Refused(tried) => {
            let stays = in_force.map_or_else(String::new, |g| {
                format!("; version {} stays in force", g.credential.version)
            });
            let back = in_force.map_or_else(String::new, |g| {
                let version = &g.credential.version;
                format!(", or take the label back: pgvalet secret stage {secret} AWSCURRENT --to {version}")
            });
            Finding {
                sentence: format!(
                    "AWSCURRENT of secret {secret} (version {}) does not log in to database {name}: {}{stays}",
                    tried.version, tried.why
                ),
                remedy: advice.unwrap_or_else(|| right_password(&put)) + &back,
                ..finding(pool, TroubleKind::VersionRefused, LABEL_FIRST)
            }
        }
    })
}

/// What helps if no version logs in, where that is not another password.
fn remedy(pool: &Pool) -> Option<String> {
    let (known, name) = (pool.follower.known(), &pool.name);
    if known.error.is_some() && known.may_recover() {
        return Some(
            "see to the secret store and the way to it: it may have the password that Postgres has, and cannot be asked; pgvalet tries again by itself"
                .to_owned(),
        );
    }
    let target = Target::resolve(&pool.database().upstream, &*known.current?);
    Some(match target.err()? {
        TargetError::Store { .. } => {
            let store = store_title(pool.secret.store());
            format!(
                "keep the store in another database; or write allow_own_database = true into {store}, if its own login needs no password from there"
            )
        }
        _ => format!("mend [database.{name}], or the value of the secret; pgvalet check tries it"),
    })
}

/// Whether what is in the way of a share is more than the turn of another replica.
fn lasts(stuck: &Stuck) -> bool {
    stuck.since.elapsed().is_ok_and(|ago| ago >= TURN)
}

fn share(pool: &Pool, counts: &PoolCounts, stuck: &Stuck) -> Finding {
    let (name, why) = (&pool.name, &stuck.why);
    let size = counts.fleet.map_or(0, |fleet| fleet.of);
    let effect = match counts.fleet {
        Some(fleet) if fleet.proven => format!("stays at {}", fleet.share),
        _ => "is not held, and no connection is opened".to_owned(),
    };
    let role = counts.in_force();
    let role = role.map_or("", |g| &g.generation.credential.username);
    Finding {
        since: Some(stuck.since),
        sentence: format!("the share of database {name} in fleet_size = {size} {effect}: {why}"),
        remedy: why.remedy(role),
        ..finding(pool, TroubleKind::FleetStuck, Duration::ZERO)
    }
}

fn right_password(put: &str) -> String {
    format!("put the password that Postgres has into the secret: {put}")
}

/// What to do where the server lets `user` not in for a reason that no password mends.
fn advice(failure: &LoginFailure, database: &str, user: &str) -> Option<String> {
    Some(match failure {
        LoginFailure::Rules => format!(
            "look at pg_hba.conf of the server, and let the role log in: ALTER ROLE {user} LOGIN"
        ),
        LoginFailure::NoConnectRight => {
            format!("GRANT CONNECT ON DATABASE … TO {user} on the server")
        }
        LoginFailure::NoDatabase => {
            format!("create the database on the server, or mend [database.{database}] dbname")
        }
        LoginFailure::Full => format!(
            "raise max_connections of the server or the CONNECTION LIMIT of {user} or of the database, or lower [database.{database}] pool_size"
        ),
        // Only such a database answers a login so.
        LoginFailure::Other(code) if code.as_str() == "55000" => {
            "let connections in again on the server: ALTER DATABASE … ALLOW_CONNECTIONS true"
                .to_owned()
        }
        _ => return None,
    })
}

fn wait(pool: &Pool, counts: &PoolCounts) -> Option<Finding> {
    let longest = counts.longest_wait.filter(|wait| *wait >= LONG_WAIT)?;
    let name = &pool.name;
    let size = pool.database().pool_size;
    let share = counts.fleet.filter(|fleet| fleet.share < size);
    let (why, raise) = match (counts.full, share) {
        (true, Some(fleet)) => (
            format!(
                "all {} of its share of fleet_size = {} are in use",
                fleet.share, fleet.of
            ),
            "fleet_size",
        ),
        (true, None) => (format!("all {size} of pool_size are in use"), "pool_size"),
        (false, _) => (
            "no server connection has become free".to_owned(),
            "pool_size",
        ),
    };
    Some(Finding {
        sentence: format!(
            "clients of database {name} wait for a server connection: {} now, the first for {}; {why}",
            counts.waiting,
            words(longest)
        ),
        remedy: format!(
            "end transactions that stay open (idle_transaction_timeout), or raise [database.{name}] {raise}"
        ),
        ..finding(pool, TroubleKind::PoolExhausted, Duration::ZERO)
    })
}

fn drain(pool: &Pool, counts: &GenerationCounts, sessions: &[Arc<Handle>]) -> Option<Finding> {
    let database = pool.database();
    let deadline = counts.draining_since? + database.drain_timeout;
    deadline.elapsed().ok()?;
    let name = &pool.name;
    let version = &counts.generation.credential.version;
    let held = counts.active + counts.idle;
    let remedy = match database.drain_deadline_action {
        DrainDeadlineAction::Wait => format!(
            "pgvalet status --database {name} shows who holds them; drain_deadline_action = \"terminate\" would end them"
        ),
        DrainDeadlineAction::Terminate => format!(
            "pgvalet status --database {name} shows who holds them; drain_hard_timeout would end them in their transactions"
        ),
    };
    Some(Finding {
        since: Some(deadline),
        sentence: format!(
            "database {name} still has {} with version {version}, longer than drain_timeout ({}){}",
            connections(held),
            format(database.drain_timeout),
            holders(counts, sessions)
        ),
        remedy,
        ..finding(pool, TroubleKind::DrainOverdue, Duration::ZERO)
    })
}

fn connections(n: usize) -> String {
    match n {
        1 => "1 server connection".to_owned(),
        n => format!("{n} server connections"),
    }
}

/// Who keeps a generation in use, by the names of their rules.
fn holders(counts: &GenerationCounts, sessions: &[Arc<Handle>]) -> String {
    let mut clients: BTreeMap<&str, usize> = BTreeMap::new();
    for session in sessions {
        let holds = session
            .held()
            .is_some_and(|h| Arc::ptr_eq(&h.generation, &counts.generation));
        if holds {
            *clients.entry(&*session.client).or_default() += 1;
        }
    }
    if clients.is_empty() {
        return String::new();
    }
    let each = clients.iter().map(|(client, n)| format!("{client} ({n})"));
    format!("; held by {}", each.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering::Relaxed;

    use super::*;
    use crate::pool::fake::{setup, until};

    #[test]
    fn what_no_password_mends_has_a_remedy_of_its_own() {
        for (sqlstate, says) in [
            ("28000", "ALTER ROLE app LOGIN"),
            ("42501", "GRANT CONNECT ON DATABASE"),
            ("3D000", "[database.orders] dbname"),
            ("53300", "max_connections"),
            ("55000", "ALLOW_CONNECTIONS"),
        ] {
            let failure = LoginFailure::from_sqlstate(sqlstate);
            let advice = advice(&failure, "orders", "app").unwrap_or_default();
            assert!(advice.contains(says), "{sqlstate}: {advice}");
        }
        let password = LoginFailure::from_sqlstate("28P01");
        assert_eq!(advice(&password, "orders", "app"), None);
    }

    /// The server has no room, so that the place of the server is no remedy.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_server_without_room_is_no_server_that_cannot_be_reached() {
        let s = setup("pool_size = 1\non_down = \"refuse\"").await;
        s.server.room.store(0, Relaxed);
        s.server.hang_up();
        let mut found = Vec::new();
        until("the pool is down", || {
            s.pool.try_checkout(&"c".into(), &Default::default());
            let pool = s.pool.clone();
            tokio::spawn(async move { pool.checkout(None).await.map(drop) });
            found.clear();
            find(&s.pool, &s.pool.counts(), &[], false, &mut found);
            found.iter().any(|f| f.kind == TroubleKind::DatabaseDown)
        })
        .await;
        assert!(
            found[0].remedy.contains("max_connections"),
            "{}",
            found[0].remedy
        );
        assert!(!s.pool.counts().works(), "a new process need not do better");
    }
}
