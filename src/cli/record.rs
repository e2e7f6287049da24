//! The audit log of commands that work beside a running proxy.

use std::path::Path;

use crate::audit::{
    self, Audit, AuditError, AuditSink, OnAuditFailure, Outcome, Record, SessionRef, SinkKind,
};
use crate::config::Config;
use crate::metrics::Metrics;
use crate::vault::api::Trail;

use super::{Failure, block_on};

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
    // What commands record leaves the host too, but not between the lines that they print.
    let mut sinks = config.sinks.clone();
    sinks.retain(|sink| sink.kind != SinkKind::Stdout);
    let open = |n: u32| {
        let path = log.with_extension(format!("{kind}-{n}.jsonl"));
        let config = audit::Options {
            sink: AuditSink::File(path),
            sinks: sinks.clone(),
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
    match audit {
        Some(audit) => Trail::of_operator(audit.clone(), &user()),
        None => Trail::default(),
    }
}

/// The name of the user who runs the command.
fn user() -> String {
    let uid = nix::unistd::getuid();
    let user = nix::unistd::User::from_uid(uid).ok().flatten();
    user.map_or_else(|| uid.to_string(), |user| user.name)
}

/// Records that somebody changes something by a command that `act` carries out, before that
/// happens. If it fails, a second record says so.
///
/// # Errors
/// It could not be recorded, and was not done; or why it failed.
pub(super) fn recorded(
    config: &Config,
    action: &str,
    act: impl FnOnce() -> Result<(), Failure>,
) -> Result<(), Failure> {
    let Some(audit) = open(config, "cli", action)? else {
        return act();
    };
    let record = |outcome, reason: Option<&str>| {
        let by = SessionRef {
            id: "".into(),
            client: user().into(),
            source: "command line".into(),
            via: None,
            database: "".into(),
        };
        Record::admin(by, None, action, outcome, reason)
    };
    let admitted = record(Outcome::Success, None);
    let begins = audit.clone();
    block_on(async move {
        begins.admit(admitted).await.map_err(|error| {
            Failure::Failed(format!(
                "nothing was done, because it could not be recorded: {error}"
            ))
        })
    })?;
    let done = act();
    if let Err(error) = &done {
        audit.record(record(Outcome::Failure, Some(&error.to_string())));
    }
    block_on(async move {
        audit.close().await;
        Ok(())
    })?;
    done
}
