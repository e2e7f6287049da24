//! The admin listener: `/metrics`, `/livez`, `/readyz`, `/status`, `/events`, the status page,
//! `POST /refresh`, and the paths of `steer`.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::interval;
use tracing::debug;

use super::doorkeeper::{Action, Caller, Doorkeeper, Refusal};
use super::events::{Watchers, events};
use super::page;
use super::steer::{NotDone, Origin};
use super::{Operations, StatusSource, inspect, steer};
use crate::base::suggestion;
use crate::metrics::Metrics;
use crate::net::{Listener, Peer, Shared, Socket, http};

/// From the first byte of a request to the end of its head, and between two requests.
const PATIENCE: Duration = Duration::from_secs(10);

/// How many connections may be open. Scrapers, probes and a person or two need fewer;
/// more is a mistake or an attack.
const CONNECTIONS: usize = 64;

/// How often samples are folded into histograms.
const UPKEEP: Duration = Duration::from_secs(5);

/// The bound admin listener.
pub enum AdminListener {
    Tcp(TcpListener),
    /// Its file is removed when it is dropped.
    Unix(Listener),
}

impl AdminListener {
    /// The socket, to be passed to another process.
    ///
    /// # Errors
    /// There is no descriptor left.
    pub fn share(&self) -> io::Result<Shared> {
        match self {
            Self::Tcp(listener) => Shared::tcp(listener),
            Self::Unix(listener) => listener.share(),
        }
    }
}

impl http::Accept for AdminListener {
    type Connection = (Socket, Caller, Origin);

    async fn accept(&self) -> io::Result<Self::Connection> {
        match self {
            Self::Tcp(listener) => {
                let (stream, from) = listener.accept().await?;
                let origin = Origin(from.to_string().into());
                Ok((Socket::Tcp(stream), Caller::Tcp, origin))
            }
            Self::Unix(listener) => {
                let accepted = listener.accept().await?;
                let caller = match &accepted.peer {
                    Peer::Unix { uid, .. } => Caller::Unix { uid: *uid },
                    Peer::Tcp(_) => Caller::Tcp,
                };
                let origin = Origin(accepted.peer.to_string().into());
                Ok((accepted.socket, caller, origin))
            }
        }
    }
}

#[derive(Clone)]
pub(super) struct Admin {
    metrics: Arc<Metrics>,
    pub source: Arc<dyn StatusSource>,
    pub keeper: Arc<Doorkeeper>,
    pub watchers: Arc<Watchers>,
}

/// Serves until `closing` becomes true. `/livez`, `/readyz` and the page are open to everybody.
/// `proxy`: what is steered by the listener.
pub async fn serve(
    listener: AdminListener,
    metrics: Arc<Metrics>,
    source: Arc<dyn StatusSource>,
    proxy: Option<Arc<dyn Operations>>,
    keeper: Doorkeeper,
    closing: watch::Receiver<bool>,
) {
    let watchers = Arc::new(Watchers::new(closing.clone()));
    let admin = Admin {
        metrics: metrics.clone(),
        source: source.clone(),
        keeper: Arc::new(keeper),
        watchers: watchers.clone(),
    };
    let router = router(admin, proxy);
    let mut oldest = VecDeque::new();
    let closed = closing.clone();
    let served = http::serve(
        listener,
        "the admin listener",
        closing,
        |accepted, tasks| {
            let (socket, caller, origin) = accepted;
            oldest.retain(|task: &AbortHandle| !task.is_finished());
            // The oldest is closed: a probe is answered in no time, and whoever holds
            // connections open must not keep it out.
            if oldest.len() >= CONNECTIONS
                && let Some(task) = oldest.pop_front()
            {
                task.abort();
            }
            let router = router
                .clone()
                .layer(Extension(caller))
                .layer(Extension(origin));
            let service = TowerToHyperService::new(router);
            let task = http::connection(socket, service, PATIENCE, closed.clone());
            oldest.push_back(tasks.spawn(task));
        },
    );
    tokio::select! {
        () = served => {}
        () = upkeep(&metrics) => {}
        () = watchers.run(&source) => {}
    }
}

/// Never ends.
async fn upkeep(metrics: &Metrics) {
    let mut tick = interval(UPKEEP);
    loop {
        tick.tick().await;
        metrics.upkeep();
    }
}

