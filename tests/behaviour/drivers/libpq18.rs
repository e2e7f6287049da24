//! Features of libpq 18 and later: TLS without a request, tokens by SASL
//! OAUTHBEARER, and protocol 3.2.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::common::cancel::{SLEEP, sleeping};
use crate::common::issuer::{ISSUER, Issuer};
use crate::common::pki::DAY;
use crate::common::pki::Pki;
use crate::common::setup::proxy_by_certificate;
use crate::common::tls::{handshake, works};
use crate::common::{Cluster, Proxy, eventually, new_password, repository, tethered, venv};

/// Every one at hand: that of Postgres 18, and that of psycopg.
fn libraries() -> Vec<PathBuf> {
    let entries = |directory: PathBuf| {
        let entries = std::fs::read_dir(directory).into_iter().flatten();
        entries.flatten().map(|entry| entry.path())
    };
    let environment = venv("python").ancestors().nth(2).map(PathBuf::from);
    let of_psycopg = entries(environment.expect("an environment").join("lib"))
        .flat_map(|python| entries(python.join("site-packages/psycopg_binary.libs")))
        .filter(|path| {
            let name = path.file_name().and_then(|name| name.to_str());
            name.is_some_and(|name| name.starts_with("libpq-"))
        });
    let of_postgres = repository().join(".cache/postgres18/lib/libpq.so.5");
    let found: Vec<PathBuf> = std::iter::once(of_postgres)
        .filter(|path| path.exists())
        .chain(of_psycopg)
        .collect();
    assert!(!found.is_empty(), "no libpq 18: scripts/setup.sh");
    found
}

/// The outcome of each connection string.
async fn connect(libpq: &PathBuf, token: Option<&str>, dsns: &[&str]) -> Vec<Value> {
    let mut program = Command::new(venv("python"));
    program
        .arg(repository().join("tests/python/libpq.py"))
        .arg(libpq)
        .args(dsns)
        .envs(token.map(|token| ("PGVALET_TEST_TOKEN", token)))
        .stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || program.output());
    let output = output.await.expect("no panic").expect("python runs");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaint}");
    let said = String::from_utf8(output.stdout).expect("text");
    said.lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

