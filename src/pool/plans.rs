//! Plans of texts that clients parse without a name, again and again (`reuse_plans`).
//!
//! A text that comes for the second time under the same settings is prepared under a name
//! of pgvalet's. When it comes again, that copy stands for the unnamed statement, and the
//! server neither parses nor plans it. A copy is as old as its Parse: what was parsed before
//! the pool saw DDL is not used any more. Postgres itself notices DDL that came another way
//! (plancache.c, RevalidateCachedQuery); where it then refuses the copy, the text is parsed
//! anew before the client sees anything (`session/relay/from_client/plans.rs`).

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

use super::profile::ParseSettings;
use super::statements::Statement;

/// The number of plans that a pool knows. When there are more, it begins again.
const MOST: usize = 1024;
/// The number of texts of which a pool remembers that they came once.
const SEEN: usize = 1024;

/// What a pool knows of a text.
pub enum Plan {
    /// The text is new: it may never come again.
    New,
    /// The text came before, and has no plan.
    Again,
    Known(Arc<Statement>),
}

/// How much DDL the pools of a process have seen: what one client changes concerns the clients
/// of every pool that leads to the same server.
#[derive(Clone, Default)]
pub struct Ddl(Arc<Seen>);

#[derive(Default)]
struct Seen {
    count: AtomicU64,
    watched: AtomicBool,
}

impl Ddl {
    pub fn note(&self) {
        self.0.count.fetch_add(1, Relaxed);
    }

    /// Whether a pool keeps plans, or has kept some.
    pub fn is_watched(&self) -> bool {
        self.0.watched.load(Relaxed)
    }
}

/// The plans of a pool.
#[derive(Default)]
pub struct Plans {
    on: AtomicBool,
    /// Digests of texts that came once. Each has one place, where a later one replaces it.
    seen: OnceLock<Box<[AtomicU64]>>,
    known: Mutex<HashMap<u64, Arc<Statement>>>,
    /// The key is random, so that no client can choose texts whose digests collide.
    hasher: RandomState,
    pub ddl: Ddl,
    /// How much of the DDL was taken note of, and the number of the first copy that was parsed
    /// after it.
    noted: Mutex<(u64, u64)>,
}

impl Plans {
    pub(super) fn sharing(ddl: Ddl) -> Self {
        Self {
            ddl,
            ..Self::default()
        }
    }

    /// Whether `reuse_plans` is in force.
    pub fn are_kept(&self) -> bool {
        self.on.load(Relaxed)
    }

    pub fn keep_them(&self, on: bool) {
        self.on.store(on, Relaxed);
        if on {
            self.ddl.0.watched.store(true, Relaxed);
        } else {
            *self.known.lock() = HashMap::new();
        }
    }

    /// Says what is known of a text, which is not new any more from now on. `body`: that of its
    /// Parse behind the name.
    pub fn find(&self, body: &[u8], settings: &ParseSettings) -> Plan {
        let digest = self.hasher.hash_one((body, settings));
        if let Some(statement) = self.known.lock().get(&digest)
            && is_of(statement, body, settings)
        {
            return Plan::Known(statement.clone());
        }
        let seen = self
            .seen
            .get_or_init(|| (0..SEEN).map(|_| AtomicU64::new(0)).collect());
        let place = seen.get(digest as usize % SEEN);
        match place.is_some_and(|place| place.swap(digest, Relaxed) == digest) {
            true => Plan::Again,
            false => Plan::New,
        }
    }

    /// Keeps the plan of a statement, if its settings are known.
    pub fn keep(&self, statement: &Arc<Statement>) {
        if !self.are_kept() {
            return;
        }
        let Some(settings) = statement.settings.get() else {
            return;
        };
        let digest = self.hasher.hash_one((&*statement.body, settings));
        let mut known = self.known.lock();
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(digest, statement.clone());
    }

    /// Forgets the plan of a statement: the server has refused a copy of it.
    pub fn forget(&self, id: u64) {
        self.known.lock().retain(|_, statement| statement.id != id);
    }

    /// The number of the first copy that may be used: others were parsed before DDL, and may
    /// mean something else now. `next`: gives a number higher than that of any copy.
    pub fn since(&self, next: impl FnOnce() -> u64) -> u64 {
        let seen = self.ddl.0.count.load(Relaxed);
        let mut noted = self.noted.lock();
        if noted.0 != seen {
            *noted = (seen, next());
        }
        noted.1
    }
}

fn is_of(statement: &Statement, body: &[u8], settings: &ParseSettings) -> bool {
    *statement.body == *body && statement.settings.get() == Some(settings)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::{Profile, Statements};

    fn settings(defaults: u64) -> ParseSettings {
        Profile::initial().parse_settings(defaults)
    }

    #[test]
    fn a_text_has_a_plan_when_it_comes_again_under_the_same_settings() {
        let statements = Statements::default();
        let plans = &statements.plans;
        plans.keep_them(true);
        let body = b"select 1\0\0\0";
        assert!(matches!(plans.find(body, &settings(0)), Plan::New));
        assert!(matches!(plans.find(body, &settings(0)), Plan::Again));
        let parsed = statements.parse(body, Some(settings(0)));
        plans.keep(&parsed);
        assert!(matches!(plans.find(body, &settings(0)), Plan::Known(s) if s.id == parsed.id));
        assert!(matches!(plans.find(body, &settings(1)), Plan::New));
        assert!(matches!(
            plans.find(b"select 2\0\0\0", &settings(0)),
            Plan::New
        ));
        plans.forget(parsed.id);
        assert!(!matches!(plans.find(body, &settings(0)), Plan::Known(_)));
    }

    #[test]
    fn there_are_so_many_and_no_more() {
        let statements = Statements::default();
        statements.plans.keep_them(true);
        for n in 0..3 * MOST {
            let body = format!("select {n}\0\0\0");
            let parsed = statements.parse(body.as_bytes(), Some(settings(0)));
            statements.plans.keep(&parsed);
            assert!(statements.plans.known.lock().len() <= MOST);
        }
        statements.plans.keep_them(false);
        assert!(statements.plans.known.lock().is_empty());
    }

    #[test]
    fn what_was_parsed_before_ddl_is_not_used() {
        let ddl = Ddl::default();
        let [one, other] = [(); 2].map(|()| Statements::sharing(ddl.clone()));
        let since = |of: &Statements| of.plans.since(|| of.number());
        for statements in [&one, &other] {
            since(statements);
            let before = statements.number();
            assert!(before >= since(statements));
            one.plans.ddl.note();
            assert!(before < since(statements));
            assert!(statements.number() >= since(statements));
        }
    }
}
