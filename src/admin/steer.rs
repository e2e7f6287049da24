//! The paths of the admin listener by which a proxy is steered, and who and what is there.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use serde::{Deserialize, Serialize};

use super::action::{self, Action, ActionError, Actor, Unfinished};
use super::doorkeeper::Caller;
use super::{Operations, views};
use crate::access::AdminRight;
use crate::audit::SessionRef;
use crate::base::duration;

/// What was done, and what else there is to say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    pub done: String,
    pub notices: Vec<String>,
}

/// Why something was not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotDone {
    pub error: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub hint: Option<String>,
}

/// Where a request came from.
#[derive(Clone)]
pub struct Origin(pub Arc<str>);

/// How long a new process may take, if nobody says.
const UPGRADE: Duration = Duration::from_secs(60);

/// `?database=NAME`, `?id=17`, `?secret=NAME`, `?binary=FILE`, `?timeout=10s`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    database: Option<String>,
    id: Option<u64>,
    secret: Option<String>,
    binary: Option<PathBuf>,
    timeout: Option<String>,
}

type Proxy = State<Arc<dyn Operations>>;

/// The paths. Whoever adds them sees to it that the doorkeeper is asked first.
pub(super) fn router(proxy: Arc<dyn Operations>) -> Router {
    Router::new()
        .route("/clients", get(clients))
        .route("/servers", get(servers))
        .route("/pause", post(pause))
        .route("/resume", post(resume))
        .route("/kill", post(kill))
        .route("/reconnect", post(reconnect))
        .route("/disable", post(disable))
        .route("/enable", post(enable))
        .route("/reload", post(reload))
        .route("/rotate", post(rotate))
        .route("/approve", post(approve))
        .route("/upgrade", post(upgrade))
        .with_state(proxy)
}

async fn clients(State(proxy): Proxy, Query(wanted): Query<Wanted>) -> Response {
    let name = wanted.database.as_deref();
    let mut others = proxy.others().await;
    others.retain(|client| name.is_none_or(|name| *client.database == *name));
    of_database(&proxy, &wanted, |proxy, database| {
        let mut all = views::clients(proxy, database);
        all.extend(others.iter().cloned());
        all.sort_by_key(|client| client.id);
        all
    })
}

async fn servers(State(proxy): Proxy, Query(wanted): Query<Wanted>) -> Response {
    of_database(&proxy, &wanted, views::servers)
}

/// What there is of the wanted database, or of all of them.
fn of_database<T: Serialize>(
    proxy: &Arc<dyn Operations>,
    wanted: &Wanted,
    list: impl Fn(&dyn Operations, Option<&str>) -> Vec<T>,
) -> Response {
    let name = wanted.database.as_deref();
    match name.map(|name| action::known_database(&**proxy, name)) {
        Some(Err(e)) => (code(&e), Json(not_done(&e))).into_response(),
        None | Some(Ok(())) => Json(list(&**proxy, name)).into_response(),
    }
}

macro_rules! handler {
    ($name:ident, $wanted:ident => $action:expr) => {
        async fn $name(
            State(proxy): Proxy,
            Extension(caller): Extension<Caller>,
            Extension(origin): Extension<Origin>,
            Query($wanted): Query<Wanted>,
        ) -> Response {
            match $action {
                Some(action) => run(&proxy, caller, origin, &action).await,
                None => incomplete(),
            }
        }
    };
}

handler!(pause, w => Some(Action::Pause(w.database)));
handler!(resume, w => Some(Action::Resume(w.database)));
handler!(kill, w => Some(match w.id {
    Some(id) => Action::KillClient(id),
    None => Action::Kill(w.database),
}));
handler!(reconnect, w => Some(Action::Reconnect(w.database)));
handler!(disable, w => w.database.map(Action::Disable));
handler!(enable, w => w.database.map(Action::Enable));
handler!(reload, _w => Some(Action::Reload));
handler!(rotate, w => w.secret.map(Action::Rotate));
handler!(approve, w => w.secret.map(Action::Approve));

async fn upgrade(
    State(proxy): Proxy,
    Extension(caller): Extension<Caller>,
    Extension(origin): Extension<Origin>,
    Query(wanted): Query<Wanted>,
) -> Response {
    // The token is for steering a proxy, and not for running programs as its user.
    if wanted.binary.is_some() && caller == Caller::Tcp {
        let error = "another program can be named only on a unix socket".to_owned();
        let hint = "Put it in the place of the one that runs, or set [admin] address to unix:/…";
        let hint = Some(hint.to_owned());
        return (StatusCode::FORBIDDEN, Json(NotDone { error, hint })).into_response();
    }
    let limit = match wanted.timeout.as_deref().map(duration::parse) {
        None => UPGRADE,
        Some(Ok(limit)) => limit,
        Some(Err(error)) => {
            let error = format!("timeout: {error}");
            let body = Json(NotDone { error, hint: None });
            return (StatusCode::BAD_REQUEST, body).into_response();
        }
    };
    let binary = wanted.binary;
    run(&proxy, caller, origin, &Action::Upgrade { binary, limit }).await
}

fn incomplete() -> Response {
    let error = "name what it is about: ?database=NAME or ?secret=NAME".to_owned();
    let body = Json(NotDone { error, hint: None });
    (StatusCode::BAD_REQUEST, body).into_response()
}

async fn run(
    proxy: &Arc<dyn Operations>,
    caller: Caller,
    origin: Origin,
    action: &Action,
) -> Response {
    // The doorkeeper has let it in: it has the token, or is the owner of the process.
    let client = match caller {
        Caller::Tcp => "admin token".to_owned(),
        Caller::Unix { uid } => format!("uid {uid}"),
    };
    let actor = Actor {
        who: SessionRef {
            id: "".into(),
            client: client.into(),
            source: origin.0,
            via: None,
            database: "".into(),
        },
        right: Some(AdminRight::Change),
    };
    let done = async {
        let begun = action::begin(proxy, &actor, action).await?;
        // If the client leaves, this future ends where it is.
        let unfinished = Unfinished::of(proxy, &actor, action);
        let mut notices = begun.notices;
        let done = begun.rest.done().await;
        unfinished.done();
        notices.extend(done?);
        Ok(notices)
    };
    match done.await {
        Ok(notices) => {
            let done = action.to_string();
            Json(Done { done, notices }).into_response()
        }
        Err(e) => (code(&e), Json(not_done(&e))).into_response(),
    }
}

fn not_done(e: &ActionError) -> NotDone {
    NotDone {
        error: e.to_string(),
        hint: e.hint(),
    }
}

fn code(e: &ActionError) -> StatusCode {
    match e {
        ActionError::NoDatabase(..) | ActionError::NoClient(_) | ActionError::NoSecret(..) => {
            StatusCode::NOT_FOUND
        }
        ActionError::NotNow(_) => StatusCode::CONFLICT,
        ActionError::NotAllowed(_) => StatusCode::FORBIDDEN,
        ActionError::Audit => StatusCode::SERVICE_UNAVAILABLE,
        ActionError::Failed(_) => StatusCode::UNPROCESSABLE_ENTITY,
    }
}
