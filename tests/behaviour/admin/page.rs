//! The status page in a real browser: with made-up states, and beside a running proxy.

use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStdin, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::common::{Cluster, Proxy, new_password, repository, venv};

fn python(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(venv(program));
    command
        .args(arguments)
        .current_dir(repository().join("tests/python/page"))
        .env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

#[test]
fn it_is_made_for_everybody_and_every_state() {
    let arguments = ["-q", "-x", "-p", "no:cacheprovider", "test_page.py"];
    let output = python("pytest", &arguments).output().expect("pytest runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    assert!(!said.contains("skipped"), "{said}");
}

/// What the browser waits for has been done.
fn done(browser: &mut ChildStdin) {
    browser.write_all(b"done\n").expect("it listens");
}

/// The browser says what is to happen next, and then looks at what has become of it.
#[tokio::test(flavor = "multi_thread")]
async fn it_follows_a_running_proxy() {
    let cluster = Cluster::start().await;
    let password = new_password();
    cluster.create_role("app_user", &password).await;
    let secret = cluster.secret("app_user", &password);
    let mut proxy = Proxy::with_one_database(&secret, "").start().await;
    let session = proxy.connect("app").await;
    let url = format!("http://127.0.0.1:{}/", proxy.admin_port);
    let token = proxy.directory().join("admin.token");
    let token = token.to_str().expect("UTF-8");

    let mut browser = python("python", &["live.py", &url, token])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python starts");
    let mut answers = browser.stdin.take().expect("piped");
    let asks = BufReader::new(browser.stdout.take().expect("piped")).lines();
    for ask in asks.map_while(Result::ok) {
        match ask.as_str() {
            "rotate under a transaction" => {
                session
                    .batch_execute("begin; select 1")
                    .await
                    .expect("begun");
                proxy.rotate(&cluster, "app_user").await;
            }
            "commit" => session.batch_execute("commit").await.expect("committed"),
            "stop" => {
                proxy.signal(Signal::SIGTERM);
                proxy.wait_exit(Duration::from_secs(15)).await;
            }
            "start" => {
                proxy.run();
                proxy.wait_ready().await;
            }
            other => panic!("it says {other}"),
        }
        done(&mut answers);
    }
    assert!(browser.wait().expect("ended").success());
    proxy.assert_no_leak().await;
}
