//! The accept loop of one listener.
//!
//! The loop of net/http.rs is another one: it keeps its connections, and ends with them.
//! Sessions end by a signal of their own.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use tokio::sync::watch;
use tracing::warn;

use super::descriptors::{Descriptors, Place};
use crate::access::Denial;
use crate::base::seldom::Seldom;
use crate::net::{Accepted, Listener};
use crate::session::{self, Context};

/// How often the log says that clients are refused, or that accepting fails.
const PERIOD: Duration = Duration::from_secs(10);

/// After a failed accept, for descriptors to become free.
const PAUSE: Duration = Duration::from_millis(100);

/// Accepts until `closing` becomes true. No client can delay this loop: its session begins
/// in a task of its own before a byte is read.
pub async fn accept(
    listener: Listener,
    context: Arc<Context>,
    descriptors: Arc<Descriptors>,
    mut closing: watch::Receiver<bool>,
) {
    let (mut refusals, mut failures) = (Seldom::new(PERIOD), Seldom::new(PERIOD));
    // Given up for a moment where there is no other descriptor, to accept a client with it
    // and refuse it.
    let mut spare = spare();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = closing.wait_for(|closing| *closing) => return,
        };
        match accepted {
            Ok(accepted) => {
                let place = match spare {
                    Some(_) => descriptors.take(),
                    None => Place::None,
                };
                if !matches!(place, Place::Served(_))
                    && let Some(count) = refusals.note(Instant::now())
                {
                    warn!(
                        "the limit of open files leaves no room for more clients: refused {count} on {}; \
                         raise the limit (LimitNOFILE, ulimit -n), or lower [listen] max_clients",
                        listener.address()
                    );
                }
                begin(&context, accepted, place);
                spare = spare.or_else(self::spare);
            }
            Err(e) if client_left(&e) => {}
            Err(e) if is_short(&e) && spare.is_some() => spare = None,
            Err(e) => {
                // Trying again at once would only keep a core busy.
                if let Some(count) = failures.note(Instant::now()) {
                    warn!(
                        "cannot accept on {} ({count} times): {e}",
                        listener.address()
                    );
                }
                tokio::time::sleep(PAUSE).await;
                spare = spare.or_else(self::spare);
            }
        }
    }
}

/// Serves a connection as far as there is room for it.
fn begin(context: &Arc<Context>, accepted: Accepted, place: Place) {
    let context = context.clone();
    match place {
        Place::Served(seat) => {
            tokio::spawn(async move {
                session::serve(context, accepted).await;
                drop(seat);
            });
        }
        Place::TurnedAway(seat) => {
            tokio::spawn(async move {
                session::turn_away(context, accepted, Denial::NoDescriptors).await;
                drop(seat);
            });
        }
        Place::None => session::refuse_at_once(&context, &accepted, &Denial::NoDescriptors),
    }
}

fn spare() -> Option<File> {
    File::open("/dev/null").ok()
}

/// Whether the process, or the system, has no more descriptors.
fn is_short(error: &io::Error) -> bool {
    let code = error.raw_os_error().map(Errno::from_raw);
    matches!(code, Some(Errno::EMFILE | Errno::ENFILE))
}

/// Whether the client went away between its connect and the accept.
fn client_left(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::NotConnected
            | io::ErrorKind::InvalidInput
    )
}
