//! The API over HTTP/1.1: `POST /`, JSON in and out.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, USER_AGENT};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Request, Response, StatusCode};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use zeroize::Zeroizing;

use super::caller::Peer;
use super::places::Places;
use super::{Answer, Api, ApiError, Growing};
use crate::config::StoreListen;
use crate::net::ServerCertificate;
use crate::net::tls::TlsError;

/// For the TLS handshake, for a request's header, between two requests; and for
/// a request's body.
const PATIENCE: Duration = Duration::from_secs(30);
/// The longest value is 64 KiB, of which JSON can make six times as much.
const BODY_LIMIT: usize = 1024 * 1024;
/// Of a request's header.
const HEADER_BYTES: usize = 32 * 1024;
/// In all, and of one address.
pub(super) const CONNECTIONS: usize = 1024;
pub(super) const OF_ADDRESS: usize = 256;
/// Between two looks at the files of the certificate.
const REREAD: Duration = Duration::from_secs(1);
/// After a failed accept, for descriptors to become free.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// For answers that are under way at the end.
const GOODBYE: Duration = Duration::from_secs(2);

/// Why the store cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("cannot listen on [store] address {address}: {source}")]
    Listen { address: String, source: io::Error },
    #[error("[store] {0}")]
    Tls(#[from] TlsError),
}

/// A bound listener that nobody has been let in by yet.
pub struct Door {
    listener: TcpListener,
    tls: Option<Arc<ServerCertificate>>,
}

impl Door {
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

    /// What clients take for the endpoint, but for the host's name.
    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        match self.listener.local_addr() {
            Ok(address) => format!("{scheme}://{address}"),
            Err(_) => scheme.to_owned(),
        }
    }

    /// Serves until `closing` becomes true.
    pub async fn serve(self, api: Arc<Api>, closing: watch::Receiver<bool>) {
        serve(self.listener, self.tls, api, closing, PATIENCE).await;
    }
}

async fn serve(
    listener: TcpListener,
    tls: Option<Arc<ServerCertificate>>,
    api: Arc<Api>,
    closing: watch::Receiver<bool>,
    patience: Duration,
) {
    let places = Places::default();
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
                    let place = places.take(from.ip().to_canonical());
                    let acceptor = tls.as_ref().map(|tls| TlsAcceptor::from(tls.config()));
                    let (api, closing) = (api.clone(), closing.clone());
                    connections.spawn(async move {
                        let api = (api, patience);
                        tokio::select! {
                            () = connection(stream, from, acceptor, api, closing) => {}
                            // A call that has begun is done, and recorded, all the same.
                            () = place.gives_way() => {}
                        }
                    });
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
    // What is still open then is cut by dropping its task.
    let _ = timeout(GOODBYE, all_gone).await;
}

/// Files that have changed are read again, without anybody being dropped.
fn refresh(certificate: &ServerCertificate) {
    match certificate.refresh() {
        Ok(true) => tracing::info!("[store] certificate and key have been read again"),
        Ok(false) => {}
        Err(e) => tracing::warn!("[store] {e}; the certificate that was shown is shown on"),
    }
}

/// Also when whoever would say so is gone.
async fn closed(mut closing: watch::Receiver<bool>) {
    let _ = closing.wait_for(|closing| *closing).await;
}

async fn connection(
    stream: TcpStream,
    from: SocketAddr,
    acceptor: Option<TlsAcceptor>,
    api: (Arc<Api>, Duration),
    closing: watch::Receiver<bool>,
) {
    // Answers are small and waited for.
    let _ = stream.set_nodelay(true);
    match acceptor {
        None => requests(stream, from, false, api, closing).await,
        Some(acceptor) => match timeout(api.1, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => requests(stream, from, true, api, closing).await,
            Ok(Err(error)) => tracing::debug!(%from, %error, "no TLS with a client of the store"),
            Err(_) => {}
        },
    }
}

