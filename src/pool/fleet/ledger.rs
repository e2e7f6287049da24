//! The session of a replica that holds its share, and what it has locked.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::timeout;

use super::super::{Lease, Profile};
use super::sql::{Answer, Locks, PREPARE, Question, each, holder, lock, unlock};
use crate::upstream::QueryError;

/// How long the server may take to answer. It waits two seconds for a lock.
const ANSWER: Duration = Duration::from_secs(10);

/// What a replica has to tell the others, and what it would like.
pub(super) struct Entry {
    /// The connections that it has, sessions of ledgers aside.
    pub pids: BTreeSet<i32>,
    /// Those that it would have use for.
    pub demand: usize,
    /// What its share may shrink to.
    pub down_to: usize,
    /// What it is to grow to, as far as that is free.
    pub upto: usize,
    /// The ceiling of all replicas.
    pub of: usize,
    /// The sessions of its own ledgers.
    pub mine: Vec<i32>,
    pub roles: BTreeSet<String>,
    /// Whose locks count; `None`: everybody's.
    pub trusted: Option<BTreeSet<String>>,
}

pub(super) struct Ledger {
    pub lease: Lease,
    locks: Locks,
    /// What is locked.
    share: Option<usize>,
    want: Option<usize>,
    pids: BTreeSet<i32>,
}

impl Ledger {
    /// Makes a ledger of a connection.
    ///
    /// # Errors
    /// The connection is good for nothing, and is to be ended.
    pub async fn open(mut lease: Lease, database: &str) -> Result<Self, (Lease, QueryError)> {
        // A client may have used it, with settings of its own.
        let reset = Profile::initial().change_from(&lease.profile);
        let locks = Locks::of(database);
        // Ledgers of other databases of the configuration know it by this lock for one, whatever
        // it has locked besides.
        let known = lock(locks.pid, 0);
        let own = [PREPARE, &known];
        let queries: Vec<&str> = reset.as_deref().into_iter().chain(own).collect();
        lease.profile = Profile::initial();
        if let Err(e) = ask(&mut lease, &queries).await {
            return Err((lease, e));
        }
        Ok(Self {
            lease,
            locks,
            share: None,
            want: None,
            pids: BTreeSet::new(),
        })
    }

    pub fn pid(&self) -> i32 {
        self.lease.backend().pid.0
    }

    /// The share that is locked.
    pub fn share(&self) -> usize {
        self.share.unwrap_or(0)
    }

    /// Brings the locks up to date, takes more if that is wanted, and reads those of the others.
    /// `held`: what another session of the same replica has locked, which is to be held here.
    ///
    /// # Errors
    /// [`QueryError`]. After `Refused` everything is as it was, but for what was brought up to
    /// date.
    pub async fn write(&mut self, entry: &Entry, held: usize) -> Result<Answer, QueryError> {
        let before = self.share().max(held);
        let share = entry.down_to.min(before);
        let question = Question {
            locks: self.locks,
            of: entry.of,
            share,
            upto: entry.upto.max(share),
            mine: &entry.mine,
            roles: &entry.roles,
            trusted: entry.trusted.as_ref(),
        };
        // In two exchanges, because a question fails where the turn of another replica lasts.
        let changes = self.changes(entry, share);
        if !changes.is_empty() {
            let texts: Vec<&str> = changes.iter().map(String::as_str).collect();
            ask(&mut self.lease, &texts).await.map_err(broken)?;
        }
        (self.want, self.share) = (Some(entry.demand), Some(share));
        self.pids.clone_from(&entry.pids);
        let rows = ask(&mut self.lease, &[&question.sql()]).await?;
        let answer = rows.last().and_then(Answer::read);
        let answer = answer.ok_or(QueryError::Protocol)?;
        if answer.share > share {
            // Only now is the larger one known to be locked.
            let unlock = unlock(self.locks.share, share);
            ask(&mut self.lease, &[&unlock]).await.map_err(broken)?;
            self.share = Some(answer.share);
        }
        Ok(answer)
    }

    /// Who holds the lock of the turn, if anybody does by now.
    pub async fn holder(&mut self) -> Option<String> {
        let sql = holder(self.locks.turn);
        let rows = ask(&mut self.lease, &[&sql]).await.ok()?;
        rows.into_iter().flatten().flatten().next()
    }

    /// Queries for what has changed: what is added comes before what is taken away, so that the
    /// others never see less than there is.
    fn changes(&self, entry: &Entry, share: usize) -> Vec<String> {
        let mut queries = Vec::new();
        let new: BTreeSet<i32> = entry.pids.difference(&self.pids).copied().collect();
        let gone: BTreeSet<i32> = self.pids.difference(&entry.pids).copied().collect();
        if !new.is_empty() {
            queries.push(each("pg_advisory_lock_shared", self.locks.pid, &new));
        }
        for (class, before, now) in [
            (self.locks.want, self.want, entry.demand),
            (self.locks.share, self.share, share),
        ] {
            if before != Some(now) {
                queries.push(lock(class, now));
                queries.extend(before.map(|before| unlock(class, before)));
            }
        }
        if !gone.is_empty() {
            queries.push(each("pg_advisory_unlock_shared", self.locks.pid, &gone));
        }
        queries
    }
}

/// It is not known what is locked, so that this is no refusal after which all is as it was.
fn broken(error: QueryError) -> QueryError {
    match error {
        QueryError::Refused(fields) => QueryError::Io(std::io::Error::other(format!(
            "{}: {}",
            fields.sqlstate, fields.message
        ))),
        error => error,
    }
}

async fn ask(
    lease: &mut Lease,
    queries: &[&str],
) -> Result<Vec<crate::upstream::Rows>, QueryError> {
    match timeout(ANSWER, lease.ask(queries)).await {
        Ok(rows) => rows,
        Err(_) => Err(QueryError::Io(std::io::ErrorKind::TimedOut.into())),
    }
}
