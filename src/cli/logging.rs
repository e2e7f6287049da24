//! The log on standard error: which modules may write what.
//!
//! The libraries that carry values (AWS SDK, HTTP, TLS, Postgres) log whole requests and
//! answers when they are asked to. They never are: below a warning, only pgvalet's own
//! modules are logged, whatever `PGVALET_LOG` says.

use std::panic::PanicHookInfo;
use std::time::Duration;

use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, fmt};

use super::Failure;
use crate::base::log::{self, ToLog};

const LEVEL: &str = "PGVALET_LOG";
const FORMAT: &str = "PGVALET_LOG_FORMAT";
/// Every connection of Java ends with an alert that the TLS library would warn of; the session
/// logs what matters of it.
const QUIET: &str = "rustls::common_state=error";

/// How long an exit waits for somebody to read the rest of the log.
const GOODBYE: Duration = Duration::from_millis(500);

/// When dropped, waits for the last lines of the log to be written, but not for ever.
pub(super) struct Flush;

impl Drop for Flush {
    fn drop(&mut self) {
        log::flush(GOODBYE);
    }
}

/// Starts logging as the environment wants it: by default at `level`, as text. Nothing
/// is written before [`start`].
pub(super) fn init(level: &str) -> Result<(), Failure> {
    let filter = match std::env::var(LEVEL).as_deref() {
        Err(_) | Ok("") => EnvFilter::new(format!("{QUIET},{level}")),
        Ok(directives) => {
            let wrong = |why: String| {
                Failure::Usage(format!(
                    "{LEVEL}={directives:?} is no log level{why}; write error, warn, info, debug or trace"
                ))
            };
            if let Some(word) = unknown_level(directives) {
                return Err(wrong(format!(" ({word:?})")));
            }
            EnvFilter::try_new(format!("{QUIET},{directives}"))
                .map_err(|e| wrong(format!(" ({e})")))?
        }
    };
    let lines = fmt::layer().with_writer(ToLog);
    let registry = tracing_subscriber::registry().with(Own).with(filter);
    let done = match std::env::var(FORMAT).as_deref() {
        Ok("json") => registry.with(lines.json()).try_init(),
        Err(_) | Ok("text" | "") => registry.with(lines).try_init(),
        Ok(other) => {
            return Err(Failure::Usage(format!(
                "{FORMAT}={other:?} is not possible; write json or text"
            )));
        }
    };
    std::panic::set_hook(Box::new(panicked));
    done.map_err(|e| Failure::Failed(format!("logging cannot be started: {e}")))
}

/// A word that should be a level and is none. A filter would take it for the name of a
/// module, and show nothing at all.
fn unknown_level(directives: &str) -> Option<&str> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let level = |directive: &'_ str| -> usize { directive.rfind('=').map_or(0, |at| at + 1) };
    let mut words = directives.split(',').map(|d| d[level(d)..].trim());
    words.find(|word| !LEVELS.contains(&word.to_ascii_lowercase().as_str()))
}

/// Starts the thread that writes the log. Call it after root is given up: a thread that exists
/// before keeps some of root's rights.
pub(super) fn start() -> Result<(), Failure> {
    log::start().map_err(|e| Failure::Failed(format!("logging cannot be started: {e}")))
}

/// Logs a panic through the queue, because a panic must not wait for a reader of the log either.
fn panicked(info: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let name = thread.name().unwrap_or("without a name");
    log::line(&format!("thread {name}: {info}"));
}

/// Lets libraries log warnings and errors only, and open no span.
struct Own;

impl<S: Subscriber> Layer<S> for Own {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        may_say(metadata.target(), *metadata.level())
    }
}

fn may_say(target: &str, level: Level) -> bool {
    let own = target == "pgvalet" || target.starts_with("pgvalet::");
    own || level <= Level::WARN
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_is_no_level_is_found() {
        for right in [
            "info",
            "WARN",
            "off",
            "debug,pgvalet::pool=trace",
            "hyper=trace",
        ] {
            assert_eq!(unknown_level(right), None, "{right}");
        }
        for (wrong, word) in [
            ("verbose", "verbose"),
            ("info,loud", "loud"),
            ("pgvalet=loud", "loud"),
            ("pgvalet", "pgvalet"),
            ("info,", ""),
        ] {
            assert_eq!(unknown_level(wrong), Some(word), "{wrong}");
        }
    }

    #[test]
    fn libraries_only_warn() {
        for (target, level, may) in [
            ("pgvalet", Level::TRACE, true),
            ("pgvalet::session", Level::TRACE, true),
            ("pgvalet_store", Level::INFO, false),
            ("aws_smithy_runtime::client", Level::TRACE, false),
            ("aws_config", Level::INFO, false),
            ("hyper::proto", Level::DEBUG, false),
            ("tokio_postgres::connection", Level::INFO, false),
            ("log", Level::DEBUG, false),
            ("rustls", Level::WARN, true),
            ("aws_config", Level::ERROR, true),
        ] {
            assert_eq!(may_say(target, level), may, "{target} {level}");
        }
    }
}
