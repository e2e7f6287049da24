//! What a client reads when no login to the server works: what it is, with the SQLSTATE
//! that Postgres has for it, and what to do. Never the server's own text.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::common::client::told;
use crate::common::{Cluster, Proxy, connect, new_password};

/// What is wrong, what somebody did to the server for it, and what the client reads.
struct Case {
    what: &'static str,
    sql: &'static str,
    more: &'static str,
    sqlstate: &'static str,
    says: &'static str,
    hint: &'static str,
}

const CASES: &[Case] = &[
    Case {
        what: "a database that does not exist",
        sql: "",
        more: "dbname = \"nowhere\"",
        sqlstate: "3D000",
        says: "the server of database \"app\" has no such database",
        hint: "dbname",
    },
    Case {
        what: "a password that is wrong",
        sql: "ALTER ROLE app PASSWORD 'another'",
        more: "rotation_grace = \"1s\"",
        sqlstate: "57P03",
        says: "no version of secret \"app\" logs in to the database: the server refuses the password (28P01)",
        hint: "pgvalet follows",
    },
    Case {
        what: "a role that may not log in",
        sql: "ALTER ROLE app NOLOGIN",
        more: "rotation_grace = \"1s\"",
        sqlstate: "57P03",
        says: "the server's access rules refuse the user, whatever the password is (28000)",
        hint: "LOGIN",
    },
    Case {
        what: "a file of TLS that is not there",
        sql: "",
        more: "tls = \"verify-full\"\ntls_ca = \"/nowhere/ca.pem\"\nrotation_grace = \"1s\"",
        sqlstate: "57P03",
        says: "logs in to the database: the server cannot be reached with this configuration",
        hint: "a file of tls",
    },
    Case {
        what: "a role that may not connect",
        sql: "REVOKE CONNECT ON DATABASE postgres FROM PUBLIC",
        more: "",
        sqlstate: "42501",
        says: "does not let the role connect to the database",
        hint: "GRANT CONNECT",
    },
    Case {
        what: "a database that lets nobody in",
        sql: "CREATE DATABASE shut ALLOW_CONNECTIONS false",
        more: "dbname = \"shut\"",
        sqlstate: "57P03",
        says: "refused the connection (SQLSTATE 55000)",
        hint: "/status",
    },
];

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_login_is_read_as_what_it_is() {
    for case in CASES {
        let cluster = Cluster::start().await;
        let password = new_password();
        cluster.create_role("app", &password).await;
        for sql in case.sql.split("; ").filter(|sql| !sql.is_empty()) {
            cluster.execute(sql).await;
        }
        let more = format!("pool_wait_timeout = \"3s\"\n{}", case.more);
        let secret = cluster.secret("app", &password);
        let proxy = Proxy::with_one_database(&secret, &more)
            .start_unready()
            .await;
        let refused = connect(&proxy.dsn("app")).await.map(|_| ());
        let (sqlstate, message, detail, hint) = told(&refused.expect_err(case.what));
        let hint = hint.unwrap_or_default();
        let read = format!("{}: {sqlstate} {message} ({hint})", case.what);
        assert_eq!(sqlstate, case.sqlstate, "{read}");
        assert!(message.contains(case.says), "{read}");
        assert!(hint.contains(case.hint), "{read}");
        assert_eq!(detail, None, "{read}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_tls_is_told_from_one_that_is_away() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut request = [0; 8];
            // Whoever hangs up before is no login.
            if socket.read_exact(&mut request).await.is_ok() {
                let _ = socket.write_all(b"N").await;
            }
        }
    });
    let secret = serde_json::json!({
        "host": "127.0.0.1", "port": port, "dbname": "d", "username": "u",
        "password": new_password(),
    });
    let more = "pool_wait_timeout = \"3s\"\ntls = \"require\"";
    let proxy = Proxy::with_one_database(&secret.to_string(), more)
        .start_unready()
        .await;
    let refused = connect(&proxy.dsn("app")).await.map(|_| ());
    let (sqlstate, message, _, hint) = told(&refused.expect_err("no TLS"));
    assert_eq!(sqlstate, "08006", "{message}");
    assert!(
        message.contains("has no TLS, which the configuration demands"),
        "{message}"
    );
    assert!(hint.expect("a hint").contains("ssl = on"));
}
