//! The accept loop of one listener.
//!
//! The loop of net/http.rs is another one: it keeps its connections, and ends with them.
//! Sessions end by a signal of their own.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tracing::warn;

use crate::net::Listener;
use crate::session::{self, Context};

/// Accepts until `closing` becomes true. No client can delay this loop: its session begins
/// in a task of its own before a byte is read.
pub async fn accept(listener: Listener, context: Arc<Context>, mut closing: watch::Receiver<bool>) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = closing.wait_for(|closing| *closing) => return,
        };
        match accepted {
            Ok(accepted) => {
                tokio::spawn(session::serve(context.clone(), accepted));
            }
            Err(e) if client_left(&e) => {}
            Err(e) => {
                // Most likely there are no descriptors left. Trying again at once would
                // only keep a core busy.
                warn!("cannot accept on {}: {e}", listener.address());
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
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
