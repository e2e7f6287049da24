//! One connection: `POST /` with JSON in and JSON out.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, USER_AGENT};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Request, Response, StatusCode};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::service::service_fn;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use zeroize::Zeroizing;

use super::Shared;
use crate::net::http;
use crate::vault::api::ApiError;
use crate::vault::api::bodies::{Room, throttled};
use crate::vault::api::caller::Peer;
use crate::vault::api::places::Place;
use crate::vault::api::reply::{Answer, Growing};

/// Bytes of a body. The longest value is 64 KiB, which JSON can make six times
/// as long.
const BODY_LIMIT: usize = 1024 * 1024;

/// One connection: where it comes from, and how far it has proved itself.
pub(super) struct Line {
    shared: Shared,
    from: SocketAddr,
    secure: bool,
    place: Arc<Place>,
    /// Notified when the first request's header has arrived.
    spoke: Notify,
    /// Whether a request was that of a principal.
    recognised: AtomicBool,
}

impl Line {
    pub fn new(shared: Shared, from: SocketAddr, secure: bool, place: Place) -> Self {
        Self {
            shared,
            from,
            secure,
            place: Arc::new(place),
            spoke: Notify::new(),
            recognised: AtomicBool::new(false),
        }
    }
}

/// Serves one connection until its peer or `closing` ends it, or until it has to
/// give way to another.
pub(super) async fn run(
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
    http::connection(stream, service, idle, closing).await;
}

/// Answers one request.
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
    // The body is read only of a sender who names a key that is known here.
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

/// Hides the paths and causes of an internal error, which are for those who run
/// the store: they go to the log.
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

/// The length of the body as the head declares it.
fn length(head: &Parts) -> usize {
    let length = head.headers.get(CONTENT_LENGTH);
    length
        .and_then(|length| length.to_str().ok()?.parse().ok())
        .unwrap_or(0)
}

async fn read(mut body: Incoming, room: &Room) -> Result<Zeroizing<Vec<u8>>, ApiError> {
    // It grows as the body arrives. A stranger's Content-Length reserves nothing.
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
