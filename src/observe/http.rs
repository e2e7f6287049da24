//! The admin listener: `/metrics`, `/livez`, `/readyz`, `/status`.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use tokio::net::TcpListener;

use super::{Metrics, StatusSource};

/// Samples wait in memory until they are folded into the histograms.
const UPKEEP: Duration = Duration::from_secs(5);

struct Admin {
    metrics: Arc<Metrics>,
    source: Arc<dyn StatusSource>,
    token: Option<String>,
}

/// Serves until `shutdown`.
///
/// With a token, everything but the two health checks asks for it as
/// `Authorization: Bearer …`.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    metrics: Arc<Metrics>,
    source: Arc<dyn StatusSource>,
    token: Option<String>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let admin = Arc::new(Admin {
        metrics: metrics.clone(),
        source,
        token,
    });
    let router = Router::new()
        .route("/metrics", get(render_metrics))
        .route("/status", get(render_status))
        .layer(from_fn_with_state(admin.clone(), authorise))
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(render_ready))
        .with_state(admin);
    let upkeep = tokio::spawn(async move {
        let mut tick = tokio::time::interval(UPKEEP);
        loop {
            tick.tick().await;
            metrics.upkeep();
        }
    });
    let result = axum::serve(listener, router)
        .with_graceful_shutdown(shutdown)
        .await;
    upkeep.abort();
    result
}

async fn authorise(State(admin): State<Arc<Admin>>, request: Request, next: Next) -> Response {
    let Some(token) = &admin.token else {
        return next.run(request).await;
    };
    let given = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|v| v.to_str().ok())
        .and_then(|v| v.strip_prefix("Bearer "));
    match given {
        Some(given) if verify_slices_are_equal(given.as_bytes(), token.as_bytes()).is_ok() => {
            next.run(request).await
        }
        _ => (
            StatusCode::UNAUTHORIZED,
            [(header::WWW_AUTHENTICATE, "Bearer")],
            "send the token of [admin] token_file as Authorization: Bearer …\n",
        )
            .into_response(),
    }
}

async fn render_metrics(State(admin): State<Arc<Admin>>) -> impl IntoResponse {
    admin.source.publish();
    (
        [(
            header::CONTENT_TYPE,
            "text/plain; version=0.0.4; charset=utf-8",
        )],
        admin.metrics.render(),
    )
}

async fn render_status(State(admin): State<Arc<Admin>>) -> impl IntoResponse {
    Json(admin.source.status())
}

async fn render_ready(State(admin): State<Arc<Admin>>) -> Response {
    match admin.source.ready() {
        Ok(()) => "ready\n".into_response(),
        Err(why) => (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("not ready: {why}\n"),
        )
            .into_response(),
    }
}
