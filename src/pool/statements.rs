//! Prepared statements that outlive a lease.
//!
//! A client's statement name is its own. Each of its Parse messages reaches the
//! server, under a fresh name of pgvalet's, so that a text means what it means at
//! that moment: under the settings in force, and after any DDL that was run. What
//! the server makes of it (parameter types, columns) is compared with what other
//! clients got for the same text under the same settings; where all of it is equal,
//! they share one [`Statement`], and its copies on server connections.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock, Weak};

use aws_lc_rs::digest::{Context, SHA256};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::plans::{Ddl, Plans};
use super::profile::ParseSettings;
use crate::wire::frame::{HEADER, cstr};
use crate::wire::sql::{Suspicion, makes_table, suspect};

/// What a client has parsed.
pub struct Statement {
    pub id: u64,
    /// The body of its Parse message behind the name: text, NUL, parameter types.
    pub body: Arc<[u8]>,
    /// What may stay on a connection that runs it.
    pub suspicion: Option<Box<Suspicion>>,
    /// The statement may make a table, and is then answered as a SELECT.
    pub makes_table: bool,
    /// The settings under which the statement was parsed, where they are known.
    pub settings: OnceLock<ParseSettings>,
    described: OnceLock<Described>,
}

/// What Describe has said about a statement.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Described {
    /// ParameterDescription's body: a count, and the type of each parameter.
    pub parameters: Box<[u8]>,
    /// A digest of its RowDescription.
    pub columns: [u8; 16],
}

impl Statement {
    fn new(id: u64, body: &[u8], settings: Option<ParseSettings>) -> Self {
        Self {
            id,
            body: body.into(),
            suspicion: suspect(cstr(body).unwrap_or(body)),
            makes_table: makes_table(cstr(body).unwrap_or(body)),
            settings: settings.map_or_else(OnceLock::new, OnceLock::from),
            described: OnceLock::new(),
        }
    }

    /// What Describe has said about the statement.
    pub fn description(&self) -> Option<&Described> {
        self.described.get()
    }

    /// The body with which the statement is parsed again: the parameter types are those that it was
    /// found to have, as Postgres itself does when it analyses a statement again
    /// (RevalidateCachedQuery, plancache.c).
    pub fn body_again(&self) -> Vec<u8> {
        let Some(described) = self.described.get() else {
            return self.body.to_vec();
        };
        let text = cstr(&self.body).unwrap_or(&self.body);
        let mut body = Vec::with_capacity(text.len() + 1 + described.parameters.len());
        body.extend_from_slice(text);
        body.push(0);
        body.extend_from_slice(&described.parameters);
        body
    }
}

/// Statements of two clients are one where all of this is equal.
#[derive(PartialEq, Eq, Hash)]
struct Identity {
    body: Arc<[u8]>,
    settings: ParseSettings,
    described: Described,
}

/// The statements of a pool's clients.
pub struct Statements {
    /// A random prefix of the names on the server: SQL (EXECUTE, DEALLOCATE) reaches
    /// statements by these names, so no client may guess another one's.
    prefix: String,
    known: Mutex<HashMap<Identity, Weak<Statement>>>,
    /// Gives numbers to statements and names: what is parsed later has a higher one.
    next: AtomicU64,
    /// What clients keep by name, in bytes.
    kept: AtomicU64,
    /// Plans of statements without a name.
    pub plans: Plans,
}

impl Default for Statements {
    fn default() -> Self {
        let random = uuid::Uuid::new_v4().simple().to_string();
        Self::named(&random[..16])
    }
}

impl Statements {
    /// `ddl`: what the pools of the process have seen.
    pub fn sharing(ddl: Ddl) -> Self {
        Self {
            plans: Plans::sharing(ddl),
            ..Self::default()
        }
    }

    /// Statements whose names a test can foretell.
    pub(crate) fn named(word: &str) -> Self {
        Self {
            prefix: format!("pgvalet_{word}_"),
            known: Mutex::default(),
            next: AtomicU64::new(0),
            kept: AtomicU64::new(0),
            plans: Plans::default(),
        }
    }

    /// Gives a number that was never given before; the name that belongs to it was never used on
    /// any server connection.
    pub fn number(&self) -> u64 {
        self.next.fetch_add(1, Relaxed) + 1
    }

    /// The name on a server connection that belongs to a number.
    pub fn server_name(&self, number: u64) -> String {
        format!("{}{number}", self.prefix)
    }

