//! What a session has done with each version: how often, how much, when, and by which server
//! processes. A summary takes it from here.

#[cfg(test)]
mod tests;

use std::time::{Duration, SystemTime};

use chrono::{DateTime, SecondsFormat, Utc};

use super::handle::Handle;
use crate::audit::{CredentialRef, UseRef};

/// The most server processes that one summary names; the others are counted.
const MOST_PIDS: usize = 64;

/// What has passed through a session.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Traffic {
    pub transactions: u64,
    /// Bytes from the client, and to it.
    pub received: u64,
    pub sent: u64,
}

impl Traffic {
    /// What came after `before`.
    pub fn since(self, before: Self) -> Self {
        Self {
            transactions: self.transactions.saturating_sub(before.transactions),
            received: self.received.saturating_sub(before.received),
            sent: self.sent.saturating_sub(before.sent),
        }
    }

    fn add(&mut self, more: Self) {
        self.transactions += more.transactions;
        self.received += more.received;
        self.sent += more.sent;
    }
}

/// The versions that a session has used.
#[derive(Default)]
pub(super) struct Uses {
    list: Vec<Use>,
    /// The version that the session uses now.
    current: Option<usize>,
    /// What has been counted for one of the versions.
    counted: Traffic,
}

struct Use {
    generation: u64,
    credential: CredentialRef,
    /// The time of the first use, in milliseconds of Unix time.
    since: u64,
    /// The server process that the record of its first use names.
    first_pid: Option<i32>,
    /// What was done since the last summary.
    span: Span,
}

#[derive(Default)]
struct Span {
    leases: u64,
    traffic: Traffic,
    /// The time of the first use: milliseconds of Unix time, by the clock of the registry.
    first: u64,
    last: u64,
    pids: Vec<i32>,
    other_pids: u64,
}

impl Uses {
    /// A version is used for the first time, at `now`.
    pub fn begin(&mut self, generation: u64, credential: CredentialRef, now: u64) {
        self.list.push(Use {
            generation,
            credential,
            since: now,
            first_pid: None,
            span: Span::default(),
        });
    }

    /// A lease begins at `now`, of a version that was begun.
    pub fn lease(&mut self, generation: u64, pid: i32, now: u64) {
        let used = self.list.iter().rposition(|u| u.generation == generation);
        self.current = used;
        let Some(at) = used else { return };
        self.list[at].first_pid.get_or_insert(pid);
        let span = &mut self.list[at].span;
        span.leases += 1;
        span.touch(now);
        if span.pids.last() != Some(&pid) && !span.pids.contains(&pid) {
            match span.pids.len() < MOST_PIDS {
                true => span.pids.push(pid),
                false => span.other_pids += 1,
            }
        }
    }

    /// Counts all that has passed through the session until `now` for the version in use.
    pub fn count(&mut self, traffic: Traffic, now: u64) {
        let Some(at) = self.current else { return };
        let more = traffic.since(self.counted);
        self.counted = traffic;
        if more.transactions > 0 || more.sent > 0 {
            self.list[at].span.touch(now);
        }
        self.list[at].span.traffic.add(more);
    }

    /// Another process has counted this much of the session.
    pub fn go_on(&mut self, traffic: Traffic) {
        self.counted = traffic;
    }

    /// The lease has ended.
    pub fn end(&mut self) {
        self.current = None;
    }

    /// Takes out, at the end of a session, what each version was used for, without what other
    /// records of the session say. `all` has passed through the session.
    pub fn finish(&mut self, all: Traffic) -> Vec<UseRef> {
        let first_pid = match &self.list[..] {
            [one] => one.first_pid,
            _ => return self.take(),
        };
        let mut told = self.take();
        for used in &mut told {
            (used.secret, used.version) = Default::default();
            used.first.clear();
            if used.pids.len() == 1 && used.pids.first() == first_pid.as_ref() {
                used.pids.clear();
            }
            // The last bytes of a session are of no lease.
            if used.transactions == Some(all.transactions) {
                (used.transactions, used.bytes_in, used.bytes_out) = (None, None, None);
            }
        }
        told
    }

    /// What each version was used for since this was asked last. A version that was not used is
    /// left out.
    pub fn take(&mut self) -> Vec<UseRef> {
        let used = self.list.iter_mut().filter(|u| u.span.is_used());
        used.map(|u| {
            let span = std::mem::take(&mut u.span);
            if let Some(last) = span.pids.last() {
                u.span.pids.push(*last); // the lease may go on
            }
            span.told_of(&u.credential)
        })
        .collect()
    }
}

impl Span {
    fn touch(&mut self, now: u64) {
        if self.first == 0 {
            self.first = now;
        }
        self.last = now;
    }

    fn is_used(&self) -> bool {
        self.leases > 0 || self.traffic != Traffic::default()
    }

    fn told_of(self, credential: &CredentialRef) -> UseRef {
        UseRef {
            secret: credential.secret.clone(),
            version: credential.version.clone(),
            leases: self.leases,
            transactions: Some(self.traffic.transactions),
            bytes_in: Some(self.traffic.received),
            bytes_out: Some(self.traffic.sent),
            first: time(self.first),
            last: time(self.last),
            pids: self.pids,
            other_pids: self.other_pids,
        }
    }
}

/// A time to the second: the clock of the registry is not more exact.
fn time(ms: u64) -> String {
    let time = SystemTime::UNIX_EPOCH + Duration::from_millis(ms);
    DateTime::<Utc>::from(time).to_rfc3339_opts(SecondsFormat::Secs, true)
}

impl Handle {
    /// Notes that a version is used for the first time.
    pub(in crate::session) fn use_begins(&self, generation: u64, credential: CredentialRef) {
        let now = self.clock.now();
        self.uses.lock().begin(generation, credential, now);
    }

    /// Notes that a lease of a version begins.
    pub(in crate::session) fn lease_begins(&self, generation: u64, pid: i32) {
        let now = self.clock.now();
        self.uses.lock().lease(generation, pid, now);
    }

    /// Notes what has passed through the session; `ended`: with that its lease ends.
    pub(in crate::session) fn count(&self, traffic: Traffic, ended: bool) {
        let now = self.clock.now();
        let mut uses = self.uses.lock();
        uses.count(traffic, now);
        if ended {
            uses.end();
        }
    }

    /// Notes what another process has counted of the session.
    pub(in crate::session) fn goes_on(&self, traffic: Traffic) {
        self.uses.lock().go_on(traffic);
    }

    /// What [`take_uses`](Self::take_uses) says, at the end of the session: without what other
    /// records of the session say.
    pub(in crate::session) fn finish_uses(&self, all: Traffic) -> Vec<UseRef> {
        self.uses.lock().finish(all)
    }

    /// The versions that the session has used, and when each was used first.
    pub(in crate::session) fn versions(&self) -> Vec<(CredentialRef, SystemTime)> {
        let uses = self.uses.lock();
        let used = uses.list.iter();
        let first = |u: &Use| SystemTime::UNIX_EPOCH + Duration::from_millis(u.since);
        used.map(|u| (u.credential.clone(), first(u))).collect()
    }

    /// What each version was used for since this was asked last.
    pub fn take_uses(&self) -> Vec<UseRef> {
        self.uses.lock().take()
    }
}
