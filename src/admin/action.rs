//! What an administrator can do: pause and resume databases, end clients, have secrets looked
//! at. The console, the admin listener and the command line do it here, so that each of them is
//! checked and recorded alike.

mod begun;
mod error;
mod unfinished;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tracing::info;

pub use begun::{Begun, Rest};
pub use error::ActionError;
pub use unfinished::Unfinished;

use super::operations::{Operations, Steer, Stop};
use crate::access::AdminRight;
use crate::audit::{Outcome, Record, SessionRef};
use crate::base::nearest;
use crate::pool::Pool;
use crate::session::Signal;

/// Something to do. A database that is not named stands for all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    Pause(Option<String>),
    Resume(Option<String>),
    Disable(String),
    Enable(String),
    /// Ends the clients of a database, and pauses it.
    Kill(Option<String>),
    /// Ends one client, named by the id of its session.
    KillClient(u64),
    Reconnect(Option<String>),
    WaitClose(Option<String>),
    Reload,
    Refresh(Option<String>),
    Rotate(String),
    /// Approves of the next rotation that the schedule of a secret starts.
    Approve(String),
    Set {
        key: String,
        value: String,
    },
    /// Replaces the process.
    Upgrade {
        binary: Option<PathBuf>,
        /// It has to be ready within this time.
        limit: Duration,
    },
    Shutdown(Stop),
}

impl Action {
    pub fn word(&self) -> &'static str {
        match self {
            Self::Pause(_) => "PAUSE",
            Self::Resume(_) => "RESUME",
            Self::Disable(_) => "DISABLE",
            Self::Enable(_) => "ENABLE",
            Self::Kill(_) => "KILL",
            Self::KillClient(_) => "KILL_CLIENT",
            Self::Reconnect(_) => "RECONNECT",
            Self::WaitClose(_) => "WAIT_CLOSE",
            Self::Reload => "RELOAD",
            Self::Refresh(_) => "REFRESH",
            Self::Rotate(_) => "ROTATE",
            Self::Approve(_) => "APPROVE",
            Self::Set { .. } => "SET",
            Self::Upgrade { .. } => "UPGRADE",
            Self::Shutdown(_) => "SHUTDOWN",
        }
    }

    /// The database that it is about.
    fn database(&self) -> Option<&String> {
        match self {
            Self::Pause(name) | Self::Resume(name) | Self::Kill(name) => name.as_ref(),
            Self::Reconnect(name) | Self::WaitClose(name) => name.as_ref(),
            Self::Disable(name) | Self::Enable(name) => Some(name),
            _ => None,
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())?;
        match self {
            Self::KillClient(id) => write!(f, " {id}"),
            Self::Rotate(secret) | Self::Approve(secret) | Self::Refresh(Some(secret)) => {
                write!(f, " {secret}")
            }
            Self::Set { key, value } => write!(f, " {key} = '{value}'"),
            Self::Upgrade {
                binary: Some(binary),
                ..
            } => write!(f, " {}", binary.display()),
            Self::Shutdown(Stop::WhenClientsHaveLeft) => f.write_str(" WAIT_FOR_CLIENTS"),
            _ => match self.database() {
                Some(database) => write!(f, " {database}"),
                None => Ok(()),
            },
        }
    }
}

/// Who asks, and from where.
#[derive(Debug, Clone)]
pub struct Actor {
    /// The session of the console, or what is known of a request to the admin listener.
    pub who: SessionRef,
    pub right: Option<AdminRight>,
}