fn router(admin: Admin, proxy: Option<Arc<dyn Operations>>) -> Router {
    let guarded = Router::new()
        .route("/metrics", get(render))
        .route("/status", get(status))
        .route("/events", get(events))
        .route("/rotations", get(rotations))
        .route("/refresh", post(refresh))
        .route_layer(from_fn_with_state(admin.clone(), guard));
    let steered = proxy.map_or_else(Router::new, |proxy| {
        let private = inspect::router(proxy.clone());
        steer::router(proxy)
            .route_layer(from_fn_with_state(admin.clone(), guard))
            .merge(private.route_layer(from_fn_with_state(admin.clone(), guard_private)))
    });
    Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .merge(guarded)
        .merge(page::routes())
        .with_state(admin)
        .merge(steered)
}

/// Refuses a request that the doorkeeper does not admit. A method that may change
/// something counts as a change.
async fn guard(
    State(admin): State<Admin>,
    Extension(caller): Extension<Caller>,
    request: Request,
    next: Next,
) -> Result<Response, Infallible> {
    let action = match *request.method() {
        Method::GET | Method::HEAD => Action::Read,
        _ => Action::Change,
    };
    Ok(admit(&admin, caller, action, request, next).await)
}

/// Refuses a request for what not every user of the machine may know.
async fn guard_private(
    State(admin): State<Admin>,
    Extension(caller): Extension<Caller>,
    request: Request,
    next: Next,
) -> Result<Response, Infallible> {
    Ok(admit(&admin, caller, Action::ReadPrivate, request, next).await)
}

async fn admit(
    admin: &Admin,
    caller: Caller,
    action: Action,
    request: Request,
    next: Next,
) -> Response {
    let judged = admin.keeper.judge(caller, request.headers(), action);
    debug!(
        method = %request.method(), path = request.uri().path(), ?caller,
        "admin request {}", if judged.is_ok() { "answered" } else { "refused" }
    );
    match judged {
        Ok(()) => next.run(request).await,
        Err(refusal) => refuse(refusal),
    }
}

fn refuse(refusal: Refusal) -> Response {
    let token = [(header::WWW_AUTHENTICATE, "Bearer")];
    match refusal {
        Refusal::Foreign => (
            StatusCode::FORBIDDEN,
            "requests of web pages and for other hosts are refused: use the host in [admin] address, or localhost, \
             or send the token: Authorization: Bearer …\n",
        )
            .into_response(),
        Refusal::NoToken => (
            StatusCode::UNAUTHORIZED,
            token,
            "this needs the token of [admin] token_file, or, without that key, the one in admin.token \
             beside the audit log: Authorization: Bearer …\n",
        )
            .into_response(),
        Refusal::NoTokenSet => (
            StatusCode::UNAUTHORIZED,
            token,
            "this needs a token, and this proxy has none; set [admin] token_file\n",
        )
            .into_response(),
    }
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

async fn rotations(State(admin): State<Admin>) -> impl IntoResponse {
    Json(admin.source.rotation_steps())
}

/// `/refresh?secret=NAME`; without a name, all of them.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    secret: Option<String>,
}

/// For event hooks: after a rotation the proxy need not wait for its next look at the
/// secret. Many requests at once ask the store once.
async fn refresh(State(admin): State<Admin>, Query(wanted): Query<Wanted>) -> Response {
    let found = admin.source.refresh(wanted.secret.clone()).await;
    match (found.is_empty(), wanted.secret) {
        (true, Some(secret)) => no_secret(&admin, &secret),
        _ => Json(found).into_response(),
    }
}

fn no_secret(admin: &Admin, secret: &str) -> Response {
    let known = admin.source.status().secrets;
    let end = suggestion(secret, known.iter().map(|s| &*s.secret));
    let error = format!("the proxy follows no secret {secret:?}{end}");
    let body = Json(NotDone { error, hint: None });
    (StatusCode::NOT_FOUND, body).into_response()
}

async fn readyz(
    State(admin): State<Admin>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
) -> (StatusCode, String) {
    let may_read = || admin.keeper.judge(caller, &headers, Action::Read).is_ok();
    match admin.source.ready() {
        Ok(()) => (StatusCode::OK, "ok\n".to_owned()),
        // The reason names databases and secrets, so only callers that may read get it.
        Err(reason) if may_read() => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "not ready\n".to_owned()),
    }
}
