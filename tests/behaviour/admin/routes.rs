//! Every path of the admin listener, and who may ask for it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use regex::Regex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::common::{Cluster, Proxy, new_password};

/// Who may ask, where `[admin] token_file` is not set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    /// Everybody, a web page included: it says nothing about this proxy.
    Anybody,
    /// Every user of this machine.
    Local,
    /// Whoever has the token.
    Trusted,
}

use Who::{Anybody, Local, Trusted};

/// A request for each path of the listener. `code`: what those are answered who may ask.
const TABLE: &[(&str, Who, u16)] = &[
    ("GET /", Anybody, 200),
    ("GET /page/main.js", Anybody, 200),
    ("GET /livez", Anybody, 200),
    ("GET /readyz", Anybody, 200),
    ("GET /metrics", Local, 200),
    ("GET /status", Local, 200),
    ("GET /events", Local, 200),
    ("GET /rotations", Local, 200),
    ("GET /clients", Local, 200),
    ("GET /servers", Local, 200),
    ("GET /rules", Trusted, 200),
    ("GET /explain?database=app&from=::1", Trusted, 200),
    ("GET /denial?ref=0000", Trusted, 404),
    ("GET /audit", Trusted, 200),
    ("POST /refresh", Trusted, 200),
    ("POST /pause", Trusted, 200),
    ("POST /resume", Trusted, 200),
    ("POST /kill?id=4711", Trusted, 404),
    ("POST /reconnect", Trusted, 200),
    ("POST /disable?database=none", Trusted, 404),
    ("POST /enable?database=none", Trusted, 404),
    ("POST /reload", Trusted, 200),
    ("POST /rotate?secret=none", Trusted, 404),
    ("POST /approve?secret=none", Trusted, 404),
    ("POST /upgrade?timeout=x", Trusted, 400),
];

/// The status code of a request.
async fn ask(port: u16, what: &str, headers: &str) -> u16 {
    let mut stream = TcpStream::connect(("127.0.0.1", port))
        .await
        .expect("connected");
    let request = format!("{what} HTTP/1.0\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    // Not to its end: events go on.
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.expect("answered");
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let code = answer.split(' ').nth(1).expect("a status line");
    code.parse().expect("a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_path_asks_for_the_right_that_it_needs() {
    let cluster = Cluster::start().await;
    let password = new_password();
    cluster.create_role("app", &password).await;
    let secret = cluster.secret("app", &password);
    let proxy = Proxy::with_one_database(&secret, "").start().await;
    let token = fs::read_to_string(proxy.directory().join("admin.token")).expect("a token");
    let local = "Host: 127.0.0.1\r\n".to_owned();
    let page = format!("{local}Origin: http://evil.example\r\n");
    let wrong = format!("{local}Authorization: Bearer {}\r\n", "0".repeat(32));
    let trusted = format!("{local}Authorization: Bearer {}\r\n", token.trim());
    for (what, who, code) in TABLE {
        let (of_page, of_local) = match who {
            Anybody => (*code, *code),
            Local => (403, *code),
            Trusted => (403, 401),
        };
        for (asks, headers, expected) in [
            ("a web page", &page, of_page),
            ("a user of this machine", &local, of_local),
            ("one with a wrong token", &wrong, of_local),
            ("one with the token", &trusted, *code),
        ] {
            let got = ask(proxy.admin_port, what, headers).await;
            assert_eq!(got, expected, "{what} by {asks}");
        }
    }
}

/// A path that is added needs a line in the table.
#[test]
fn every_path_is_in_the_table() {
    let admin = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/admin");
    let route = Regex::new(r#"\.route\([ \n]*"([^"]+)",[ \n]*(get|post)\("#).expect("a pattern");
    let mut there = BTreeSet::new();
    for entry in fs::read_dir(admin).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|e| e != "rs") {
            continue;
        }
        let text = fs::read_to_string(&path).expect("a source");
        for found in route.captures_iter(&text) {
            there.insert(format!("{} {}", found[2].to_uppercase(), &found[1]));
        }
    }
    let files = ["GET /", "GET /page/main.js"];
    let listed: BTreeSet<String> = TABLE
        .iter()
        .filter_map(|(what, ..)| what.split('?').next())
        .filter(|what| !files.contains(what))
        .map(str::to_owned)
        .collect();
    assert_eq!(listed, there);
}