/// Checks, records and begins an action.
///
/// # Errors
/// [`ActionError`]: nothing was done.
pub async fn begin(
    proxy: &Arc<dyn Operations>,
    actor: &Actor,
    action: &Action,
) -> Result<Begun, ActionError> {
    let audit = &proxy.context().audit;
    let record = |outcome, reason: Option<&str>| {
        let database = action.database().map(String::as_str);
        Record::admin(
            actor.who.clone(),
            database,
            &action.to_string(),
            outcome,
            reason,
        )
    };
    if actor.right != Some(AdminRight::Change) {
        audit.record(record(Outcome::Failure, Some("not_allowed")));
        return Err(ActionError::NotAllowed(action.word()));
    }
    let checked = match action {
        Action::KillClient(id) if !is_there(proxy, *id) => {
            let others = proxy.others().await;
            match others.iter().any(|client| client.id == *id) {
                true => Ok(Vec::new()),
                false => Err(ActionError::NoClient(*id)),
            }
        }
        _ => check(proxy, action),
    };
    if let Err(error) = &checked {
        audit.record(record(Outcome::Failure, Some(&error.to_string())));
    }
    let pools = checked?;
    let admitted = audit.admit(record(Outcome::Success, None)).await;
    admitted.map_err(|_| ActionError::Audit)?;
    let who = &actor.who;
    info!(client = %who.client, source = %who.source, session = %who.id, "admin: {action}");
    act(proxy, action, pools).await
}

/// The pools that an action is about.
///
/// # Errors
/// It cannot be done.
fn check(proxy: &Arc<dyn Operations>, action: &Action) -> Result<Vec<Arc<Pool>>, ActionError> {
    let switches = &proxy.context().switches;
    let mut pools = proxy.pools();
    if let Some(name) = action.database() {
        is_database(&pools, name)?;
        pools.retain(|p| *p.name == **name);
    }
    let not_now = |why: String| Err(ActionError::NotNow(why));
    match action {
        Action::Pause(Some(name)) if switches.is_paused(name) => {
            not_now(format!("database \"{name}\" is paused already"))
        }
        Action::Pause(None) if switches.are_all_paused() => {
            not_now("all databases are paused already".to_owned())
        }
        Action::Resume(Some(name)) if !switches.is_paused(name) => {
            not_now(format!("database \"{name}\" is not paused"))
        }
        Action::Resume(Some(_)) if switches.are_all_paused() => {
            not_now("all databases are paused: RESUME without a name resumes them".to_owned())
        }
        Action::Resume(None) if !pools.iter().any(|p| p.is_paused()) => {
            not_now("no database is paused".to_owned())
        }
        Action::Rotate(secret) | Action::Approve(secret) | Action::Refresh(Some(secret)) => {
            let known: Vec<&str> = pools.iter().map(|p| p.secret.as_str()).collect();
            if pools.iter().any(|p| p.follower.is_called(secret)) {
                return Ok(pools);
            }
            let near = nearest(secret, known).map(Into::into);
            Err(ActionError::NoSecret(secret.clone(), near))
        }
        _ => Ok(pools),
    }
}

/// Whether a running proxy has this database.
///
/// # Errors
/// [`ActionError::NoDatabase`], with the nearest.
pub fn known_database(proxy: &dyn Operations, name: &str) -> Result<(), ActionError> {
    is_database(&proxy.pools(), name)
}

fn is_database(pools: &[Arc<Pool>], name: &str) -> Result<(), ActionError> {
    let names = || pools.iter().map(|p| &*p.name);
    match names().any(|known| known == name) {
        true => Ok(()),
        false => {
            let near = nearest(name, names()).map(Into::into);
            Err(ActionError::NoDatabase(name.to_owned(), near))
        }
    }
}

/// Whether there is a session with this id, of a client or of the console.
fn is_there(proxy: &Arc<dyn Operations>, id: u64) -> bool {
    let sessions = &proxy.context().sessions;
    sessions.by_id(id).is_some() || sessions.consoles().iter().any(|c| c.id == id)
}

