//! What sessions did with each version.

use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::common::cli::pgvalet_ok;
use crate::common::{Cluster, Proxy, eventually, new_password};

async fn served(cluster: &Cluster, role: &str, more: &str, audit: &str) -> Proxy {
    let password = new_password();
    cluster.create_role(role, &password).await;
    Proxy::with_one_database(&cluster.secret(role, &password), more)
        .audit(audit)
        .start()
        .await
}

fn sum(uses: &[Value], member: &str) -> u64 {
    let all = uses
        .iter()
        .flat_map(|r| r["uses"].as_array().expect("a list"));
    all.map(|used| used[member].as_u64().expect("a number"))
        .sum()
}

/// Summaries and the end of a session together have every lease and every transaction.
#[tokio::test(flavor = "multi_thread")]
async fn summaries_have_all_that_a_session_did() {
    let cluster = Cluster::start().await;
    for mode in ["transaction", "session"] {
        let keys = format!("pool_mode = \"{mode}\"\npool_size = 3");
        let proxy = served(&cluster, mode, &keys, "summary = \"1s\"").await;
        let session = proxy.connect("app").await;
        for _ in 0..7 {
            session.value("select 1").await;
        }
        let summaries = proxy.audit_seen("session.summary").await;
        for _ in 0..5 {
            session.value("select 1").await;
        }
        let pid: i64 = session
            .value("select pg_backend_pid()")
            .await
            .parse()
            .expect("a number");
        session.close().await;
        let ends = proxy.audit_seen("session.end").await;
        let mut all = proxy.audit_of("session.summary");
        assert!(all.len() >= summaries.len());
        all.extend(ends.clone());
        assert_eq!(sum(&all, "transactions"), 13, "{mode}: {all:?}");
        assert_eq!(sum(&all, "transactions"), ends[0]["transactions"], "{mode}");
        let leases = if mode == "session" { 1 } else { 13 };
        assert_eq!(sum(&all, "leases"), leases, "{mode}: {all:?}");
        let uses = proxy.audit_of("credential.use");
        let named = all.iter().any(|r| {
            let of = |used: &Value| {
                let pids = used["pids"].as_array().expect("pids").clone();
                used["version"] == uses[0]["credential"]["version"]
                    && pids.iter().any(|p| p.as_i64() == Some(pid))
            };
            r["uses"].as_array().expect("a list").iter().any(of)
        });
        assert!(named, "{mode}: {all:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_lease_has_a_record_where_that_is_wanted() {
    let cluster = Cluster::start().await;
    let proxy = served(&cluster, "app_user", "pool_size = 3", "leases = true").await;
    let session = proxy.connect("app").await;
    for _ in 0..5 {
        session.value("select 1").await;
    }
    session.close().await;
    let leases = eventually("five leases", Duration::from_secs(5), || async {
        let leases = proxy.audit_of("lease");
        (leases.len() == 5).then_some(leases)
    })
    .await;
    for lease in &leases {
        assert_eq!(lease["transactions"], 1);
        assert!(lease["server"]["pid"].is_number());
        assert!(lease["bytes_in"].as_u64() > Some(0));
    }
}

/// The start and each reload say which configuration is in force.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_the_configuration_is_a_record() {
    let cluster = Cluster::start().await;
    let proxy = served(&cluster, "app_user", "pool_size = 3", "").await;
    let start = &proxy.audit_of("start")[0]["config"]["after"];
    proxy
        .reload(|text| text.replace("pool_size = 3", "pool_size = 4"))
        .await;
    let reload = proxy.audit_of("reload")[0]["config"].clone();
    assert_eq!(&reload["before"], start);
    assert_ne!(&reload["after"], start);
    assert_eq!(reload["changed"][0], "[database.app] pool_size");
    proxy
        .reload(|text| text.replace("pool_size = 4", "pool_size = 3"))
        .await;
    let back = proxy.audit_of("reload")[1]["config"].clone();
    assert_eq!(&back["after"], start);
}

/// The commands that answer from the log.
#[tokio::test(flavor = "multi_thread")]
async fn reports_are_made_of_what_happened() {
    let cluster = Cluster::start().await;
    let mut proxy = served(&cluster, "app_user", "pool_size = 3", "").await;
    let session = proxy.connect("app").await;
    session.value("select 1").await;
    let uses = proxy.audit_of("credential.use");
    let version = uses[0]["credential"]["version"]
        .as_str()
        .expect("text")
        .to_owned();
    let ask = |arguments: &[&str]| pgvalet_ok(&proxy.config(), arguments, "");
    let report = ask(&["audit", "report", "--secret", "app"]);
    assert!(
        report.contains(&version) && report.contains("still in use by api"),
        "{report}"
    );
    let who = |from: &str, until: &str| {
        let arguments = [
            "audit",
            "who",
            "--version",
            &version[..8],
            "--between",
            from,
            until,
        ];
        ask(&arguments)
    };
    let now = who("1h", "2100-01-01");
    assert!(now.contains("api from 127.0.0.1"), "{now}");
    assert!(who("2h", "1h").contains("nobody"));
    for (form, part) in [
        ("text", "Credentials and their age"),
        ("json", "\"credentials\""),
        ("html", "<h2>Rotations</h2>"),
    ] {
        let page = ask(&["audit", "compliance", "--format", form]);
        assert!(page.contains(part) && page.contains(&version), "{page}");
    }
    session.close().await;
    proxy.signal(Signal::SIGTERM);
    proxy.wait_exit(Duration::from_secs(20)).await;
    let report = pgvalet_ok(&proxy.config(), &["audit", "report", "--client", "api"], "");
    assert!(!report.contains("still in use"), "{report}");
    assert!(report.contains("api: 1 session, 1 transaction"), "{report}");
}
