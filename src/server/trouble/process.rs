//! What is wrong with the proxy as a whole: its audit log, its configuration, its limits.

use std::fs;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, SystemTime};

use nix::sys::resource::{Resource, getrlimit};

use super::{Finding, Health};
use crate::admin::{Place, TroubleKind};
use crate::audit::SinkTrouble;
use crate::fleet::Fleet;
use crate::server::build::Built;

/// After this time without an attempt, the audit log is given another chance: a client has
/// to be let in before it can show that records can be written again.
const ANOTHER_CHANCE: Duration = Duration::from_secs(15);

/// During an upgrade, two processes have one address for a moment.
const OVERLAP: Duration = Duration::from_secs(12);

fn finding(kind: TroubleKind) -> Finding {
    Finding {
        kind,
        place: Place::default(),
        since: None,
        patience: Duration::ZERO,
        sentence: String::new(),
        remedy: String::new(),
    }
}

pub(super) fn find(built: &Built, found: &mut Vec<Finding>) {
    found.extend(audit(built));
    found.extend(built.context.audit.sink_troubles().iter().map(sink));
    found.extend(reload(&built.health));
    found.extend(built.context.fleet.as_deref().and_then(address));
    found.extend(descriptors_left(built));
    let max_clients = {
        let state = built.state.lock();
        state.config.listen.max_clients
    };
    if built.context.clients.are_taken() {
        found.push(Finding {
            patience: Duration::from_secs(2),
            sentence: format!("{max_clients} clients are connected, all that [listen] max_clients allows; more are refused"),
            remedy: "pgvalet status shows which database they are on; raise max_clients, or limit a rule by its own max_clients".to_owned(),
            ..finding(TroubleKind::ClientsFull)
        });
    }
}

fn audit(built: &Built) -> Option<Finding> {
    let audit = &built.context.audit;
    let failing = audit.failing()?;
    let effect = match audit.denies() {
        true => "clients are refused until it can be ([audit] on_failure = \"deny\")",
        false => "records are lost ([audit] on_failure = \"continue\")",
    };
    Some(Finding {
        since: Some(failing.since),
        sentence: format!("{}; {effect}", failing.why),
        remedy: "make room or mend the place of [audit] path; pgvalet goes on by itself".to_owned(),
        ..finding(TroubleKind::AuditFails)
    })
}

fn sink(trouble: &SinkTrouble) -> Finding {
    let (name, waiting) = (&trouble.name, trouble.waiting);
    let waiting = match waiting {
        1 => "1 record waits".to_owned(),
        n => format!("{n} records wait"),
    };
    Finding {
        place: Place {
            sink: Some(name.as_str().into()),
            ..Place::default()
        },
        since: Some(trouble.since),
        sentence: match &trouble.why {
            Some(why) => format!(
                "the audit sink {name} does not take records, and {waiting} in the files of the log: {why}"
            ),
            None => format!(
                "the audit sink {name} is more than a minute behind, and {waiting} in the files of the log"
            ),
        },
        remedy: "see to what the [[audit.sink]] leads to; its records are kept, and sent as soon as it takes them".to_owned(),
        ..finding(TroubleKind::AuditSinkBehind)
    }
}

/// Why nobody can be let in, if that is because of the audit log.
pub(in crate::server) fn unready(built: &Built) -> Option<String> {
    let audit = &built.context.audit;
    let failing = audit.failing().filter(|_| audit.denies())?;
    let tried = SystemTime::now().duration_since(failing.tried);
    let lately = tried.is_ok_and(|ago| ago < ANOTHER_CHANCE);
    lately.then_some(failing.why)
}

fn reload(health: &Health) -> Option<Finding> {
    let reload = health.reload.lock();
    let (at, failure) = reload.as_ref()?;
    let why = failure.as_ref()?;
    Some(Finding {
        since: Some(*at),
        sentence: format!(
            "the last reload failed, and the configuration before it stays in force: {why}"
        ),
        remedy: "mend the file (pgvalet check) and reload again (SIGHUP)".to_owned(),
        ..finding(TroubleKind::ReloadFailed)
    })
}

/// Two replicas that say they are at one address.
fn address(fleet: &Fleet) -> Option<Finding> {
    let since = fleet.elsewhere()?;
    let here = fleet.here();
    Some(Finding {
        since: Some(since),
        patience: OVERLAP,
        sentence: format!(
            "another replica answers at {here}, the address of this one: cancel requests for sessions of this one go there, and have no effect"
        ),
        remedy: "give each replica an address or a number of its own ([fleet] replica), and restart this one".to_owned(),
        ..finding(TroubleKind::FleetAddress)
    })
}

/// Clients are refused long before the last descriptor is in use: the others need some, too.
fn descriptors_left(built: &Built) -> Option<Finding> {
    let open = built.health.descriptors.load(Relaxed) as u64;
    let (limit, _) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
    let (sentence, patience) = match built.descriptors.full() {
        _ if open >= limit / 10 * 9 => (
            format!(
                "{open} of {limit} file descriptors are in use; without one, no client and no server connection can be accepted"
            ),
            Duration::ZERO,
        ),
        Some(clients) => (
            format!(
                "{clients} clients are connected, all for which the limit of {limit} open files leaves room; more are refused"
            ),
            Duration::from_secs(2),
        ),
        None => return None,
    };
    Some(Finding {
        patience,
        sentence,
        remedy: "raise LimitNOFILE (systemd) or ulimit -n, or lower [listen] max_clients"
            .to_owned(),
        ..finding(TroubleKind::Descriptors)
    })
}

/// How many file descriptors this process has open. Blocks for a moment.
pub fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}
