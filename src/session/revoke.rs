//! Sessions whose access has ended.
//!
//! A session was let in by evidence and rules. Evidence can lapse (a
//! certificate expires or is revoked), rules change by a reload or with the
//! time of day. The same decision is made again; whoever would not get the same
//! access now is asked to leave.

use std::sync::Arc;
use std::time::SystemTime;

use chrono::{DateTime, Utc};

use super::context::{Context, Handle, Signal};
use crate::access::{Evidence, Request, Rule};
use crate::session::Revoke;

/// What has changed, and therefore has to be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The rules, or whose certificates are accepted: everybody.
    Change,
    /// Nothing but the time: those whose access depends on it.
    Time,
}

impl Context {
    /// Asks every session to leave that would not be let in now as it was;
    /// gives those that were not asked before.
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
            if let Some(reason) = self.lapsed(&session, cause, now)
                && session.revoke(signal, reason)
            {
                asked.push((session, reason));
            }
        }
        asked
    }

    /// Looks at a session that has just been added: what it was let in by may
    /// have changed after it was looked at and before anybody could find it.
    /// There is nothing that it could be in the middle of.
    pub(super) fn recheck(&self, session: &Handle) {
        if let Some(reason) = self.lapsed(session, Cause::Change, Utc::now()) {
            session.revoke(Signal::RevokedNow, reason);
        }
    }

    /// Why the session would not be let in as it was; `None`: it would.
    fn lapsed(&self, session: &Handle, cause: Cause, now: DateTime<Utc>) -> Option<&'static str> {
        let mut evidence = (*session.evidence).clone();
        let mut distrust = None;
        if let Some(certificate) = &evidence.certificate {
            distrust = match &self.client_trust {
                // Signatures do not change with time.
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
        // The rule by which it would be let in as it was.
        let rule = |evidence: &Evidence| -> Option<Arc<Rule>> {
            let request = Request {
                evidence,
                database: &session.database,
                user: &session.user,
                now,
            };
            let grant = routes.policy.decide(&request).grant.ok()?;
            let same = grant.client.name == session.client && grant.secret == session.secret;
            same.then_some(grant.client)
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
        match found {
            Some(rule) => {
                // As the rule reads now, so it ends.
                session.set_rule(rule);
                None
            }
            None => Some(distrust.unwrap_or(match session.rule().holds(now) {
                true => "rule_gone",
                false => "rule_not_valid_now",
            })),
        }
    }
}
