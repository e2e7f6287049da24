//! The audit log of commands that work beside a running proxy.

use std::path::Path;

use crate::audit::{self, Audit, AuditError, AuditSink, OnAuditFailure};
use crate::config::Config;
use crate::metrics::Metrics;
use crate::vault::api::Trail;

use super::Failure;

/// How many commands may work at the same time.
const BESIDE: u32 = 16;

/// Opens a log for a command. The configured log belongs to the proxy, which could not start
/// while a command had it open. So a command writes to one beside it, `audit.KIND-1.jsonl`, and
/// each command that works at the same time has its own. `None`: there is no log, and the
/// configuration permits that.
pub(super) fn open(config: &Config, kind: &str, what: &str) -> Result<Option<Audit>, Failure> {
    // On standard output the records would stand between the lines that the command prints.
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
    // The first log may be open in another command, or belong to another user.
    let first = open(1);
    first.or_else(|error| (2..=BESIDE).find_map(|n| open(n).ok()).ok_or(error))
}

/// The trail of a store, with the name of the user who runs the command.
pub(super) fn trail(audit: Option<&Audit>) -> Trail {
    let uid = nix::unistd::getuid();
    let user = nix::unistd::User::from_uid(uid).ok().flatten();
    let name = user.map_or_else(|| uid.to_string(), |user| user.name);
    match audit {
        Some(audit) => Trail::of_operator(audit.clone(), &name),
        None => Trail::default(),
    }
}