fn verified(proxy: &Proxy, cluster: &Cluster, database: &str) -> String {
    let host = "host=localhost hostaddr=127.0.0.1 sslmode=verify-full";
    let ca = cluster.ca();
    format!(
        "{} {host} sslrootcert={}",
        proxy.dsn(database),
        ca.display()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_by_oauthbearer() {
    let (cluster, issuer) = (Cluster::start().await, Issuer::new());
    let password = new_password();
    cluster.create_role("app_user", &password).await;
    let own = cluster.ca().parent().expect("a directory").to_owned();
    let own = own.display();
    let discovery = format!("{ISSUER}/.well-known/openid-configuration");
    for libpq in libraries() {
        let proxy = Proxy::with_one_database(&cluster.secret("app_user", &password), "")
            .client(&issuer.rule(", method = \"oauthbearer\""))
            .listen(&format!(
                "tls = \"require\"\ncertificate = \"{own}/server.crt\"\nkey = \"{own}/server.key\""
            ))
            .start()
            .await;
        let dsn = |issuer: &str| {
            let oauth = format!("require_auth=oauth oauth_client_id=shop oauth_issuer={issuer}");
            format!("{} {oauth}", verified(&proxy, &cluster, "app"))
        };
        // Told where the issuer says where tokens are to be had, libpq asks for one
        // at once; told the issuer alone, it has pgvalet say where that is, and
        // comes a second time.
        let (at_once, after) = (dsn(&discovery), dsn(ISSUER));
        let good = issuer.good();
        let said = connect(&libpq, Some(&good), &[&at_once, &after]).await;
        for said in &said {
            assert_eq!(*said, json!({ "user": "app_user", "asked": [discovery] }));
        }
        for start in proxy.audit_seen("session.start").await {
            let identity = &start["identity"];
            assert_eq!(identity["method"], "token");
            assert_eq!(identity["subject"], "system:serviceaccount:shop:api");
            assert_eq!(identity["issuer"], ISSUER);
            assert!(start["tls"].is_string(), "{start}");
        }
        assert_eq!(proxy.audit_of("session.start").len(), 2);

        let old = issuer.token(|c| c["exp"] = json!(1_000_000));
        let said = connect(&libpq, Some(&old), &[&at_once]).await.remove(0);
        let refused = said["refused"].as_str().expect("refused");
        assert!(refused.contains("access denied"), "{refused}");
        // An issuer that the client does not expect gets nothing from it.
        let other = dsn("https://issuer.example");
        let said = connect(&libpq, Some(&good), &[&other]).await.remove(0);
        let refused = said["refused"].as_str().expect("refused");
        assert!(refused.contains("oauth_issuer"), "{refused}");
        assert_eq!(said["asked"], json!([]));
        let signature = good.rsplit('.').next().expect("three parts");
        assert!(!proxy.log().contains(signature), "the token is in the log");
        proxy
            .wait_denied(&["no_token", "token_expired", "no_token"])
            .await;
    }
}

/// `sslnegotiation=direct`: the first byte is TLS, and ALPN says what for.
#[tokio::test(flavor = "multi_thread")]
async fn direct_tls() {
    let (cluster, pki) = (Cluster::start().await, Pki::new());
    let orders = pki.client("spiffe://example.org/orders", DAY);
    let other = pki.client("cn:orders", DAY);
    let proxy = proxy_by_certificate(&cluster, &pki).await;
    let direct = |database: &str, more: &str| {
        let verified = verified(&proxy, &cluster, database);
        format!("{verified} sslnegotiation=direct {more}")
    };
    let shown = |certificate: &crate::common::pki::ClientCertificate| {
        let (file, key) = (certificate.certificate.display(), certificate.key.display());
        format!("sslcertmode=require sslcert={file} sslkey={key}")
    };
    for libpq in libraries() {
        let good = [direct("open", ""), direct("spiffe", &shown(&orders))];
        for said in connect(&libpq, None, &[&good[0], &good[1]]).await {
            assert_eq!(said["user"], "app_user", "{said}");
        }
        let wrong = [direct("spiffe", ""), direct("spiffe", &shown(&other))];
        for said in connect(&libpq, None, &[&wrong[0], &wrong[1]]).await {
            let refused = said["refused"].as_str().expect("refused");
            assert!(refused.contains("access denied"), "{refused}");
        }
    }
    // Names are compared as a whole, and the client is told that it is no name.
    let before = proxy.audit_of("session.deny").len();
    let names: [&[&[u8]]; 4] = [
        &[b"postgresql2"],
        &[b"PostgreSQL"],
        &[b"postgres"],
        &[b"h2", b"http/1.1"],
    ];
    for alpn in names {
        let refused = handshake(&proxy, &cluster.ca(), alpn, true).await.err();
        let refused = refused.unwrap_or_else(|| panic!("{alpn:?} was let in"));
        assert!(
            refused.to_string().contains("NoApplicationProtocol"),
            "{refused}"
        );
    }
    eventually("each is recorded", Duration::from_secs(5), || async {
        let denied = proxy.audit_of("session.deny");
        let of_tls = denied[before..].iter().filter(|r| r["reason"] == "tls");
        (of_tls.count() == names.len()).then_some(())
    })
    .await;
    let mut ours = handshake(&proxy, &cluster.ca(), &[b"postgresql"], true)
        .await
        .expect("TLS");
    assert_eq!(ours.get_ref().1.alpn_protocol(), Some(&b"postgresql"[..]));
    assert!(
        !works(&mut ours, true).await,
        "there is no database \"app\""
    );
}

/// A program that does with libpq what it is told.
struct Session(Child);

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Session {
    fn open(libpq: &PathBuf, dsn: &str) -> Self {
        let mut program = tethered(venv("python"), "KILL", None);
        let child = program
            .arg(repository().join("tests/python/libpq_session.py"))
            .arg(libpq)
            .arg(dsn)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        Self(child.expect("python starts"))
    }

    /// Blocks, as libpq does; whatever has to go on meanwhile is elsewhere.
    fn ask(&mut self, what: &Value) -> Value {
        tokio::task::block_in_place(|| {
            let (input, output) = (&mut self.0.stdin, &mut self.0.stdout);
            let (Some(input), Some(output)) = (input, output) else {
                panic!("piped")
            };
            writeln!(input, "{what}").expect("asked");
            let mut line = String::new();
            // One line for each that was asked for: nothing is lost in its buffer.
            let read = BufReader::new(output).read_line(&mut line);
            assert!(
                read.expect("an answer") > 0,
                "{what}: the program has ended"
            );
            serde_json::from_str(&line).expect("JSON")
        })
    }
}

/// A cancel ends what runs, in every state in which something does, and has no
/// other effect; with a long key and with a short one.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn cancels_of_either_protocol_in_every_state() {
    let cluster = Cluster::start().await;
    let password = new_password();
    cluster.create_role("app_user", &password).await;
    let own = cluster.ca().parent().expect("a directory").to_owned();
    let own = own.display();
    let proxy = Proxy::builder()
        .secret("app", &cluster.secret("app_user", &password))
        .database("transaction", "secret = \"app\"\npool_size = 1")
        .database(
            "session",
            "secret = \"app\"\npool_size = 1\npool_mode = \"session\"",
        )
        .listen(&format!(
            "tls = \"allow\"\ncertificate = \"{own}/server.crt\"\nkey = \"{own}/server.key\""
        ))
        .start()
        .await;
    let cancelled = json!("57014");
    for libpq in libraries() {
        for (database, version, protocol) in [
            ("transaction", 30002, "max_protocol_version=3.2"),
            ("session", 30002, "max_protocol_version=3.2"),
            ("transaction", 30000, "max_protocol_version=3.0"),
            ("session", 30000, "max_protocol_version=3.0"),
        ] {
            let dsn = format!("{} {protocol}", verified(&proxy, &cluster, database));
            let mut session = Session::open(&libpq, &dsn);
            assert_eq!(session.ask(&json!(["version"])), version);
            let cancel = json!(["cancel"]);
            let send = |sql: &str| json!(["send", sql]);
            let result = json!(["result"]);
            // At rest: nothing happens, neither now nor to the next query.
            assert_eq!(session.ask(&cancel), Value::Null);
            session.ask(&send("select 'at rest'"));
            assert_eq!(session.ask(&result), "at rest");
            // Busy, by itself and in a transaction.
            for begin in ["select 1", "begin"] {
                session.ask(&send(begin));
                session.ask(&result);
                session.ask(&send(SLEEP));
                sleeping(&cluster, 1).await;
                assert_eq!(session.ask(&cancel), Value::Null);
                assert_eq!(
                    session.ask(&result),
                    cancelled,
                    "{database} {protocol} {begin}"
                );
            }
            // In a transaction that failed: nothing again.
            assert_eq!(session.ask(&cancel), Value::Null);
            session.ask(&send("rollback"));
            assert!(session.ask(&result).is_null());
            // Waiting for a server connection, which somebody else holds.
            if database == "transaction" {
                let holder = proxy.connect(database).await;
                holder.batch_execute("begin").await.expect("a lease");
                session.ask(&send("select 1"));
                eventually("it waits", Duration::from_secs(10), || async {
                    let databases = proxy.status().await["databases"].clone();
                    let mut databases = databases.as_array()?.iter();
                    databases.any(|d| d["waiting"] == 1).then_some(())
                })
                .await;
                assert_eq!(session.ask(&cancel), Value::Null);
                assert_eq!(session.ask(&result), cancelled, "while it waits");
            }
            session.ask(&send("select 'lives'"));
            assert_eq!(session.ask(&result), "lives");
        }
    }
}
