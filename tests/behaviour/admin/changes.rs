//! The admin listener: who may change something there.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::common::cli::{pgvalet, pgvalet_ok};
use crate::common::{Cluster, Proxy, eventually, new_password};

async fn prepared() -> (Cluster, Proxy) {
    let cluster = Cluster::start().await;
    let password = new_password();
    cluster.create_role("app_user", &password).await;
    let secret = cluster.secret("app_user", &password);
    let proxy = Proxy::with_one_database(&secret, "").prepare();
    (cluster, proxy)
}

/// The status code of a request.
async fn ask(port: u16, what: &str, headers: &str) -> u16 {
    let mut stream = TcpStream::connect(("127.0.0.1", port))
        .await
        .expect("connected");
    let request = format!("{what} HTTP/1.0\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("answered");
    let code = answer.split(' ').nth(1).expect("a status line");
    code.parse().expect("a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_its_own_guards_what_changes_something() {
    let (_cluster, mut proxy) = prepared().await;
    proxy.run();
    proxy.wait_ready().await;
    let file = proxy.directory().join("admin.token");
    let mode = fs::metadata(&file).expect("made").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let token = fs::read_to_string(&file).expect("read");
    let bearer = format!("Authorization: Bearer {}\r\n", token.trim());

    let (port, here) = (proxy.admin_port, "Host: 127.0.0.1\r\n");
    let rebound = "Host: evil.example\r\n";
    let page = "Host: 127.0.0.1\r\nOrigin: http://evil.example\r\n";
    for (what, headers, code) in [
        ("GET /status", here.to_owned(), 200),
        ("GET /status", rebound.to_owned(), 403),
        ("GET /metrics", rebound.to_owned(), 403),
        ("GET /livez", rebound.to_owned(), 200),
        // What the rules and the audit log say is not for every user of the machine.
        ("GET /rules", here.to_owned(), 401),
        ("GET /audit", here.to_owned(), 401),
        ("GET /explain?database=app&from=::1", here.to_owned(), 401),
        ("GET /rules", format!("{here}{bearer}"), 200),
        ("GET /audit", format!("{here}{bearer}"), 200),
        (
            "GET /explain?database=app&from=::1",
            format!("{here}{bearer}"),
            200,
        ),
        (
            "GET /explain?database=app&from=x",
            format!("{here}{bearer}"),
            400,
        ),
        ("GET /explain?database=app", format!("{here}{bearer}"), 400),
        ("GET /explain?from=::1", format!("{here}{bearer}"), 400),
        ("POST /refresh", here.to_owned(), 401),
        ("POST /refresh", rebound.to_owned(), 403),
        ("POST /refresh", page.to_owned(), 403),
        ("POST /refresh", format!("{page}{bearer}"), 403),
        ("POST /refresh", format!("{rebound}{bearer}"), 200),
        ("POST /refresh", format!("{here}{bearer}"), 200),
    ] {
        assert_eq!(ask(port, what, &headers).await, code, "{what} {headers}");
    }

    // Whoever may read the file needs to do nothing.
    let said = pgvalet_ok(&proxy.config(), &["refresh", "app"], "");
    assert!(said.contains("app: AWSCURRENT is"), "{said}");
    fs::rename(&file, file.with_extension("away")).expect("renamed");
    let refused = pgvalet(&proxy.config(), &["refresh", "app"], "");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("admin.token"));
    pgvalet_ok(&proxy.config(), &["status"], "");

    // With every start there is another one.
    proxy.signal(Signal::SIGTERM);
    proxy.wait_exit(Duration::from_secs(15)).await;
    proxy.run();
    proxy.wait_ready().await;
    assert_ne!(fs::read_to_string(&file).expect("made"), token);
    let old = format!("{here}{bearer}");
    assert_eq!(ask(port, "POST /refresh", &old).await, 401);
    pgvalet_ok(&proxy.config(), &["refresh", "app"], "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unix_socket_needs_no_token_of_its_owner() {
    let (_cluster, mut proxy) = prepared().await;
    let socket = proxy.directory().join("admin.sock");
    let text = fs::read_to_string(proxy.config()).expect("read");
    let tcp = format!("127.0.0.1:{}", proxy.admin_port);
    let text = text.replace(&tcp, &format!("unix:{}", socket.display()));
    fs::write(proxy.config(), text).expect("written");
    proxy.run();
    eventually("it answers", Duration::from_secs(20), || async {
        let asked = pgvalet(&proxy.config(), &["status"], "");
        asked.status.success().then_some(())
    })
    .await;
    let mode = fs::metadata(&socket).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    fs::remove_file(proxy.directory().join("admin.token")).expect("made");
    let said = pgvalet_ok(&proxy.config(), &["refresh", "app"], "");
    assert!(said.contains("app: AWSCURRENT is"), "{said}");
}
