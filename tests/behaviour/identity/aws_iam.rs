//! Clients that are known by an AWS role: they sign a request to STS, and
//! present it as their password, over TLS.

use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use crate::common::cli::pgvalet;
use crate::common::sts::{REGION, Signing, Sts, secret_of};
use crate::common::{Cluster, Proxy, eventually, new_password, repository, venv};

async fn proxy(cluster: &Cluster, endpoint: &str) -> Proxy {
    let password = new_password();
    cluster.create_role("app_user", &password).await;
    let own = cluster.ca().parent().expect("a directory").to_owned();
    let own = own.display();
    Proxy::with_one_database(&cluster.secret("app_user", &password), "")
        .listen(&format!(
            "tls = \"require\"\ncertificate = \"{own}/server.crt\"\nkey = \"{own}/server.key\""
        ))
        .client(&format!(
            "name = \"orders\"\ndatabases = [\"app\"]\naws_iam = {{ \
             role = \"arn:aws:iam::123456789012:role/orders\", endpoint_url = \"{endpoint}\" }}"
        ))
        .start()
        .await
}

async fn output(mut program: Command) -> String {
    let output = tokio::task::spawn_blocking(move || program.stdin(Stdio::null()).output());
    let output = output.await.expect("no panic").expect("python runs");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaint}");
    String::from_utf8(output.stdout).expect("text")
}

/// The outcome of each password, by psycopg.
async fn present(cluster: &Cluster, proxy: &Proxy, passwords: &[&str]) -> Vec<String> {
    let verified = format!(
        "{} sslmode=verify-full sslrootcert={}",
        proxy.dsn("app"),
        cluster.ca().display()
    );
    let mut program = Command::new(venv("python"));
    program
        .arg(repository().join("tests/python/connect.py"))
        .args(
            passwords
                .iter()
                .map(|p| format!("{verified} password='{p}'")),
        );
    output(program).await.lines().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_is_let_in_and_nobody_else() {
    let (cluster, sts) = (Cluster::start().await, Sts::start().await);
    let proxy = proxy(&cluster, &sts.endpoint).await;
    let orders = Signing::new(&sts.endpoint, "AKIDORDERS");
    let good = orders.address();

    let said = present(&cluster, &proxy, &[&good, &good]).await;
    assert_eq!(said, ["app_user", "app_user"]);
    assert_eq!(sts.asked(), 1, "connections of a moment are one question");
    let start = &proxy.audit_seen("session.start").await[0];
    assert_eq!(start["client"], "orders");
    assert_eq!(start["identity"]["method"], "aws_iam");
    assert_eq!(
        start["identity"]["subject"],
        "arn:aws:sts::123456789012:assumed-role/orders/i-0abc"
    );
    assert!(start["tls"].is_string(), "{start}");

    let minutes = |n: u64| Duration::from_secs(n * 60);
    let now = SystemTime::now();
    let elsewhere = "https://sts.eu-west-1.amazonaws.com";
    let moved = orders
        .with(|s| s.endpoint = elsewhere.to_owned())
        .replace(elsewhere, &sts.endpoint);
    // With whether STS is asked at all.
    let bad = [
        (
            "no_rule",
            Signing::new(&sts.endpoint, "AKIDREPORTS").address(),
            true,
        ),
        ("token_signature", orders.with(|s| s.secret.push('x')), true),
        (
            "token_signature",
            orders.with(|s| s.token = None).replace("KIDORD", "KIDXXX"),
            true,
        ),
        (
            "token_signature",
            orders.with(|s| s.region = "us-east-1".to_owned()),
            true,
        ),
        (
            "token_signature",
            orders.with(|s| s.service = "rds-db".to_owned()),
            true,
        ),
        (
            "token_signature",
            orders.with(|s| s.audience = "another service"),
            true,
        ),
        ("token_signature", moved, true),
        (
            "token_foreign_request",
            orders.with(|s| s.endpoint = elsewhere.to_owned()),
            false,
        ),
        (
            "token_foreign_request",
            orders.with(|s| s.endpoint = "http://127.0.0.1:1".to_owned()),
            false,
        ),
        (
            "token_foreign_request",
            good.replace("GetCallerIdentity", "GetSessionToken"),
            false,
        ),
        (
            "token_expired",
            orders.with(|s| s.at = now - minutes(6)),
            false,
        ),
        (
            "token_not_yet_valid",
            orders.with(|s| s.at = now + minutes(6)),
            false,
        ),
        (
            "token_malformed",
            orders.with(|s| s.expires = minutes(16)),
            false,
        ),
        ("token_malformed", format!("{good}&RoleArn=arn"), false),
    ];
    let passwords: Vec<&str> = bad.iter().map(|(_, password, _)| &**password).collect();
    for said in present(&cluster, &proxy, &passwords).await {
        assert!(said.contains("access denied"), "{said}");
    }
    let wanted: Vec<&str> = bad.iter().map(|(reason, _, _)| *reason).collect();
    proxy.wait_denied(&wanted).await;
    let asked = bad.iter().filter(|(_, _, asked)| *asked).count();
    assert_eq!(sts.asked(), 1 + asked);
    for request in sts.requests() {
        assert!(
            request.starts_with("get /?action=getcalleridentity&"),
            "{request}"
        );
        assert!(
            request.contains("\r\nx-pgvalet-audience: pgvalet\r\n"),
            "{request}"
        );
    }
    // Until it expires the address is as good as a password.
    let audit = std::fs::read_to_string(proxy.directory().join("audit.jsonl"));
    for text in [audit.expect("the audit log"), proxy.log()] {
        assert!(!text.contains("X-Amz-Signature") && !text.contains("session-token"));
    }
}

/// An answer is remembered for a moment, and never for longer than its request
/// counts.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_counts_after_it_has_expired() {
    let (cluster, sts) = (Cluster::start().await, Sts::start().await);
    let proxy = proxy(&cluster, &sts.endpoint).await;
    let orders = Signing::new(&sts.endpoint, "AKIDORDERS");
    let old = orders.with(|s| s.expires = Duration::from_secs(12));
    assert_eq!(present(&cluster, &proxy, &[&old]).await, ["app_user"]);
    eventually("it is refused", Duration::from_secs(30), || async {
        let said = present(&cluster, &proxy, &[&old]).await.remove(0);
        said.contains("access denied").then_some(())
    })
    .await;
    let denied = proxy.audit_seen("session.deny").await;
    assert_eq!(denied[0]["reason"], "token_expired");
    assert_eq!(sts.asked(), 1);

    // Nobody vouches while STS is away, except for whom it knew a moment ago.
    let (known, new) = (orders.address(), orders.with(|s| s.token = None));
    assert_eq!(present(&cluster, &proxy, &[&known]).await, ["app_user"]);
    drop(sts);
    let said = present(&cluster, &proxy, &[&known, &new]).await;
    assert_eq!(said[0], "app_user");
    assert!(said[1].contains("access denied"), "{said:?}");
    eventually("it is recorded", Duration::from_secs(5), || async {
        let denied = proxy.audit_of("session.deny");
        let unknown = |r: &serde_json::Value| r["reason"] == "token_keys_unavailable";
        denied.iter().any(unknown).then_some(())
    })
    .await;
    assert!(
        proxy.log().contains("STS cannot be asked"),
        "{}",
        proxy.log()
    );
    assert!(!proxy.log().contains("X-Amz-Signature"));
}

