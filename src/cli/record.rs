//! The audit log, for commands that work beside a running proxy.

use crate::audit::{Audit, AuditError};
use crate::config::{self, AuditSink, Config, OnAuditFailure};
use crate::observe::Metrics;
use crate::vault::api::Trail;

use super::Failure;

/// As many commands may work at the same time.
const BESIDE: u32 = 16;

/// A running proxy holds the log of the configuration; then the records go
/// into one beside it: `audit.KIND-1.jsonl`. `None`: they have no place, and
/// the configuration lets things go on without.
pub(super) fn open(config: &Config, kind: &str, what: &str) -> Result<Option<Audit>, Failure> {
    // There it would stand between the lines of what the command has to say.
    if config.audit.sink == AuditSink::Stdout {
        return Ok(None);
    }
    let error = match beside(&config.audit, kind) {
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

fn beside(config: &config::Audit, kind: &str) -> Result<Audit, AuditError> {
    let metrics = Metrics::new();
    let mut opened = Audit::open(config, &metrics);
    if let AuditSink::File(path) = &config.sink {
        for n in 1..=BESIDE {
            if !matches!(opened, Err(AuditError::Locked(_))) {
                break;
            }
            let beside = config::Audit {
                sink: AuditSink::File(path.with_extension(format!("{kind}-{n}.jsonl"))),
                ..config.clone()
            };
            opened = Audit::open(&beside, &metrics);
        }
    }
    opened
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
