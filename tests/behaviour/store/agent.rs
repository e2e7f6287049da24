//! The AWS Secrets Manager Agent instead of AWS: a stand-in that answers as the agent's
//! documentation says, with the secrets of a test.

use std::collections::HashMap;
use std::fs;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::json;
use tokio::net::TcpListener;

use crate::common::{Cluster, Proxy, cli, eventually, new_password};

const ARN: &str = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/app-AbCdEf";

/// Stages, with version and value.
type Stages = Arc<Mutex<HashMap<String, (String, String)>>>;

async fn answer(
    State(stages): State<Stages>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    let token = headers.get("x-aws-parameters-secrets-token");
    if token.is_none_or(|t| t != "agent-token") {
        return (StatusCode::FORBIDDEN, "Bad Token").into_response();
    }
    if query.get("refreshNow").is_none_or(|r| r != "true") {
        return (StatusCode::BAD_REQUEST, "the copy may be old").into_response();
    }
    let stage = query.get("versionStage").cloned().unwrap_or_default();
    let known = stages.lock().expect("not poisoned").get(&stage).cloned();
    match (query["secretId"].as_str(), known) {
        ("prod/app", Some((version, value))) => axum::Json(json!({
            "ARN": ARN, "Name": "prod/app", "VersionId": version, "SecretString": value,
            "VersionStages": [stage], "CreatedDate": 1_700_000_000.5,
        }))
        .into_response(),
        _ => {
            let error = json!({
                "__type": "ResourceNotFoundException",
                "message": "Secrets Manager can't find the specified secret.",
            });
            (StatusCode::BAD_REQUEST, axum::Json(error)).into_response()
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_agent_is_asked_for_each_stage() {
    let cluster = Cluster::start().await;
    let (old, new) = (new_password(), new_password());
    cluster.create_role("app_user", &old).await;
    let stages = Stages::default();
    let put = |stage: &str, version: &str, password: &str| {
        let value = (version.to_owned(), cluster.secret("app_user", password));
        stages
            .lock()
            .expect("not poisoned")
            .insert(stage.to_owned(), value);
    };
    put("AWSCURRENT", "version-1", &old);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let router = Router::new().route("/secretsmanager/get", get(answer));
    let router = router.with_state(stages.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let directory = tempfile::tempdir().expect("a directory");
    let token = directory.path().join("token");
    fs::write(&token, "agent-token\n").expect("written");
    let proxy = Proxy::builder()
        .store(&format!(
            "kind = \"aws\"\nagent = \"{url}\"\nagent_token_file = {token:?}\nrefresh = \"1h\""
        ))
        .database("app", "secret = \"prod/app\"\nserver_lifetime = \"1s\"")
        .start()
        .await;
    proxy.connect("app").await.value("select 1").await;
    // A rotation has set the password, and not moved AWSCURRENT yet.
    put("AWSPENDING", "version-2", &new);
    cluster.alter_password("app_user", &new).await;
    // Connections live a second; the next login finds it out.
    eventually("AWSPENDING is adopted", Duration::from_secs(30), || async {
        proxy.connect("app").await.value("select 1").await;
        (proxy.audit_of("secret.adopt").len() > 1).then_some(())
    })
    .await;
    proxy.wait_in_force("prod/app", "version-2").await;
    let adopted = proxy.audit_seen("secret.adopt").await;
    assert_eq!(adopted.last().expect("adopted")["credential"]["arn"], ARN);
    put("AWSCURRENT", "version-2", &new);

    let run = |args: &[&str]| {
        let done = cli::pgvalet(&proxy.config(), args, "{}");
        let text = [done.stdout, done.stderr].concat();
        (
            done.status.success(),
            String::from_utf8_lossy(&text).into_owned(),
        )
    };
    let (ok, said) = run(&["check"]);
    assert!(ok && said.contains("AWS Secrets Manager Agent"), "{said}");
    for (args, what) in [
        (
            &["rotate", "prod/app"][..],
            "can neither change nor rotate them",
        ),
        (
            &["secret", "list"][..],
            "the AWS Secrets Manager Agent lists no secrets",
        ),
        (
            &["secret", "get", "prod/none"][..],
            "can't find the specified secret",
        ),
        (
            &["secret", "create", "new"][..],
            "cannot create or delete secrets in the AWS",
        ),
    ] {
        let (ok, said) = run(args);
        assert!(!ok && said.contains(what), "{args:?}: {said}");
    }
    fs::write(&token, "another").expect("written");
    let (ok, said) = run(&["secret", "get", "prod/app"]);
    assert!(!ok && said.contains("Bad Token"), "{said}");
}
