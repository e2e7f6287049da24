//! The log on standard error.

use tracing_subscriber::EnvFilter;

use super::Failure;

const LEVEL: &str = "PGVALET_LOG";
const FORMAT: &str = "PGVALET_LOG_FORMAT";
/// Every connection of Java ends with an alert that the TLS library would warn
/// of; what of it matters, the session says itself.
const QUIET: &str = "rustls::common_state=error";

/// Starts logging as the environment wants it: by default at `level`, as text.
pub(super) fn init(level: &str) -> Result<(), Failure> {
    let filter = match std::env::var(LEVEL).as_deref() {
        Err(_) | Ok("") => EnvFilter::new(format!("{QUIET},{level}")),
        Ok(directives) => EnvFilter::try_new(format!("{QUIET},{directives}")).map_err(|e| {
            Failure::Usage(format!(
                "{LEVEL}={directives:?} is no log level ({e}); write error, warn, info, debug or trace"
            ))
        })?,
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    let done = match std::env::var(FORMAT).as_deref() {
        Ok("json") => builder.json().try_init(),
        Err(_) | Ok("text" | "") => builder.try_init(),
        Ok(other) => {
            return Err(Failure::Usage(format!(
                "{FORMAT}={other:?} is not possible; write json or text"
            )));
        }
    };
    done.map_err(|e| Failure::Failed(format!("logging cannot be started: {e}")))
}