    /// Writes the name on a server connection that belongs to a number, without a NUL.
    pub fn write_name(&self, number: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(self.prefix.as_bytes());
        let (mut digits, mut at, mut rest) = ([0; 20], 20, number);
        loop {
            at -= 1;
            digits[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        out.extend_from_slice(&digits[at..]);
    }

    /// A statement whose Parse is on its way. `settings`: those in force, where
    /// they are known.
    pub fn parse(&self, body: &[u8], settings: Option<ParseSettings>) -> Arc<Statement> {
        Arc::new(Statement::new(self.number(), body, settings))
    }

    /// A digest of what a RowDescription, or NoData, says of the columns. It covers
    /// what Postgres compares before it uses a plan again (equalTupleDescs,
    /// tupdesc.c), which does not include the table of a column. No client can choose
    /// columns whose digests collide, and another process computes the same one.
    pub fn digest(message: &[u8]) -> [u8; 16] {
        let mut columns = Context::new(&SHA256);
        columns.update(message.get(..1).unwrap_or_default());
        let mut rest = message.get(HEADER + 2..).unwrap_or_default();
        while let Some(name) = cstr(rest) {
            // Table (4), attribute (2), type (4), its size (2), modifier (4),
            // format (2).
            let fields = &rest[name.len() + 1..];
            let Some((fields, after)) = fields.split_at_checked(18) else {
                break;
            };
            // Neither a name nor what stands in front of one has a NUL at its end alone.
            columns.update(name);
            columns.update(&[0]);
            columns.update(&fields[6..16]);
            rest = after;
        }
        let digest = columns.finish();
        let mut first = [0; 16];
        first.copy_from_slice(&digest.as_ref()[..16]);
        first
    }

    /// Whether a statement that was parsed again still has the columns that its
    /// client knows.
    pub fn is_still(&self, statement: &Statement, described: &Described) -> bool {
        let known = statement.described.get_or_init(|| described.clone());
        known.columns == described.columns
    }

    /// Notes what the server has said about a statement. Returns the one that stands
    /// for it: an earlier one of the same text, settings and meaning, or itself.
    pub fn described(&self, statement: &Arc<Statement>, described: Described) -> Arc<Statement> {
        let _ = statement.described.set(described.clone());
        let Some(settings) = statement.settings.get() else {
            return statement.clone(); // its settings are unknown, so nobody may share it
        };
        let identity = Identity {
            body: statement.body.clone(),
            settings: settings.clone(),
            described,
        };
        let mut known = self.known.lock();
        if let Some(same) = known.get(&identity).and_then(Weak::upgrade) {
            return same;
        }
        // Sweeping whenever the map has doubled keeps it within twice of what
        // is alive, at a constant cost a statement.
        if known.len() == known.capacity() {
            known.retain(|_, s| s.strong_count() > 0);
        }
        known.insert(identity, Arc::downgrade(statement));
        statement.clone()
    }

    /// Whether all clients together may keep this many bytes more by name.
    pub fn has_room(&self, bytes: u64) -> bool {
        self.kept.load(Relaxed).saturating_add(bytes) <= MAX_KEPT
    }

    /// Counts what clients keep by name: `more` bytes are added, and `less` bytes are gone.
    pub fn keeps(&self, more: u64, less: u64) {
        self.kept.fetch_add(more, Relaxed);
        self.kept.fetch_sub(less, Relaxed);
    }
}

/// What all clients of a pool together may keep by name, in bytes. (A client also
/// has a limit of its own; this one holds against many clients just below theirs.)
pub const MAX_KEPT: u64 = 256 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::Profile;

    fn described(parameter: u8) -> Described {
        Described {
            parameters: [0, 1, 0, 0, 0, parameter].into(),
            columns: [7; 16],
        }
    }

    fn settings() -> Option<ParseSettings> {
        Some(Profile::initial().parse_settings(0))
    }

    #[test]
    fn equal_meanings_are_one_statement_while_somebody_has_it() {
        let statements = Statements::default();
        let parse = |body: &[u8], parameter| {
            let statement = statements.parse(body, settings());
            statements.described(&statement, described(parameter))
        };
        let one = parse(b"select $1\0\0\0", 23);
        assert_eq!(one.id, parse(b"select $1\0\0\0", 23).id);
        assert_ne!(one.id, parse(b"select  $1\0\0\0", 23).id);
        // The same text may have come to mean something else.
        assert_ne!(one.id, parse(b"select $1\0\0\0", 25).id);
        let id = one.id;
        drop(one);
        assert_ne!(id, parse(b"select $1\0\0\0", 23).id);
    }

    #[test]
    fn under_unknown_settings_nothing_is_shared() {
        let statements = Statements::default();
        let parse = || {
            let statement = statements.parse(b"select 1\0\0\0", None);
            statements.described(&statement, described(23)).id
        };
        assert_ne!(parse(), parse());
    }

    #[test]
    fn parsed_again_it_keeps_its_parameter_types() {
        let statements = Statements::default();
        let statement = statements.parse(b"select $1\0\0\0", settings());
        assert_eq!(statement.body_again(), b"select $1\0\0\0");
        statements.described(&statement, described(25));
        assert_eq!(statement.body_again(), b"select $1\0\0\x01\0\0\0\x19");
    }

    #[test]
    fn a_name_is_written_as_it_is_said() {
        let statements = Statements::named("test");
        for number in [0, 7, 10, 1234567890, u64::MAX] {
            let mut out = Vec::new();
            statements.write_name(number, &mut out);
            assert_eq!(out, statements.server_name(number).as_bytes());
        }
    }
}
