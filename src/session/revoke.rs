//! Ending sessions whose access has ended.
//!
//! A session was let in by evidence and rules. Evidence can lapse (a certificate expires or is
//! revoked), and rules change in a reload or with the time of day. The decision is then made
//! again, and a session that would not get the same access now is asked to end.

use std::sync::Arc;
use std::time::SystemTime;

use chrono::{DateTime, Utc};

use super::context::Context;
use super::registry::{ConsoleHandle, Handle, Signal};
use crate::access::{Evidence, Granted, Request, Rule};
use crate::secret::SecretId;
use crate::session::Revoke;

/// What has changed, which decides which sessions are checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The rules, or the trust in certificates: all sessions are checked.
    Change,
    /// The time has passed: the sessions whose access depends on it are checked.
    Time,
}

impl Context {
    /// Asks every session to end that would not get the same access now; returns those that
    /// were not asked before, each with the reason.
    pub fn revoke_lapsed(&self, cause: Cause, how: Revoke) -> Vec<(Arc<Handle>, &'static str)> {
        let now = Utc::now();
        let signal = match how {
            Revoke::Idle => Signal::Revoked,
            Revoke::Now => Signal::RevokedNow,
        };
        let mut asked = Vec::new();
        for session in self.sessions.all() {
            if cause == Cause::Time && !session.depends_on_time() {
                continue;
            }
            match self.lapsed(&Subject::client(&session), cause, now) {
                // When its access ends depends on the rule as it reads now.
                Ok(rule) => session.set_rule(rule),
                Err(reason) if session.revoke(signal, reason) => asked.push((session, reason)),
                Err(_) => {}
            }
        }
        asked
    }

    /// Asks every session of the console to end that would not get it now; returns those that
    /// were not asked before, each with the reason.
    pub fn revoke_consoles(&self, cause: Cause) -> Vec<(Arc<ConsoleHandle>, &'static str)> {
        let (now, mut asked) = (Utc::now(), Vec::new());
        for console in self.sessions.consoles() {
            match self.lapsed(&Subject::console(&console), cause, now) {
                Ok(rule) => console.set_rule(rule),
                Err(reason) if console.signal(Signal::Revoked) => asked.push((console, reason)),
                Err(_) => {}
            }
        }
        asked
    }

    /// Checks a session that has just been added: rules and trust may have changed after the
    /// decision, and before anybody could find the session in the registry. It ends at once,
    /// because it is in the middle of nothing.
    pub(super) fn recheck(&self, session: &Handle) {
        match self.lapsed(&Subject::client(session), Cause::Change, Utc::now()) {
            Ok(rule) => session.set_rule(rule),
            Err(reason) => {
                session.revoke(Signal::RevokedNow, reason);
            }
        }
    }

    /// The rule that would give a session the same access now.
    ///
    /// # Errors
    /// Why none would.
    fn lapsed(
        &self,
        subject: &Subject<'_>,
        cause: Cause,
        now: DateTime<Utc>,
    ) -> Result<Arc<Rule>, &'static str> {
        let mut evidence = (**subject.evidence).clone();
        let mut distrust = None;
        if let Some(certificate) = &evidence.certificate {
            distrust = match &self.client_trust {
                // Signatures do not change with time, so only the end of validity is checked.
                _ if cause == Cause::Time => {
                    (certificate.not_after < now).then_some("certificate_expired")
                }
                Some(trust) => trust
                    .check(&certificate.chain)
                    .err()
                    .and_then(|d| d.ends_sessions()),
                None => None,
            };
            if distrust.is_some() {
                evidence.certificate = None;
            }
        }
        let routes = self.routes.load();
        // The rule that would give it the same access.
        let rule = |evidence: &Evidence| -> Option<Arc<Rule>> {
            let request = Request {
                evidence,
                database: subject.database,
                user: subject.user,
                now,
            };
            let granted = routes.policy.decide(&request).grant.ok()?;
            let same_secret = match (&granted, subject.secret) {
                (Granted::Database(grant), Some(secret)) => grant.secret == *secret,
                (Granted::Console(_), None) => true,
                _ => false,
            };
            let rule = granted.client();
            (same_secret && rule.name == *subject.client).then(|| rule.clone())
        };
        let mut found = rule(&evidence);
        if found.as_ref().is_some_and(|rule| rule.ends_with_token()) {
            let tokens = evidence.tokens.len();
            let now = SystemTime::from(now);
            evidence.tokens.retain(|t| t.expires > now);
            if evidence.tokens.len() < tokens {
                distrust = Some("token_expired");
                found = rule(&evidence);
            }
        }
        found.ok_or_else(|| {
            distrust.unwrap_or(match subject.rule.holds(now) {
                true => "rule_gone",
                false => "rule_not_valid_now",
            })
        })
    }
}

/// Somebody who was let in, and to what.
struct Subject<'a> {
    client: &'a Arc<str>,
    evidence: &'a Arc<Evidence>,
    database: &'a str,
    user: &'a str,
    /// `None`: the console.
    secret: Option<&'a SecretId>,
    rule: Arc<Rule>,
}

impl<'a> Subject<'a> {
    fn client(session: &'a Handle) -> Self {
        Self {
            client: &session.client,
            evidence: &session.evidence,
            database: session.database(),
            user: &session.user,
            secret: Some(&session.pool.secret),
            rule: session.rule(),
        }
    }

    fn console(console: &'a ConsoleHandle) -> Self {
        Self {
            client: &console.client,
            evidence: &console.evidence,
            database: &console.database,
            user: &console.user,
            secret: None,
            rule: console.rule(),
        }
    }
}
