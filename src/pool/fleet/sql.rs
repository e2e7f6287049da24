//! What the ledger's session says to the server: plain queries, whose values are numbers and
//! names in quotes.
//!
//! Locks are advisory locks of two numbers in the database. The first number says what the lock
//! is about, and is made of the database's name in the configuration, so that two of them do not
//! meet on one server. The second one is the value: a share, a process id, a demand. Locks that
//! hold a value are shared ones, which never wait. The one lock that is waited for is held for
//! one statement, whose transaction ends without the client.

use std::collections::BTreeSet;
use std::fmt::Write;

use aws_lc_rs::digest::{SHA256, digest};

use super::plan::Member;
use crate::upstream::Rows;

/// The first numbers of the locks of one database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Locks {
    /// Held by whoever takes more.
    pub turn: u32,
    pub share: u32,
    pub want: u32,
    /// Process ids. The same for all databases, because the connections of several may have one
    /// role.
    pub pid: u32,
}

impl Locks {
    pub fn of(database: &str) -> Self {
        let first = number(&format!("pgvalet fleet share {database}"));
        Self {
            turn: first,
            share: first + 1,
            want: first + 2,
            pid: number("pgvalet fleet connections"),
        }
    }
}

/// A number that nobody else uses by chance: positive as one of Postgres, and with room for four.
fn number(of: &str) -> u32 {
    let hash = digest(&SHA256, of.as_bytes());
    let hash = hash.as_ref().first_chunk().copied().unwrap_or_default();
    u32::from_be_bytes(hash) & 0x7fff_fffc
}

/// Prepares a session: it has to last, and a server soon notices when its host is gone.
pub(super) const PREPARE: &str = "SET application_name = 'pgvalet fleet'; \
SET search_path = pg_catalog; SET lock_timeout = '2s'; SET tcp_keepalives_idle = 5; \
SET tcp_keepalives_interval = 2; SET tcp_keepalives_count = 3; \
SELECT pg_catalog.set_config(name, '0', false) FROM pg_catalog.pg_settings \
WHERE name OPERATOR(pg_catalog.=) ANY (ARRAY['statement_timeout', 'transaction_timeout', \
'idle_session_timeout', 'idle_in_transaction_session_timeout'])";

pub(super) fn lock(class: u32, value: usize) -> String {
    format!("SELECT pg_catalog.pg_advisory_lock_shared({class}, {value})")
}

pub(super) fn unlock(class: u32, value: usize) -> String {
    format!("SELECT pg_catalog.pg_advisory_unlock_shared({class}, {value})")
}

/// Locks or unlocks several values.
pub(super) fn each(function: &str, class: u32, values: &BTreeSet<i32>) -> String {
    let list: Vec<String> = values.iter().map(i32::to_string).collect();
    format!(
        "SELECT pg_catalog.{function}({class}, v) FROM pg_catalog.unnest(ARRAY[{}]::pg_catalog.int4[]) AS v",
        list.join(", ")
    )
}

/// What is asked of all shares.
pub(super) struct Question<'a> {
    pub locks: Locks,
    /// The ceiling of all replicas.
    pub of: usize,
    /// What this replica has locked.
    pub share: usize,
    /// Up to which it is to have more; `share`, if it is to have no more.
    pub upto: usize,
    /// The sessions of its own ledger, beside the one that asks.
    pub mine: &'a [i32],
    /// Whose connections are those of replicas, beside the roles of the other ledgers.
    pub roles: &'a BTreeSet<String>,
    /// Whose locks count. Anybody who can connect to the database can take such locks.
    /// `None`: everybody's, because not all roles of the replicas are known.
    pub trusted: Option<&'a BTreeSet<String>>,
}

