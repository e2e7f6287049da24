//! The HTTP listener for those who run the proxy: `/metrics`, `/livez`,
//! `/readyz`, `/status`, and `POST /refresh`.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::io;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use zeroize::Zeroizing;

use super::{Metrics, StatusSource};

/// From the first byte of a request to the end of its header, and between two
/// requests.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// Of a request's header.
const BUFFER_BYTES: usize = 16 * 1024;

/// Scrapers, probes and a person or two; more is a mistake or an attack.
const CONNECTIONS: usize = 64;

/// How often samples are folded into histograms.
const UPKEEP: Duration = Duration::from_secs(5);

/// After a failed accept, for descriptors to become free.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// For answers that are under way at the end.
const GOODBYE: Duration = Duration::from_secs(2);

/// Shorter tokens can be guessed.
const TOKEN_BYTES: usize = 16;

/// The bearer token that a caller must show.
#[derive(Clone)]
pub struct Token(Arc<Zeroizing<String>>);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// Why a file holds no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    #[error("the token file {path} cannot be read: {error}")]
    Unreadable { path: String, error: io::Error },
    #[error(
        "the token in {0} is too short or has blanks in it; make one with: openssl rand -hex 32"
    )]
    Unfit(String),
}

impl Token {
    /// Reads `[admin] token_file`; blanks around the token do not count.
    pub fn read(path: &Path) -> Result<Self, TokenError> {
        let name = || path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| TokenError::Unreadable {
            path: name(),
            error,
        })?;
        let text = Zeroizing::new(text);
        let token = text.trim();
        if token.len() < TOKEN_BYTES || !token.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(TokenError::Unfit(name()));
        }
        Ok(Self(Arc::new(Zeroizing::new(token.to_owned()))))
    }

    /// The value of an Authorization header.
    pub(super) fn header(&self) -> String {
        format!("Bearer {}", self.0.as_str())
    }

    /// In a time that does not tell how much of it is right.
    fn admits(&self, headers: &HeaderMap) -> bool {
        headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.as_bytes().split_at_checked(7))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"Bearer "))
            .is_some_and(|(_, token)| verify_slices_are_equal(token, self.0.as_bytes()).is_ok())
    }
}

#[derive(Clone)]
struct Admin {
    metrics: Arc<Metrics>,
    source: Arc<dyn StatusSource>,
    token: Option<Token>,
}

impl Admin {
    fn admits(&self, headers: &HeaderMap) -> bool {
        self.token.as_ref().is_none_or(|t| t.admits(headers))
    }
}

/// Serves until `shutdown`. `/livez` and `/readyz` need no token.
pub async fn serve(
    listener: TcpListener,
    metrics: Arc<Metrics>,
    source: Arc<dyn StatusSource>,
    token: Option<Token>,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let router = router(Admin {
        metrics: metrics.clone(),
        source,
        token,
    });
    let (goodbye, _) = watch::channel(());
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    let mut upkeep = tokio::time::interval(UPKEEP);
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            _ = upkeep.tick() => metrics.upkeep(),
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    // Without a place the stream is dropped, and so closed.
                    if let Ok(place) = places.clone().try_acquire_owned() {
                        let connection = connection(stream, router.clone(), goodbye.subscribe());
                        connections.spawn(async move {
                            connection.await;
                            drop(place);
                        });
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "the admin listener could not accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    drop(goodbye);
    let all_gone = async { while connections.join_next().await.is_some() {} };
    // What is still open then is cut by dropping its task.
    let _ = tokio::time::timeout(GOODBYE, all_gone).await;
    Ok(())
}

/// One connection, until its peer or `goodbye` ends it.
async fn connection(stream: TcpStream, router: Router, mut goodbye: watch::Receiver<()>) {
    let mut connection = pin!(
        hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .max_buf_size(BUFFER_BYTES)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
    );
    // How a scraper's connection ended is of no interest to anybody.
    tokio::select! {
        _ = connection.as_mut() => {}
        _ = goodbye.changed() => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}

fn router(admin: Admin) -> Router {
    let guarded = Router::new()
        .route("/metrics", get(render))
        .route("/status", get(status))
        .route("/refresh", post(refresh))
        .route_layer(from_fn_with_state(admin.clone(), guard));
    Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .merge(guarded)
        .with_state(admin)
}

async fn guard(
    State(admin): State<Admin>,
    request: Request,
    next: Next,
) -> Result<Response, Infallible> {
    if admin.admits(request.headers()) {
        return Ok(next.run(request).await);
    }
    Ok((
        StatusCode::UNAUTHORIZED,
        [(header::WWW_AUTHENTICATE, "Bearer")],
        "this needs the token of [admin] token_file: Authorization: Bearer …\n",
    )
        .into_response())
}

async fn render(State(admin): State<Admin>) -> impl IntoResponse {
    admin.source.publish();
    (
        [(
            header::CONTENT_TYPE,
            "text/plain; version=0.0.4; charset=utf-8",
        )],
        admin.metrics.render(),
    )
}

async fn status(State(admin): State<Admin>) -> impl IntoResponse {
    Json(admin.source.status())
}

/// `/refresh?secret=NAME`; without a name, all of them.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    secret: Option<String>,
}

/// For event hooks: a rotation that has just finished need not wait for the
/// next look. Many at once cost one question, since looks are shared.
async fn refresh(State(admin): State<Admin>, Query(wanted): Query<Wanted>) -> Response {
    let found = admin.source.refresh(wanted.secret).await;
    if found.is_empty() {
        return (StatusCode::NOT_FOUND, "no such secret is followed\n").into_response();
    }
    Json(found).into_response()
}

async fn readyz(State(admin): State<Admin>, headers: HeaderMap) -> (StatusCode, String) {
    match admin.source.ready() {
        Ok(()) => (StatusCode::OK, "ok\n".to_owned()),
        // The reason names databases and secrets: only for those who may know.
        Err(reason) if admin.admits(&headers) => {
            (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n"))
        }
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "not ready\n".to_owned()),
    }
}
