//! Sessions of the console, up to where the console takes over: it stands above sessions.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use super::arrive::refuse;
use super::context::Context;
use super::registry::ConsoleHandle;
use crate::audit::{Cause, ClientRef, Record, SessionTotals};
use crate::net::Stream;
use crate::wire::ClientError;
use crate::wire::startup::Startup;

/// The console, for sessions that ask for it.
pub trait Console: Send + Sync {
    /// Serves a visitor, from the greeting to the goodbye.
    fn attend(self: Arc<Self>, visit: Visit) -> Pin<Box<dyn Future<Output = Farewell> + Send>>;
}

/// Somebody who may use the console, and has been told nothing yet.
pub struct Visit {
    pub stream: Stream,
    pub startup: Startup,
    pub handle: Arc<ConsoleHandle>,
}

/// How a session of the console has ended.
#[derive(Debug, Default)]
pub struct Farewell {
    pub commands: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
    /// What the client was told, if it did not end the session itself.
    pub told: Option<ClientError>,
}

/// Somebody who was let into the console.
pub(super) struct Visitor {
    pub context: Arc<Context>,
    pub client: ClientRef,
    pub visit: Visit,
}

impl Visitor {
    /// Serves the session to its end. The session is recorded, but does not depend on its record:
    /// the console is where one looks for why the log cannot be written. A command that changes
    /// something depends on its record.
    pub async fn serve(self) {
        let Self {
            context,
            client,
            visit,
        } = self;
        let (handle, began) = (visit.handle.clone(), Instant::now());
        let _left = Left(&context, handle.id);
        let id = handle.id.to_string().into();
        context.audit.record(Record::session_start(id, client));
        let farewell = match context.console.get().cloned() {
            Some(console) => console.attend(visit).await,
            None => {
                let error = ClientError::ShuttingDown;
                refuse(&context, visit.stream, |out| error.fatal(out)).await;
                Farewell {
                    told: Some(error),
                    ..Farewell::default()
                }
            }
        };
        let totals = SessionTotals {
            transactions: farewell.commands,
            bytes_in: farewell.bytes_in,
            bytes_out: farewell.bytes_out,
            duration: began.elapsed(),
            uses: Vec::new(),
        };
        let reason = farewell.told.as_ref().map(ToString::to_string);
        let cause = farewell.told.as_ref().zip(reason.as_deref());
        let cause = cause.map(|(told, reason)| Cause {
            reason,
            sqlstate: told.sqlstate().0,
        });
        let session = handle.session_ref();
        let record = Record::session_end(session, totals, cause);
        context.audit.record(record);
    }
}

/// Removes a session from the registry, whichever way it ends.
struct Left<'a>(&'a Context, u64);

impl Drop for Left<'_> {
    fn drop(&mut self) {
        self.0.sessions.remove_console(self.1);
    }
}
