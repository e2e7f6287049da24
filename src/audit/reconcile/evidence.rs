//! What the audit log has of server connections and of who leased them when.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;

use chrono::{DateTime, TimeDelta, Utc};

use crate::audit::answers::Fact;
use crate::audit::files::{self, body};
use crate::audit::scan::{Ended, scan};

/// A server connection.
#[derive(Debug, Clone)]
pub struct Connection {
    pub user: String,
    pub secret: String,
    pub version: String,
    pub opened: DateTime<Utc>,
    pub closed: Option<DateTime<Utc>>,
    pub proxy: String,
}

/// The time in which a client may have used a server connection.
#[derive(Debug, Clone)]
pub struct Span {
    pub client: String,
    pub from: DateTime<Utc>,
    /// `None`: it has not ended, as far as the log says.
    pub until: Option<DateTime<Utc>>,
}

/// By the process id of the server.
#[derive(Debug, Default)]
pub struct Evidence {
    pub connections: HashMap<i32, Vec<Connection>>,
    /// Leases, where the log has them.
    pub leases: HashMap<i32, Vec<Span>>,
    /// Whole sessions, with each server process that they have used.
    pub sessions: HashMap<i32, Vec<Span>>,
    /// Sessions that have no end, by the process that served them: it was killed, or serves them
    /// still. Their last leases have no record.
    pub endless: HashMap<String, Vec<Span>>,
    /// When rotations were at work, and as whom they logged in perhaps.
    pub rotations: Vec<(DateTime<Utc>, DateTime<Utc>)>,
    open: HashMap<(String, String), Session>,
}

#[derive(Debug, Default)]
struct Session {
    client: String,
    from: Option<DateTime<Utc>>,
    pids: Vec<i32>,
}

/// A rotation logs in before its first step is told, and may wait that long for it.
const ROTATION: TimeDelta = TimeDelta::seconds(60);

impl Evidence {
    /// Reads the files of a log, and those of commands.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn read(log: &[PathBuf], beside: &[PathBuf]) -> io::Result<Self> {
        let mut evidence = Self::default();
        for files in [log, beside] {
            let scanned = scan(
                files.len(),
                |n| files::reader(&files[n]),
                |block| {
                    let lines = block.lines().map(|line| body(&block.bytes()[line]));
                    lines.filter_map(Fact::read).collect::<Vec<Fact>>()
                },
                |_, facts| {
                    facts.iter().for_each(|fact| evidence.take(fact));
                    true
                },
            );
            if let Err(Ended::Io { error, .. }) = scanned {
                return Err(error);
            }
        }
        evidence.finish();
        Ok(evidence)
    }

    /// The log has been read to its end.
    pub(super) fn finish(&mut self) {
        self.end_sessions(None, "");
    }

    pub(super) fn take(&mut self, fact: &Fact) {
        let Ok(time) = DateTime::parse_from_rfc3339(&fact.time) else {
            return;
        };
        let time = time.to_utc();
        if fact.event == "gap" {
            // A process was killed: what it had is over.
            self.end_sessions(Some(time), &fact.proxy);
        }
        if fact.event == "session.start" {
            self.begin_session(fact, time);
        }
        let pid = fact.server.as_ref().and_then(|server| server.pid);
        match (fact.event.as_str(), pid) {
            ("server.open", Some(pid)) => self.open(fact, pid, time),
            ("server.close", Some(pid)) => {
                let all = self.connections.entry(pid).or_default();
                if let Some(last) = all.last_mut() {
                    last.closed.get_or_insert(time);
                }
            }
            ("lease", Some(pid)) => {
                let took = fact.duration_ms.unwrap_or_default();
                let took = TimeDelta::milliseconds(i64::try_from(took).unwrap_or(i64::MAX / 2));
                self.leases.entry(pid).or_default().push(Span {
                    client: fact.client.clone().unwrap_or_default(),
                    // The duration is cut to whole milliseconds.
                    from: time - took - TimeDelta::milliseconds(1),
                    until: Some(time),
                });
            }
            ("credential.use" | "session.summary" | "session.end", _) => {
                self.session(fact, pid, time);
            }
            ("rotation.step" | "rotation.begin", _) => {
                self.rotations.push((time - ROTATION, time));
            }
            _ => {}
        }
    }

    fn open(&mut self, fact: &Fact, pid: i32, time: DateTime<Utc>) {
        let credential = fact.credential.clone().unwrap_or_default();
        self.connections.entry(pid).or_default().push(Connection {
            user: credential.user,
            secret: credential.secret,
            version: credential.version,
            opened: time,
            closed: None,
            proxy: fact.proxy.clone(),
        });
    }

    fn session(&mut self, fact: &Fact, pid: Option<i32>, time: DateTime<Utc>) {
        let Some(id) = &fact.session else { return };
        let key = (fact.proxy.clone(), id.clone());
        let session = self.open.entry(key.clone()).or_default();
        session.client = fact.client.clone().unwrap_or_default();
        session.from.get_or_insert(time);
        let used = fact.uses.iter().flat_map(|used| used.pids.iter().copied());
        session.pids.extend(pid.into_iter().chain(used));
        if fact.event == "session.end"
            && let Some(session) = self.open.remove(&key)
        {
            self.end(session, Some(time));
        }
    }

    /// In a container, a process may have the name and the process id of one that was killed, and
    /// counts its sessions from 1 like that one.
    fn begin_session(&mut self, fact: &Fact, time: DateTime<Utc>) {
        let Some(id) = &fact.session else { return };
        let key = (fact.proxy.clone(), id.clone());
        if let Some(killed) = self.open.remove(&key) {
            self.never_ends(&key.0, &killed);
            self.end(killed, Some(time));
        }
    }

    fn never_ends(&mut self, proxy: &str, session: &Session) {
        let Some(from) = session.from else { return };
        let span = Span {
            client: session.client.clone(),
            from,
            until: None,
        };
        self.endless.entry(proxy.to_owned()).or_default().push(span);
    }

    fn end(&mut self, mut session: Session, until: Option<DateTime<Utc>>) {
        session.pids.sort_unstable();
        session.pids.dedup();
        let Some(from) = session.from else { return };
        for pid in session.pids {
            self.sessions.entry(pid).or_default().push(Span {
                client: session.client.clone(),
                from,
                until,
            });
        }
    }

    /// Ends the sessions of other processes than `proxy`.
    fn end_sessions(&mut self, until: Option<DateTime<Utc>>, proxy: &str) {
        let others = self.open.extract_if(|(of, _), _| of != proxy);
        let open: Vec<_> = others.collect();
        for ((of, _), session) in open {
            self.never_ends(&of, &session);
            self.end(session, until);
        }
    }
}