/// The example for applications in Python, word for word as docs/TOKENS.md has
/// it, but for the addresses.
#[tokio::test(flavor = "multi_thread")]
async fn the_example_of_the_documentation() {
    let (cluster, sts) = (Cluster::start().await, Sts::start().await);
    let proxy = proxy(&cluster, &sts.endpoint).await;
    let path = repository().join("docs/TOKENS.md");
    let text = std::fs::read_to_string(path).expect("docs/TOKENS.md");
    let (_, example) = text.split_once("```python\n").expect("an example");
    let (example, _) = example.split_once("```").expect("its end");
    let mut here = example.to_owned();
    for (there, at_hand) in [
        ("https://sts.{region}.amazonaws.com", &*sts.endpoint),
        ("pgvalet.internal", "localhost"),
        ("port=6432", &format!("port={}", proxy.port)),
        ("dbname=\"orders\"", "dbname=\"app\""),
        ("psycopg.connect", "connection = psycopg.connect"),
    ] {
        assert_eq!(here.matches(there).count(), 1, "{there} in {example}");
        here = here.replace(there, at_hand);
    }
    here += "print(connection.execute('SELECT current_user').fetchone()[0])\n";
    let mut program = Command::new(venv("python"));
    program.args(["-c", &here]).envs([
        ("AWS_ACCESS_KEY_ID", "AKIDORDERS"),
        ("AWS_SECRET_ACCESS_KEY", &*secret_of("AKIDORDERS")),
        ("AWS_SESSION_TOKEN", "a token"),
        ("PGHOSTADDR", "127.0.0.1"),
        ("PGSSLMODE", "verify-full"),
    ]);
    program.env("PGSSLROOTCERT", cluster.ca());
    assert!(example.contains(&format!("\"{REGION}\"")), "{example}");
    assert_eq!(output(program).await, "app_user\n");
    assert_eq!(sts.asked(), 1);
}

/// Somebody on the way could answer in the place of STS.
#[tokio::test(flavor = "multi_thread")]
async fn sts_is_asked_by_https_unless_it_is_here() {
    let rule = |endpoint: &str| {
        format!(
            "name = \"a\"\ndatabases = \"app\"\naws_iam = {{ \
             role = \"arn:aws:iam::1:role/a\", endpoint_url = \"{endpoint}\" }}"
        )
    };
    for (endpoint, possible) in [
        ("http://sts.internal", false),
        ("http://10.0.0.1:8080", false),
        ("ftp://127.0.0.1", false),
        ("https://sts.internal", true),
        ("http://127.0.0.1:8080", true),
        ("http://[::1]:8080", true),
    ] {
        let proxy = Proxy::builder()
            .database("app", "secret = \"app\"")
            .client(&rule(endpoint))
            .prepare();
        let checked = pgvalet(&proxy.config(), &["check", "--offline"], "");
        let said = String::from_utf8_lossy(&checked.stderr).into_owned();
        assert_eq!(checked.status.success(), possible, "{endpoint}: {said}");
        if !possible {
            assert_eq!(checked.status.code(), Some(2));
            assert!(
                said.contains("endpoint_url") && said.contains("https"),
                "{said}"
            );
        }
    }
}