/// One connection, until its peer or `closing` ends it.
async fn requests(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    from: SocketAddr,
    secure: bool,
    (api, patience): (Arc<Api>, Duration),
    closing: watch::Receiver<bool>,
) {
    let service = service_fn(move |request: Request<Incoming>| {
        let api = api.clone();
        async move { Ok::<_, Infallible>(answer(&api, request, from, secure, patience).await) }
    });
    let mut connection = pin!(
        hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(patience)
            .max_buf_size(HEADER_BYTES)
            .serve_connection(TokioIo::new(stream), service)
    );
    tokio::select! {
        // How a client's connection ended is of no interest to anybody.
        _ = connection.as_mut() => {}
        () = closed(closing) => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}

async fn answer(
    api: &Arc<Api>,
    request: Request<Incoming>,
    from: SocketAddr,
    secure: bool,
    patience: Duration,
) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let agent = head.headers.get(USER_AGENT).and_then(|a| a.to_str().ok());
    let peer = Peer {
        address: Some(from.ip().to_canonical()),
        secure,
        user_agent: agent.map(str::to_owned),
    };
    let answer = match timeout(patience, read(&head, body)).await {
        Ok(Ok(body)) => discreet(api.clone().signed(head, body, peer).await),
        Ok(Err(error)) => Api::answer(Err(error)),
        Err(_) => Api::answer(Err(ApiError::new(
            "RequestTimeoutException",
            "The body of the request did not come in time.",
        ))),
    };
    respond(answer)
}

/// What is wrong inside, with paths and causes, is for those who run the store.
fn discreet(answer: Answer) -> Answer {
    if answer.status != StatusCode::INTERNAL_SERVER_ERROR {
        return answer;
    }
    let text = String::from_utf8_lossy(&answer.body);
    tracing::error!(request = %answer.request_id, "a call of the store failed: {text}");
    let shown = ApiError::new(
        "InternalServiceError",
        "An error occurred on the server side; its log says more. Try again.",
    );
    Answer {
        body: shown.body().into(),
        ..answer
    }
}

async fn read(head: &Parts, mut body: Incoming) -> Result<Zeroizing<Vec<u8>>, ApiError> {
    let too_large = || {
        ApiError::new(
            "RequestEntityTooLargeException",
            format!("The request is longer than {BODY_LIMIT} bytes."),
        )
    };
    let length = head
        .headers
        .get(CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse().ok())
        .unwrap_or(0);
    if length > BODY_LIMIT {
        return Err(too_large());
    }
    // Not of the size that somebody claims who has not said yet who he is.
    let mut bytes = Growing::default();
    while !body.is_end_stream() {
        let Some(frame) = body.frame().await else {
            break;
        };
        let frame = frame.map_err(|e: hyper::Error| {
            ApiError::new(
                "SerializationException",
                format!("The request broke off: {e}"),
            )
        })?;
        if let Some(data) = frame.data_ref() {
            if bytes.0.len() + data.len() > BODY_LIMIT {
                return Err(too_large());
            }
            bytes.add(data);
        }
    }
    Ok(bytes.0)
}

fn respond(answer: Answer) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(answer.body));
    *response.status_mut() = answer.status;
    let headers = response.headers_mut();
    let json = HeaderValue::from_static("application/x-amz-json-1.1");
    headers.insert(CONTENT_TYPE, json);
    if let Ok(id) = HeaderValue::from_str(&answer.request_id) {
        headers.insert("x-amzn-requestid", id);
    }
    if let Some(kind) = answer.error {
        headers.insert("x-amzn-errortype", HeaderValue::from_static(kind));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::Vault;
    use crate::vault::api::Trail;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// Whoever sends nothing, half a header or half a body is hung up on.
    #[tokio::test]
    async fn nobody_is_waited_for_for_ever() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let vault = Vault::open(&path("db"), &path("key")).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (closing, closed) = watch::channel(false);
        let api = Api::new(vault, Trail::default());
        let patience = Duration::from_millis(300);
        let served = tokio::spawn(serve(listener, None, api, closed, patience));
        for (sent, answer) in [
            ("", ""),
            ("POST / HTTP/1.1\r\nHost: s\r\n", ""),
            (
                "POST / HTTP/1.1\r\nHost: s\r\nContent-Length: 9\r\n\r\n{",
                "RequestTimeoutException",
            ),
        ] {
            let mut client = TcpStream::connect(address).await.unwrap();
            client.write_all(sent.as_bytes()).await.unwrap();
            let mut said = String::new();
            let _ = client.read_to_string(&mut said).await;
            assert!(said.contains(answer), "{sent:?}: {said:?}");
        }
        closing.send_replace(true);
        served.await.unwrap();
    }
}
