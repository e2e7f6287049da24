//! What the rules have decided, and why.

use std::sync::Arc;

use super::{AdminRight, CONSOLE, Denial, Mismatch, Request, Rule};
use crate::audit::IdentityRef;
use crate::base::nearest;
use crate::pool::{Database, Quota};
use crate::secret::SecretId;

/// What the rules let a client use.
#[derive(Debug, Clone)]
pub enum Granted {
    Database(Grant),
    Console(ConsoleGrant),
}

impl Granted {
    /// The rule that decided.
    pub fn client(&self) -> &Arc<Rule> {
        match self {
            Self::Database(grant) => &grant.client,
            Self::Console(grant) => &grant.client,
        }
    }

    /// The database, where it is not the console.
    pub fn database(self) -> Option<Grant> {
        match self {
            Self::Database(grant) => Some(grant),
            Self::Console(_) => None,
        }
    }
}

/// The console, for a client that may use it.
#[derive(Debug, Clone)]
pub struct ConsoleGrant {
    pub client: Arc<Rule>,
    pub identity: Arc<IdentityRef>,
    pub right: AdminRight,
}

/// A database, for a client that may use it.
#[derive(Debug, Clone)]
pub struct Grant {
    pub client: Arc<Rule>,
    pub database: Arc<Database>,
    pub secret: SecretId,
    pub identity: Arc<IdentityRef>,
    /// The server connections that all clients of the rule together may hold at once.
    pub quota: Quota,
}

/// The outcome, and what each rule had to say, in the order of the file.
#[derive(Debug)]
pub struct Decision {
    pub grant: Result<Granted, Denial>,
    pub rules: Vec<Weighed>,
}

/// A rule, and which of its conditions do not hold.
#[derive(Debug)]
pub struct Weighed {
    pub rule: Arc<Rule>,
    pub mismatches: Vec<Mismatch>,
}

impl Weighed {
    pub fn matches(&self) -> bool {
        self.mismatches.is_empty()
    }

    /// Why each condition does not hold, in a few words.
    pub fn because(&self, request: &Request<'_>) -> Vec<String> {
        self.mismatches
            .iter()
            .map(|m| m.because(&self.rule, request))
            .collect()
    }
}

impl Decision {
    /// What a client may have meant that asks for a name which is nearly one that there is.
    pub fn meant(&self, request: &Request<'_>) -> Option<String> {
        let granted = |database: &str| self.rules.iter().any(|r| r.rule.grants(database));
        let rules = || self.rules.iter().map(|r| &r.rule);
        if !granted(request.database) {
            let databases = rules().flat_map(|r| r.databases.iter().map(AsRef::as_ref));
            let lower = request.database.to_lowercase();
            let near = nearest(request.database, databases.clone().chain(CONSOLE));
            let near = near.or_else(|| nearest(&lower, databases));
            return near.map(|near| format!("database \"{near}\""));
        }
        let only_user = self
            .rules
            .iter()
            .filter(|r| r.mismatches == [Mismatch::User]);
        let users = only_user.flat_map(|r| r.rule.users.iter().flatten());
        let near = nearest(request.user, users.map(String::as_str))?;
        Some(format!("user \"{near}\""))
    }

    /// A line for the log: why each rule that grants the database does not match.
    pub fn why_not(&self, request: &Request<'_>) -> String {
        let near = |r: &&Weighed| !r.matches() && !r.mismatches.contains(&Mismatch::Database);
        let rules: Vec<String> = self
            .rules
            .iter()
            .filter(near)
            .map(|r| {
                let (number, name) = (r.rule.number, &r.rule.name);
                format!("rule {number} ({name}): {}", r.because(request).join(", "))
            })
            .collect();
        match rules.is_empty() {
            true => "no rule grants this database".to_owned(),
            false => rules.join("; "),
        }
    }
}
