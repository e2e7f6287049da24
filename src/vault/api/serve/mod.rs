//! The API over HTTP/1.1: accepting connections.

mod connection;
#[cfg(test)]
mod tests;

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::bodies::Bodies;
use super::places::Places;
use super::{Api, StoreListen};
use crate::net::ServerCertificate;
use crate::net::tls::TlsError;
use connection::Line;

/// How long a connection may be silent between two requests.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long the TLS handshake and the header of the first request may take
/// together, and each request's body. An honest client needs a fraction of it.
const STRANGER: Duration = Duration::from_secs(10);
/// How often the files of the certificate are looked at.
const REREAD: Duration = Duration::from_secs(1);
/// How long to wait after a failed accept for descriptors to become free.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long answers that are under way may take at the end.
const GOODBYE: Duration = Duration::from_secs(2);

/// Why the store cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("cannot listen on [store] address {address}: {source}")]
    Listen { address: String, source: io::Error },
    #[error("[store] {0}")]
    Tls(#[from] TlsError),
}

/// A bound listener that accepts nobody yet.
pub struct Door {
    listener: TcpListener,
    tls: Option<Arc<ServerCertificate>>,
}

impl Door {
    /// Binds the address, and reads the certificate where there is one.
    ///
    /// # Errors
    /// [`ServeError`].
    pub async fn bind(listen: &StoreListen) -> Result<Self, ServeError> {
        let tls = match &listen.tls {
            Some(tls) => {
                let (certificate, key) = (tls.certificate.clone(), tls.key.clone());
                Some(ServerCertificate::for_protocol(
                    certificate,
                    key,
                    b"http/1.1",
                )?)
            }
            None => None,
        };
        let listener = TcpListener::bind(&listen.address).await;
        let listener = listener.map_err(|source| ServeError::Listen {
            address: listen.address.clone(),
            source,
        })?;
        Ok(Self { listener, tls })
    }

    /// The endpoint for clients, with the bound address in place of the host's
    /// name.
    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        match self.listener.local_addr() {
            Ok(address) => format!("{scheme}://{address}"),
            Err(_) => scheme.to_owned(),
        }
    }

    /// Serves until `closing` becomes true.
    pub async fn serve(self, api: Arc<Api>, closing: watch::Receiver<bool>) {
        let patience = Patience {
            idle: PATIENCE,
            stranger: STRANGER,
        };
        accept(self.listener, self.tls, api, closing, patience).await;
    }
}

#[derive(Clone, Copy)]
struct Patience {
    /// How long a connection may be silent between two requests.
    idle: Duration,
    /// How long a header or a body may take.
    stranger: Duration,
}

/// What all connections share.
#[derive(Clone)]
struct Shared {
    api: Arc<Api>,
    bodies: Bodies,
    patience: Patience,
}

async fn accept(
    listener: TcpListener,
    tls: Option<Arc<ServerCertificate>>,
    api: Arc<Api>,
    closing: watch::Receiver<bool>,
    patience: Patience,
) {
    let places = Places::default();
    let shared = Shared {
        api,
        bodies: Bodies::default(),
        patience,
    };
    let mut reread = tokio::time::interval(REREAD);
    let mut connections = JoinSet::new();
    let mut closed = pin!(closed(closing.clone()));
    loop {
        tokio::select! {
            () = &mut closed => break,
            Some(_) = connections.join_next() => {}
            _ = reread.tick(), if tls.is_some() => {
                if let Some(tls) = tls.clone() {
                    tokio::task::spawn_blocking(move || refresh(&tls));
                }
            }
            accepted = listener.accept() => match accepted {
                Ok((stream, from)) => {
                    // Dropping a stream that gets no place closes it.
                    if let Some(place) = places.take(from.ip()) {
                        let acceptor = tls.as_ref().map(|tls| TlsAcceptor::from(tls.config()));
                        let line = Line::new(shared.clone(), from, acceptor.is_some(), place);
                        connections.spawn(connection::run(stream, acceptor, line, closing.clone()));
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "the store could not accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    let all_gone = async { while connections.join_next().await.is_some() {} };
    // Dropping the tasks that are left closes their connections.
    let _ = timeout(GOODBYE, all_gone).await;
}

/// Reads files that have changed again. Connections that are open stay open.
fn refresh(certificate: &ServerCertificate) {
    match certificate.refresh() {
        Ok(true) => tracing::info!("[store] certificate and key have been read again"),
        Ok(false) => {}
        Err(e) => tracing::warn!("[store] {e}; keeping the current certificate"),
    }
}

/// Returns when `closing` becomes true, or when its sender is gone.
pub(super) async fn closed(mut closing: watch::Receiver<bool>) {
    let _ = closing.wait_for(|closing| *closing).await;
}
