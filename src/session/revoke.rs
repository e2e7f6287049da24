//! Ending sessions whose access has ended.
//!
//! A session was let in by evidence and rules. Evidence can lapse (a certificate expires or is
//! revoked), and rules change in a reload or with the time of day. The decision is then made
//! again, and a session that would not get the same access now is asked to end.

use std::sync::Arc;
use std::time::SystemTime;

use chrono::{DateTime, Utc};

use super::context::Context;
use super::registry::{Handle, Signal};
use crate::access::{Evidence, Request, Rule};
use crate::session::Revoke;

/// What has changed, which decides which sessions are checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The rules, or the trust in certificates: all sessions are checked.
    Change,
    /// Nothing but the time: the sessions whose access depends on it are checked.
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
            if let Some(reason) = self.lapsed(&session, cause, now)
                && session.revoke(signal, reason)
            {
                asked.push((session, reason));
            }
        }
        asked
    }

    /// Checks a session that has just been added: rules and trust may have changed after the
    /// decision, and before anybody could find the session in the registry. It ends at once,
    /// because it is in the middle of nothing.
    pub(super) fn recheck(&self, session: &Handle) {
        if let Some(reason) = self.lapsed(session, Cause::Change, Utc::now()) {
            session.revoke(Signal::RevokedNow, reason);
        }
    }

    /// Why the session would not get the same access now; `None` if it would.
    fn lapsed(&self, session: &Handle, cause: Cause, now: DateTime<Utc>) -> Option<&'static str> {
        let mut evidence = (*session.evidence).clone();
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
                database: session.database(),
                user: &session.user,
                now,
            };
            let grant = routes.policy.decide(&request).grant.ok()?;
            let same = grant.client.name == session.client && grant.secret == session.pool.secret;
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
                // When its access ends depends on the rule as it reads now.
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