async fn act(
    proxy: &Arc<dyn Operations>,
    action: &Action,
    pools: Vec<Arc<Pool>>,
) -> Result<Begun, ActionError> {
    let switches = &proxy.context().switches;
    let name = action.database().and_then(|_| pools.first());
    let name = name.map(|pool| pool.name.clone());
    let name = name.as_ref();
    let mut begun = Begun::default();
    let steer = |steer| proxy.steer_others(steer);
    // Before anything is changed: whoever waits for the answer may go away meanwhile.
    let elsewhere = match action {
        Action::Pause(_) | Action::Kill(_) => others(proxy, name).await,
        _ => 0,
    };
    match action {
        Action::Pause(_) => {
            switches.pause(name);
            switches.apply(&pools);
            begun.notices.extend(pools.iter().filter_map(listens));
            if elsewhere > 0 {
                begun.notices.push(format!(
                    "{} served by the process before this one: their transactions are not waited for",
                    clients(elsewhere)
                ));
            }
            begun.rest = Rest::Released(pools);
        }
        Action::Resume(_) => {
            switches.resume(name.map(AsRef::as_ref));
            switches.apply(&pools);
        }
        Action::Disable(_) => {
            name.map(|name| switches.disable(name));
        }
        Action::Enable(_) => {
            name.map(|name| switches.enable(name));
        }
        Action::Kill(_) => {
            switches.pause(name);
            switches.apply(&pools);
            let sessions = proxy.context().sessions.all();
            let mut ended = elsewhere;
            for session in sessions {
                if pools.iter().any(|pool| session.is_client_of(pool)) {
                    session.signal(Signal::Kill);
                    ended += 1;
                }
            }
            begun.notices.push(format!(
                "{} ended; RESUME lets clients in again",
                clients(ended)
            ));
        }
        Action::KillClient(id) => {
            let sessions = &proxy.context().sessions;
            if let Some(session) = sessions.by_id(*id) {
                session.signal(Signal::Kill);
            }
            for console in sessions.consoles().iter().filter(|c| c.id == *id) {
                console.signal(Signal::Kill);
            }
            steer(Steer::KillClient(*id));
        }
        Action::Reconnect(_) => {
            pools.iter().for_each(Pool::reconnect);
            steer(Steer::Reconnect(name.cloned()));
        }
        Action::WaitClose(_) => begun.rest = Rest::Reconnected(pools),
        Action::Reload => {
            let reloaded = proxy.clone().reload().await.map_err(ActionError::Failed)?;
            begun.notices = reloaded.notices();
        }
        Action::Refresh(secret) => begun.refreshed = proxy.refresh(secret.clone()).await,
        Action::Rotate(secret) => {
            // A task of its own: a rotation that has begun is finished, whoever waits for it.
            begun.rest = Rest::Rotated(tokio::spawn(proxy.clone().rotate(secret.clone())));
        }
        Action::Approve(secret) => {
            let said = proxy.approve(secret).map_err(ActionError::Failed)?;
            begun.notices.push(said);
        }
        Action::Set { key, value } => {
            let said = proxy.set(key, value).map_err(ActionError::Failed)?;
            begun.notices.push(said);
        }
        Action::Upgrade { binary, limit } => {
            begun.rest = Rest::Upgraded(proxy.clone().upgrade(binary.clone(), *limit));
        }
        Action::Shutdown(when) => proxy.stop(*when),
    }
    match action {
        Action::Pause(_) | Action::Resume(_) | Action::Disable(_) | Action::Enable(_) => {
            steer(Steer::Switches(switches.get()));
        }
        Action::Kill(_) => {
            steer(Steer::Switches(switches.get()));
            steer(Steer::Kill(name.cloned()));
        }
        _ => {}
    }
    Ok(begun)
}

/// How many clients of a database, or of all, are still served by the process before this one.
async fn others(proxy: &Arc<dyn Operations>, name: Option<&Arc<str>>) -> usize {
    let others = proxy.others().await;
    let of_it = others
        .iter()
        .filter(|c| name.is_none_or(|name| c.database == *name));
    of_it.count()
}

fn clients(n: usize) -> String {
    format!("{n} {}", if n == 1 { "client" } else { "clients" })
}

/// What is said of a pool whose listening connection stays.
fn listens(pool: &Arc<Pool>) -> Option<String> {
    let clients = pool.listener.counts()?.clients;
    Some(format!(
        "one connection of database \"{}\" stays open: it listens for {clients} {}",
        &pool.name,
        if clients == 1 { "client" } else { "clients" }
    ))
}
