//! What is shown only to those who may change something: the rules, what they would decide, whom
//! they have denied and why, and the newest records of the audit log. Not every user of the machine
//! may read those.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;

use super::explain::{Question, explain};
use super::steer::NotDone;
use super::{Operations, views};
use crate::access::{AdminRight, Rule};

/// How many records of the audit log are shown.
const RECORDS: usize = 200;

/// A rule, in words.
#[derive(Serialize)]
struct RuleView {
    rule: usize,
    client: Arc<str>,
    /// How its clients are recognised.
    conditions: String,
    databases: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    users: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    admin: Option<&'static str>,
    /// How many of its clients are connected.
    clients: usize,
}

type Proxy = State<Arc<dyn Operations>>;

/// The paths. Whoever adds them sees to it that the doorkeeper is asked first.
pub(super) fn router(proxy: Arc<dyn Operations>) -> Router {
    Router::new()
        .route("/rules", get(rules))
        .route("/explain", get(explained))
        .route("/denial", get(denial))
        .route("/audit", get(audit))
        .with_state(proxy)
}

async fn rules(State(proxy): Proxy) -> Response {
    let context = proxy.context();
    let sessions = context.sessions.all();
    let routes = context.routes.load();
    let rules = routes.policy.rules().iter();
    let views: Vec<RuleView> = rules
        .map(|rule| RuleView {
            clients: sessions.iter().filter(|s| s.client == rule.name).count(),
            ..view(rule)
        })
        .collect();
    Json(views).into_response()
}

fn view(rule: &Rule) -> RuleView {
    let conditions = rule.identity.conditions();
    let conditions: Vec<String> = conditions.map(|(_, c)| c.describe()).collect();
    RuleView {
        rule: rule.number,
        client: rule.name.clone(),
        conditions: conditions.join("; "),
        databases: rule.databases.join(", "),
        users: rule.users.as_ref().map(|users| users.join(", ")),
        secret: rule.secret.as_ref().map(|s| s.as_str().to_owned()),
        admin: rule.admin.map(|right| match right {
            AdminRight::Read => "read",
            AdminRight::Change => "change",
        }),
        clients: 0,
    }
}

async fn explained(State(proxy): Proxy, Query(question): Query<Question>) -> Response {
    // The name service of the machine may be slow to say who a user is.
    let answered = spawn_blocking(move || explain(&*proxy, &question)).await;
    match answered {
        Ok(Ok(value)) => Json(value).into_response(),
        Ok(Err(error)) => (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
        Err(_) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

/// `?ref=7f3a`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reference {
    r#ref: String,
}

async fn denial(State(proxy): Proxy, Query(wanted): Query<Reference>) -> Response {
    let reference = wanted.r#ref;
    match proxy.context().refusals.find(&reference) {
        Some(refusal) => Json(views::denial(&refusal)).into_response(),
        None => {
            let error = format!("no denial with the ref {reference:?} is kept");
            let hint = Some("The last 500 are, since the proxy was started; its log and its audit log have all of them.".to_owned());
            (StatusCode::NOT_FOUND, Json(NotDone { error, hint })).into_response()
        }
    }
}

async fn audit(State(proxy): Proxy) -> Response {
    let read = spawn_blocking(move || proxy.records(RECORDS)).await;
    match read {
        Ok(Ok(records)) => Json(records).into_response(),
        Ok(Err(why)) => (StatusCode::SERVICE_UNAVAILABLE, why).into_response(),
        Err(_) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}
