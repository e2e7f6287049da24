//! The files of a log that a command reads.

use std::path::{Path, PathBuf};

use super::{Failure, configured, open};
use crate::audit::segments;
use crate::config::Config;

/// The files of the proxy's log, and those of commands beside it.
pub(super) struct Logs {
    pub(super) log: Vec<PathBuf>,
    pub(super) beside: Vec<PathBuf>,
}

/// Those that were named, or all of the configured log.
pub(super) fn logs(
    named: &[PathBuf],
    config: impl FnOnce() -> Result<Config, Failure>,
) -> Result<Logs, Failure> {
    if !named.is_empty() {
        return Ok(Logs {
            log: named.to_vec(),
            beside: Vec::new(),
        });
    }
    let path = configured(config)?;
    let logs = Logs {
        log: segments(&path)?,
        beside: beside(&path),
    };
    if logs.log.is_empty() && logs.beside.is_empty() {
        open(&path)?;
    }
    Ok(logs)
}

/// The logs of commands beside the proxy's (see `cli::record`).
pub(super) fn beside(log: &Path) -> Vec<PathBuf> {
    let stem = log.file_stem().unwrap_or_default().to_string_lossy();
    let is_one = |name: &str| {
        let rest = name
            .strip_prefix(&*stem)
            .and_then(|n| n.strip_suffix(".jsonl"));
        let kind = rest.and_then(|r| r.rsplit_once('-')).map(|(kind, _)| kind);
        matches!(kind, Some(".cli" | ".rotate"))
    };
    let directory = match log.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let mut found: Vec<_> = entries
        .filter(|e| is_one(&e.file_name().to_string_lossy()))
        .map(|e| e.path())
        .collect();
    found.sort();
    found
}
