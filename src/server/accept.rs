//! The accept loop of one listener.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tracing::warn;

use crate::net::Listener;
use crate::session::{self, Context};

/// Accepts until told to stop. Nothing a client does can hold this loop up:
/// its session begins in a task of its own before a byte is read.
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
            Err(e) if is_the_clients(&e) => {}
            Err(e) => {
                // Out of descriptors, most likely: trying again at once would
                // only burn a core.
                warn!("cannot accept on {}: {e}", listener.address());
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// The client went away between its connect and our accept.
fn is_the_clients(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::NotConnected
            | io::ErrorKind::InvalidInput
    )
}
