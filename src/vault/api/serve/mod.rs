//! The API over HTTP/1.1: accepting connections.

mod connection;
#[cfg(test)]
mod tests;

use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::interval;
use tokio_rustls::TlsAcceptor;

use super::bodies::Bodies;
use super::places::Places;
use super::{Api, StoreListen};
use crate::net::tls::TlsError;
use crate::net::{PassedSockets, ServerCertificate, http, listener};
use connection::Line;

/// How long a connection may be silent between two requests.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long the TLS handshake and the header of the first request may take
/// together, and each request's body. An honest client needs a fraction of it.
const STRANGER: Duration = Duration::from_secs(10);
/// How often the files of the certificate are looked at.
const REREAD: Duration = Duration::from_secs(1);

/// Why the store cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("cannot listen on {title} address {address}: {source}")]
    Listen {
        title: String,
        address: String,
        source: io::Error,
    },
    #[error("{title} {source}")]
    Tls { title: String, source: TlsError },
}

/// The bound listener of a store's API, which accepts nobody yet.
pub struct StoreListener {
    listener: TcpListener,
    tls: Option<Arc<ServerCertificate>>,
    /// The table of the store, for messages.
    title: String,
}

impl StoreListener {
    /// Binds the address, unless a socket that is bound to it was passed on, and reads the certificate where there is one.
    ///
    /// # Errors
    /// [`ServeError`].
    pub async fn bind(
        listen: &StoreListen,
        passed: &mut PassedSockets,
    ) -> Result<Self, ServeError> {
        let tls = match &listen.tls {
            Some(tls) => {
                let (certificate, key) = (tls.certificate.clone(), tls.key.clone());
                let read = ServerCertificate::for_protocol(certificate, key, b"http/1.1");
                Some(read.map_err(|source| ServeError::Tls {
                    title: listen.title.clone(),
                    source,
                })?)
            }
            None => None,
        };
        let listener = passed.bind(&listen.address).await;
        let listener = listener.map_err(|source| ServeError::Listen {
            title: listen.title.clone(),
            address: listen.address.clone(),
            source,
        })?;
        Ok(Self {
            listener,
            tls,
            title: listen.title.clone(),
        })
    }

    /// The socket, to be passed to another process.
    ///
    /// # Errors
    /// There is no descriptor left.
    pub fn share(&self) -> io::Result<listener::Shared> {
        listener::Shared::tcp(&self.listener)
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
        tokio::select! {
            () = accept(self.listener, self.tls.clone(), api, closing, patience) => {}
            () = reread(self.tls, self.title) => {}
        }
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
    let closed = closing.clone();
    let begin = |(stream, from): (TcpStream, SocketAddr), connections: &mut JoinSet<()>| {
        // Dropping a stream that gets no place closes it.
        if let Some(place) = places.take(from.ip()) {
            let acceptor = tls.as_ref().map(|tls| TlsAcceptor::from(tls.config()));
            let line = Line::new(shared.clone(), from, acceptor.is_some(), place);
            connections.spawn(connection::run(stream, acceptor, line, closed.clone()));
        }
    };
    http::serve(listener, "the store", closing, begin).await;
}

/// Checks the files of the certificate. Never ends.
async fn reread(certificate: Option<Arc<ServerCertificate>>, title: String) {
    let Some(certificate) = certificate else {
        return pending().await;
    };
    let mut tick = interval(REREAD);
    loop {
        tick.tick().await;
        let (certificate, title) = (certificate.clone(), title.clone());
        tokio::task::spawn_blocking(move || refresh(&certificate, &title));
    }
}

/// Reads files that have changed again. Connections that are open stay open.
fn refresh(certificate: &ServerCertificate, title: &str) {
    match certificate.refresh() {
        Ok(true) => tracing::info!("{title} certificate and key have been read again"),
        Ok(false) => {}
        Err(e) => tracing::warn!("{title} {e}; keeping the current certificate"),
    }
}
