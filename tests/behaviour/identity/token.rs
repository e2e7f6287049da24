//! Clients that are known by a token: as their password, and by OAUTHBEARER.

use std::time::Duration;

use serde_json::{Value, json};

use crate::common::cli::pgvalet;
use crate::common::client::told;
use crate::common::issuer::{ISSUER, Issuer};
use crate::common::raw::{Raw, message, sqlstate, tags};
use crate::common::{Cluster, Proxy, connect, eventually, new_password};

async fn proxy(cluster: &Cluster, rules: &[&str]) -> Proxy {
    let password = new_password();
    cluster.create_role("app_user", &password).await;
    let secret = cluster.secret("app_user", &password);
    let builder = Proxy::with_one_database(&secret, "");
    rules
        .iter()
        .fold(builder, |b, rule| b.client(rule))
        .start()
        .await
}

fn with_password(proxy: &Proxy, password: &str) -> String {
    format!("{} password='{password}'", proxy.dsn("app"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_a_password_that_says_who_it_is() {
    let (cluster, issuer) = (Cluster::start().await, Issuer::new());
    let proxy = proxy(&cluster, &[&issuer.rule("")]).await;
    let good = issuer.good();
    let session = connect(&with_password(&proxy, &good))
        .await
        .expect("let in");
    assert_eq!(session.value("select current_user").await, "app_user");
    let by_socket = format!("{} password='{good}'", proxy.unix_dsn("app"));
    connect(&by_socket).await.expect("let in by the socket");

    let bad = [
        (
            "token_expired",
            issuer.token(|c| c["exp"] = json!(1_000_000)),
        ),
        ("no_rule", issuer.token(|c| c["aud"] = json!("other"))),
        (
            "no_rule",
            issuer.token(|c| c["sub"] = json!("system:serviceaccount:x:api")),
        ),
        (
            "token_unknown_issuer",
            issuer.token(|c| c["iss"] = json!("https://other")),
        ),
        ("token_signature", Issuer::new().good()),
        ("token_malformed", "letmein".to_owned()),
        ("token_too_large", "x".repeat(16 * 1024 + 100)),
        ("token_malformed", "x".repeat(1024 * 1024)),
    ];
    let unknown = format!("{} password='{good}'", proxy.dsn("no_such_database"));
    let expected = told(&connect(&unknown).await.err().expect("denied"));
    assert_eq!(expected.0, "28000");
    for (_, token) in &bad {
        let error = connect(&with_password(&proxy, token)).await.err();
        assert_eq!(told(&error.expect("denied")), expected);
    }
    let denied = proxy.audit_of("session.deny");
    let reasons: Vec<&str> = denied.iter().filter_map(|r| r["reason"].as_str()).collect();
    let wanted: Vec<&str> = bad.iter().map(|(reason, _)| *reason).collect();
    assert_eq!(reasons[0], "unknown_database");
    assert_eq!(reasons[1..], wanted);

    let start = &proxy.audit_of("session.start")[0];
    assert_eq!(start["identity"]["method"], "token");
    assert_eq!(
        start["identity"]["subject"],
        "system:serviceaccount:shop:api"
    );
    assert_eq!(start["identity"]["issuer"], ISSUER);
    assert_eq!(start["identity"]["token_id"], "token-1");
    let signature = good.rsplit('.').next().expect("three parts");
    let audit = std::fs::read_to_string(proxy.directory().join("audit.jsonl"));
    assert!(
        !audit.expect("the audit log").contains(signature),
        "the token is in the audit log"
    );
    assert!(!proxy.log().contains(signature), "the token is in the log");
}

/// A client that another rule lets in is not asked for a token; a client that no
/// other rule lets in is asked, whichever database it wants.
#[tokio::test(flavor = "multi_thread")]
async fn only_who_needs_one_is_asked_for_a_token() {
    let (cluster, issuer) = (Cluster::start().await, Issuer::new());
    let alice =
        "name = \"alice\"\nusers = [\"alice\"]\nnetwork = [\"127.0.0.1\"]\ndatabases = [\"app\"]";
    let proxy = proxy(&cluster, &[alice, &issuer.rule("")]).await;
    connect(&proxy.dsn_as("alice", "app"))
        .await
        .expect("alice needs none");
    for database in ["app", "no_such_database"] {
        let mut raw = Raw::open(&proxy).await;
        let body = format!("\0\x03\0\0user\0bob\0database\0{database}\0\0");
        let length = u32::try_from(body.len() + 4).expect("short").to_be_bytes();
        raw.send(&[&length[..], body.as_bytes()].concat()).await;
        assert_eq!(
            raw.until(b'R').await,
            [(b'R', vec![0, 0, 0, 3])],
            "{database}"
        );
    }
}

/// AuthenticationSASL, SASLInitialResponse, AuthenticationSASLContinue with what
/// was wrong, an answer of one byte, and the refusal: RFC 7628 as libpq speaks it.
#[tokio::test(flavor = "multi_thread")]
async fn oauthbearer_by_its_bytes() {
    let (cluster, issuer) = (Cluster::start().await, Issuer::new());
    let proxy = proxy(&cluster, &[&issuer.rule(", method = \"oauthbearer\"")]).await;
    let begin = async || {
        let mut raw = Raw::open(&proxy).await;
        raw.start_up().await;
        let offer = raw.until(b'R').await;
        assert_eq!(offer, [(b'R', b"\0\0\0\x0aOAUTHBEARER\0\0".to_vec())]);
        raw
    };
    let response = |data: &str| {
        let length = u32::try_from(data.len()).expect("short").to_be_bytes();
        message(
            b'p',
            &[b"OAUTHBEARER\0", &length[..], data.as_bytes()].concat(),
        )
    };

    let mut raw = begin().await;
    let bearer = format!("n,,\x01auth=Bearer {}\x01\x01", issuer.good());
    raw.send(&response(&bearer)).await;
    let greeting = raw.until(b'Z').await;
    assert_eq!(greeting[0], (b'R', vec![0; 4]));
    assert!(tags(&raw.ask(&crate::common::raw::query("select 1")).await).contains('D'));

    // libpq asks with an empty one where to get a token; a wrong one is told the same.
    for bearer in ["n,,\x01auth=\x01\x01", "n,,\x01auth=Bearer letmein\x01\x01"] {
        let mut raw = begin().await;
        raw.send(&response(bearer)).await;
        let (_, body) = raw.until(b'R').await.remove(0);
        let (code, text) = body.split_at(4);
        assert_eq!(code, [0, 0, 0, 11]);
        let said: Value = serde_json::from_slice(text).expect("JSON");
        assert_eq!(said["status"], "invalid_token");
        let discovery = format!("{ISSUER}/.well-known/openid-configuration");
        assert_eq!(said["openid-configuration"], discovery);
        raw.send(&message(b'p', b"\x01")).await;
        assert_eq!(sqlstate(&raw.until(b'E').await).as_deref(), Some("28000"));
    }
}

/// `end_at_expiry`: between transactions, and with a record that says why.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_may_end_with_its_token() {
    let (cluster, issuer) = (Cluster::start().await, Issuer::new());
    let proxy = proxy(&cluster, &[&issuer.rule(", end_at_expiry = true")]).await;
    // Within the leeway for clocks, a token lets in that has just expired.
    let old = issuer.token(|c| c["exp"] = json!(c["exp"].as_u64().expect("a time") - 605));
    let session = connect(&with_password(&proxy, &old)).await.expect("let in");
    let staying = connect(&with_password(&proxy, &issuer.good()))
        .await
        .expect("let in");
    let ended = async || session.simple_query("select 1").await.err();
    eventually("the session ends", Duration::from_secs(20), ended).await;
    let ended = proxy.audit_seen("session.end").await;
    assert_eq!(ended[0]["sqlstate"], "57P01", "{ended:?}");
    assert_eq!(staying.value("select 1").await, "1");
}

/// `pgvalet explain` with a token: what a client that presents it would get.
#[tokio::test(flavor = "multi_thread")]
async fn explain_looks_at_a_token() {
    let issuer = Issuer::new();
    let proxy = Proxy::builder()
        .database("app", "secret = \"app\"")
        .client(&issuer.rule(""))
        .prepare();
    let ask = |token: &str| {
        let file = proxy.directory().join("token");
        std::fs::write(&file, format!("{token}\n")).expect("written");
        let file = file.display().to_string();
        let args = ["explain", "--database", "app", "--from", "10.0.0.7"];
        let output = pgvalet(
            &proxy.config(),
            &[&args[..], &["--token", &file]].concat(),
            "",
        );
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(!said.contains(token), "the token is shown: {said}");
        (output.status.code(), said)
    };
    let (code, said) = ask(&issuer.good());
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("let in as \"shop\" by rule 1"), "{said}");
    let old = issuer.token(|c| c["exp"] = json!(c["exp"].as_u64().expect("a time") - 6000));
    let other = issuer.token(|c| c["sub"] = json!("system:serviceaccount:bank:api"));
    for (token, why) in [
        (old, "the token is not accepted: the token has expired"),
        (
            Issuer::new().good(),
            "the token is not accepted: the signature of the token is wrong",
        ),
        (other, "system:serviceaccount:bank:api"),
    ] {
        let (code, said) = ask(&token);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(why), "{why:?} is missing in: {said}");
    }
}
