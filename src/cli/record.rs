//! The audit log, for commands that work beside a running proxy.

use std::path::Path;

use crate::audit::{self, Audit, AuditError, AuditSink, OnAuditFailure};
use crate::config::Config;
use crate::metrics::Metrics;
use crate::vault::api::Trail;

use super::Failure;

/// As many commands may work at the same time.
const BESIDE: u32 = 16;

/// The log of the configuration is the proxy's, which could not start while a
/// command had it open: records go into one beside it, `audit.KIND-1.jsonl`, of
/// which each command that works at the same time has its own. `None`: there is
/// none, and the configuration lets things go on without.
pub(super) fn open(config: &Config, kind: &str, what: &str) -> Result<Option<Audit>, Failure> {
    // There it would stand between the lines of what the command has to say.
    let AuditSink::File(path) = &config.audit.sink else {
        return Ok(None);
    };
    let error = match beside(path, &config.audit, kind) {
        Ok(audit) => return Ok(Some(audit)),
        Err(error) => error,
    };
    match config.audit.on_failure {
        OnAuditFailure::Deny => Err(Failure::Failed(format!(
            "{what} was not done, because it could not be recorded: {error}"
        ))),
        OnAuditFailure::Continue => {
            tracing::warn!("{what} goes on without a record: {error}");
            Ok(None)
        }
    }
}

fn beside(log: &Path, config: &audit::Options, kind: &str) -> Result<Audit, AuditError> {
    let metrics = Metrics::new();
    let open = |n: u32| {
        let path = log.with_extension(format!("{kind}-{n}.jsonl"));
        let config = audit::Options {
            sink: AuditSink::File(path),
            ..config.clone()
        };
        Audit::open(&config, &metrics)
    };
    // Another command has it open, or it belongs to another user.
    let first = open(1);
    first.or_else(|error| (2..=BESIDE).find_map(|n| open(n).ok()).ok_or(error))
}

/// The trail of a store, with who works at it.
pub(super) fn trail(audit: Option<&Audit>) -> Trail {
    let uid = nix::unistd::getuid();
    let user = nix::unistd::User::from_uid(uid).ok().flatten();
    let name = user.map_or_else(|| uid.to_string(), |user| user.name);
    match audit {
        Some(audit) => Trail::of_operator(audit.clone(), &name),
        None => Trail::default(),
    }
}