impl Question<'_> {
    /// The query. It takes the larger share itself, so that no other replica can take the same.
    pub fn sql(&self) -> String {
        let Self {
            of, share, upto, ..
        } = self;
        let Locks {
            turn,
            share: s,
            pid: p,
            want: w,
        } = self.locks;
        let mut mine = "pg_catalog.pg_backend_pid()".to_owned();
        for pid in self.mine {
            let _ = write!(mine, ", {pid}"); // a String never fails
        }
        let roles = list(self.roles);
        let trusted = self.trusted.map_or_else(String::new, |roles| {
            format!(" WHERE a.usename IN ({})", list(roles))
        });
        let turn = match upto > share {
            true => format!("SELECT pg_catalog.pg_advisory_xact_lock({turn}, 0); "),
            false => String::new(),
        };
        // `a`: who is in the database; `h`: who holds locks; `l`: the locks that count; `m`: the
        // other replicas; `o`: connections in no ledger.
        format!(
            "{turn}WITH a AS (SELECT pid, usename, backend_type FROM pg_catalog.pg_stat_activity \
             WHERE datname = pg_catalog.current_database()), \
             h AS (SELECT pid, classid::pg_catalog.int8 AS c, objid::pg_catalog.int8 AS v \
             FROM pg_catalog.pg_locks WHERE locktype = 'advisory' AND objsubid = 2 AND granted \
             AND classid::pg_catalog.int8 IN ({s}, {p}, {w}) \
             AND database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())), \
             l AS (SELECT h.pid, h.c, h.v FROM h JOIN a ON a.pid = h.pid{trusted}), \
             m AS (SELECT pid, \
             GREATEST(COALESCE(pg_catalog.max(v) FILTER (WHERE c = {s}), 0), pg_catalog.count(*) FILTER (WHERE c = {p} AND v > 0)) AS load, \
             COALESCE(pg_catalog.max(v) FILTER (WHERE c = {w}), 0) AS want \
             FROM l WHERE pid NOT IN ({mine}) GROUP BY pid HAVING pg_catalog.bool_or(c IN ({s}, {w}))), \
             o AS (SELECT pg_catalog.count(*) AS n FROM a \
             WHERE (a.usename IN ({roles}) OR a.usename IN (SELECT k.usename FROM a AS k \
             WHERE k.pid IN (SELECT h.pid FROM h WHERE h.c IN ({s}, {w})))) \
             AND COALESCE(a.backend_type, 'client backend') = 'client backend' \
             AND a.pid NOT IN ({mine}) AND NOT EXISTS (SELECT FROM l WHERE l.pid = a.pid OR (l.c = {p} AND l.v = a.pid))), \
             f AS (SELECT n, {of} - (SELECT COALESCE(pg_catalog.sum(load), 0) FROM m) - n AS free FROM o), \
             g AS (SELECT n, free, GREATEST({share}, LEAST({upto}, free)) AS share FROM f) \
             SELECT 'g', free::pg_catalog.text, share::pg_catalog.text, \
             CASE WHEN share > {share} THEN pg_catalog.pg_advisory_lock_shared({s}, share::pg_catalog.int4)::pg_catalog.text END, \
             n::pg_catalog.text FROM g \
             UNION ALL SELECT 'm', load::pg_catalog.text, want::pg_catalog.text, NULL, NULL FROM m"
        )
    }
}

/// Roles as literals.
fn list(roles: &BTreeSet<String>) -> String {
    let roles: Vec<String> = roles.iter().map(|role| quoted(role)).collect();
    roles.join(", ")
}

/// Who holds the lock of the turn, if anybody does.
pub(super) fn holder(turn: u32) -> String {
    format!(
        "SELECT pg_catalog.concat('role \"', a.usename, '\", pid ', k.pid) \
         FROM pg_catalog.pg_locks AS k JOIN pg_catalog.pg_stat_activity AS a ON a.pid = k.pid \
         WHERE k.locktype = 'advisory' AND k.objsubid = 2 AND k.granted \
         AND k.classid::pg_catalog.int8 = {turn} AND k.objid::pg_catalog.int8 = 0 \
         AND k.pid <> pg_catalog.pg_backend_pid() \
         AND k.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()) LIMIT 1"
    )
}

/// A text as a literal, whatever standard_conforming_strings is.
fn quoted(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('\'', "\\'");
    format!("E'{escaped}'")
}

/// The answer to a [`Question`].
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// What the replica has locked now.
    pub share: usize,
    /// What it might have, of which it has `share`.
    pub free: usize,
    /// Connections that stand in no ledger.
    pub left: usize,
    pub others: Vec<Member>,
}

impl Answer {
    /// `None`: the server answers something else.
    pub fn read(rows: &Rows) -> Option<Self> {
        let number = |row: &Vec<String>, at: usize| row.get(at)?.parse::<i64>().ok();
        let size = |n: i64| usize::try_from(n).unwrap_or(0);
        let mut got = None;
        let mut others = Vec::new();
        for row in rows {
            match row.first().map(String::as_str) {
                Some("g") => {
                    let numbers = [number(row, 1)?, number(row, 2)?, number(row, 4)?];
                    got = Some(numbers.map(size));
                }
                Some("m") => others.push(Member {
                    load: size(number(row, 1)?),
                    want: size(number(row, 2)?),
                }),
                _ => {} // of the turn
            }
        }
        let [free, share, left] = got?;
        Some(Self {
            share,
            free,
            left,
            others,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn databases_have_locks_of_their_own() {
        let (a, b) = (Locks::of("a"), Locks::of("b"));
        assert_ne!(a, b);
        assert_eq!((a, a.pid), (Locks::of("a"), b.pid));
        for locks in [a, b] {
            assert!(locks.want <= 0x7fff_ffff);
            assert_eq!((locks.share, locks.want), (locks.turn + 1, locks.turn + 2));
        }
    }

    #[test]
    fn an_answer_is_read_with_the_rows_of_the_turn_before_it() {
        let row = |cells: &[&str]| cells.iter().map(|c| (*c).to_owned()).collect::<Vec<_>>();
        let rows = vec![
            row(&[""]),
            row(&["g", "-3", "4", "", "2"]),
            row(&["m", "7", "9", "", ""]),
        ];
        let answer = Answer {
            share: 4,
            free: 0,
            left: 2,
            others: vec![Member { load: 7, want: 9 }],
        };
        assert_eq!(Answer::read(&rows), Some(answer));
        assert_eq!(Answer::read(&vec![row(&[""])]), None);
        assert_eq!(Answer::read(&vec![row(&["g", "x", "4", "", "2"])]), None);
    }

    #[test]
    fn names_of_roles_stay_names() {
        assert_eq!(quoted("o'b\\"), "E'o\\'b\\\\'");
    }
}
