//! What a log begins with when it is opened.

use std::path::Path;
use std::sync::Arc;

use chrono::Utc;

use super::log::{AuditError, display};
use super::seal::Seals;
use super::sink::Sink;
use super::standing::{self, Kind, Standing};
use super::{files, key};

/// Where the log stands, and the key that signs it.
pub(super) fn begin(sink: &mut Sink) -> Result<(Standing, Arc<Seals>), AuditError> {
    let Some(path) = sink.path().map(Path::to_owned) else {
        let standing = Standing {
            fresh: true,
            ..Standing::default()
        };
        return Ok((standing, Arc::new(Seals::new(key::of_process()?, None, 0))));
    };
    let unreadable = |error: std::io::Error| AuditError::Open {
        path: display(&path),
        error: error.to_string(),
    };
    let why = match standing::kind(&path).map_err(unreadable)? {
        Kind::Log => None,
        Kind::Old => Some(set_aside(sink, &path)?),
        Kind::Other => return Err(AuditError::Foreign(display(&path))),
    };
    let signer = key::of_log(&path)?;
    let mut standing = standing::read(&path, signer.public()).map_err(unreadable)?;
    standing.why = why;
    if let Some(gap) = &standing.gap {
        tracing::warn!(path = %path.display(), "audit log: {gap}");
    }
    let seals = Seals::new(signer, Some(path), standing.noted);
    Ok((standing, Arc::new(seals)))
}

/// Renames a log of the format before, and begins a new one. Returns what the first record of
/// that says.
fn set_aside(sink: &mut Sink, path: &Path) -> Result<String, AuditError> {
    let aside = files::set_aside(path, Utc::now());
    sink.close_as(&aside)?;
    let name = aside.file_name().unwrap_or_default().to_string_lossy();
    tracing::warn!(
        path = %path.display(), kept = %aside.display(),
        "the audit log was written in the format of an older pgvalet; it is set aside, and a new one begins"
    );
    Ok(format!(
        "the log before, in format 1, was set aside as {name}"
    ))
}
