//! The API over HTTP/1.1: `POST /`, JSON in and out.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
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
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use zeroize::Zeroizing;

use super::StoreListen;
use super::bodies::{Bodies, Room, throttled};
use super::caller::Peer;
use super::places::{Place, Places};
use super::reply::{Answer, Growing};
use super::{Api, ApiError};
use crate::net::ServerCertificate;
use crate::net::tls::TlsError;

/// Between two requests of one connection.
const PATIENCE: Duration = Duration::from_secs(30);
/// For the TLS handshake and the first request's header, together; and for each
/// request's body. Whoever means it needs a fraction of this.
const STRANGER: Duration = Duration::from_secs(10);
/// The longest value is 64 KiB, of which JSON can make six times as much.
const BODY_LIMIT: usize = 1024 * 1024;
/// Of a request's header; as much of a body waits to be taken.
const HEADER_BYTES: usize = 16 * 1024;
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
        let patience = Patience {
            idle: PATIENCE,
            stranger: STRANGER,
        };
        serve(self.listener, self.tls, api, closing, patience).await;
    }
}

#[derive(Clone, Copy)]
struct Patience {
    idle: Duration,
    stranger: Duration,
}

/// What all connections have in common.
#[derive(Clone)]
struct Shared {
    api: Arc<Api>,
    bodies: Bodies,
    patience: Patience,
}

/// One connection: from where, and how.
struct Line {
    shared: Shared,
    from: SocketAddr,
    secure: bool,
    place: Arc<Place>,
    /// The first request's header has come.
    spoke: Notify,
    /// A request was that of a principal.
    recognised: AtomicBool,
}

async fn serve(
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
                    // Without a place the stream is dropped, and so closed.
                    if let Some(place) = places.take(from.ip()) {
                        let acceptor = tls.as_ref().map(|tls| TlsAcceptor::from(tls.config()));
                        let line = Line {
                            shared: shared.clone(),
                            from,
                            secure: acceptor.is_some(),
                            place: Arc::new(place),
                            spoke: Notify::new(),
                            recognised: AtomicBool::new(false),
                        };
                        connections.spawn(connection(stream, acceptor, line, closing.clone()));
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

/// One connection, until its peer or `closing` ends it, or it has to give way.
async fn connection(
    stream: TcpStream,
    acceptor: Option<TlsAcceptor>,
    line: Line,
    closing: watch::Receiver<bool>,
) {
    // Answers are small and waited for.
    let _ = stream.set_nodelay(true);
    let line = Arc::new(line);
    let (place, stranger) = (line.place.clone(), line.shared.patience.stranger);
    let late = {
        let line = line.clone();
        async move {
            if timeout(stranger, line.spoke.notified()).await.is_ok() {
                std::future::pending::<()>().await;
            }
        }
    };
    let served = async {
        match acceptor {
            None => requests(stream, line, closing).await,
            Some(acceptor) => match acceptor.accept(stream).await {
                Ok(stream) => requests(stream, line, closing).await,
                Err(error) => {
                    tracing::debug!(from = %line.from, %error, "no TLS with a client of the store");
                }
            },
        }
    };
    tokio::select! {
        () = served => {}
        () = place.gives_way() => {}
        () = late => {}
    }
}

async fn requests(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    line: Arc<Line>,
    closing: watch::Receiver<bool>,
) {
    let idle = line.shared.patience.idle;
    let service = service_fn(move |request: Request<Incoming>| {
        line.spoke.notify_one();
        let line = line.clone();
        async move { Ok::<_, Infallible>(answer(&line, request).await) }
    });
    let mut connection = pin!(
        hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(idle)
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

async fn answer(line: &Line, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let agent = head.headers.get(USER_AGENT).and_then(|a| a.to_str().ok());
    let peer = Peer {
        address: Some(line.from.ip().to_canonical()),
        secure: line.secure,
        user_agent: agent.map(str::to_owned),
    };
    let Shared { api, bodies, .. } = &line.shared;
    if length(&head) > BODY_LIMIT {
        return respond(Answer::refusal(too_large()));
    }
    // Nobody's body is taken who has no key that is known here.
    if !line.recognised.load(Ordering::Relaxed)
        && let Err(refused) = api.clone().admits(&head, &peer).await
    {
        return respond(discreet(refused));
    }
    let room = bodies.room(line.place.network);
    let read = async {
        tokio::select! {
            read = read(body, &room) => read,
            () = room.gives_way() => Err(throttled()),
        }
    };
    let answer = match timeout(line.shared.patience.stranger, read).await {
        Ok(Ok(body)) => {
            line.place.busy();
            let answer = api.clone().signed(head, body, peer).await;
            line.place.answered(answer.recognised);
            line.recognised.store(answer.recognised, Ordering::Relaxed);
            discreet(answer)
        }
        Ok(Err(error)) => Answer::refusal(error),
        Err(_) => Answer::refusal(ApiError::new(
            "RequestTimeoutException",
            "The body of the request did not come in time.",
        )),
    };
    drop(room);
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

fn too_large() -> ApiError {
    ApiError::new(
        "RequestEntityTooLargeException",
        format!("The request is longer than {BODY_LIMIT} bytes."),
    )
}

/// What the head says of the body's length.
fn length(head: &Parts) -> usize {
    let length = head.headers.get(CONTENT_LENGTH);
    length
        .and_then(|length| length.to_str().ok()?.parse().ok())
        .unwrap_or(0)
}

async fn read(mut body: Incoming, room: &Room) -> Result<Zeroizing<Vec<u8>>, ApiError> {
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
            room.grow(data.len())?;
            bytes.add(data);
        }
    }
    room.whole()?;
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
    use crate::vault::principals::PolicyText;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// Of somebody who names a key that is known, and has the rest still to say.
    fn half_of_a_request(key: &str) -> String {
        let now = chrono::Utc::now();
        let (date, day) = (now.format("%Y%m%dT%H%M%SZ"), now.format("%Y%m%d"));
        format!(
            "POST / HTTP/1.1\r\nHost: s\r\nX-Amz-Date: {date}\r\n\
             X-Amz-Target: secretsmanager.ListSecrets\r\nAuthorization: AWS4-HMAC-SHA256 \
             Credential={key}/{day}/local/secretsmanager/aws4_request, \
             SignedHeaders=host;x-amz-date;x-amz-target, Signature=00\r\n\
             Content-Length: 9\r\n\r\n{{"
        )
    }

    /// Whoever sends nothing, half a header or half a body is hung up on.
    #[tokio::test]
    async fn nobody_is_waited_for_for_ever() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let vault = Vault::open(&path("db"), &path("key")).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (closing, closed) = watch::channel(false);
        let everything = r#"{"Version":"2012-10-17",
            "Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#;
        let policies = vec![PolicyText {
            name: "p".into(),
            document: everything.into(),
        }];
        let added = vault.add_principal("p".into(), policies, std::collections::BTreeMap::new());
        let half = half_of_a_request(&added.await.unwrap().1.id);
        let api = Api::new(vault, Trail::default());
        let patience = Patience {
            idle: Duration::from_millis(300),
            stranger: Duration::from_millis(300),
        };
        let served = tokio::spawn(serve(listener, None, api, closed, patience));
        for (sent, answer) in [
            ("", ""),
            ("POST / HTTP/1.1\r\nHost: s\r\n", ""),
            // Whoever names no key is not asked for the rest.
            (
                "POST / HTTP/1.1\r\nHost: s\r\nContent-Length: 9\r\n\r\n{",
                "MissingAuthenticationTokenException",
            ),
            (&half, "RequestTimeoutException"),
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
