//! Sockets that systemd opens: they outlive pgvalet, so that a restart refuses no client.

use std::process::Command;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::common::{Cluster, Proxy, cli, connect, eventually, new_password, repository, venv};

const PATIENCE: Duration = Duration::from_secs(20);

/// pgvalet under a stand-in for systemd that has opened these addresses.
fn socket_unit(addresses: &[String]) -> Command {
    let mut command = Command::new(venv("python"));
    command
        .arg(repository().join("tests/python/socket_unit.py"))
        .args(addresses)
        .args(["--", cli::PGVALET]);
    command
}

/// The process ids of the proxies that have started, in order.
fn started(proxy: &Proxy) -> Vec<i32> {
    let log = proxy.log();
    let after = log.split("is running, pid ").skip(1);
    let digits = |text: &str| {
        text.split(|c: char| !c.is_ascii_digit())
            .next()?
            .parse()
            .ok()
    };
    after.filter_map(digits).collect()
}

async fn prepared(cluster: &Cluster) -> Proxy {
    let password = new_password();
    cluster.create_role("app_user", &password).await;
    Proxy::with_one_database(&cluster.secret("app_user", &password), "").prepare()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_connects_during_a_restart_waits() {
    let cluster = Cluster::start().await;
    let mut proxy = prepared(&cluster).await;
    let port = proxy.port;
    let unix = proxy.directory().join(format!("socket/.s.PGSQL.{port}"));
    let addresses = [format!("127.0.0.1:{port}"), unix.display().to_string()];
    proxy.run_by(socket_unit(&addresses));
    proxy.wait_ready().await;
    proxy.connect("app").await;

    let [pid] = started(&proxy)[..] else {
        panic!("one has started:\n{}", proxy.log());
    };
    kill(Pid::from_raw(pid), Signal::SIGTERM).expect("it is there");
    eventually("pgvalet ends", PATIENCE, async || {
        proxy.log().contains("the program has ended").then_some(())
    })
    .await;
    // Nobody accepts now, and nobody refuses.
    let waiting = [proxy.dsn("app"), proxy.unix_dsn("app")].map(|dsn| {
        tokio::spawn(async move {
            connect(&dsn)
                .await
                .map(|_| ())
                .map_err(|e| format!("{e:?}"))
        })
    });
    std::net::TcpStream::connect(("127.0.0.1", port)).expect("the socket is open");
    assert_eq!(started(&proxy).len(), 1);
    proxy.signal(Signal::SIGUSR1);
    for client in waiting {
        client
            .await
            .expect("no panic")
            .expect("served by the next one");
    }
    assert_eq!(started(&proxy).len(), 2, "{}", proxy.log());
    assert!(
        unix.exists(),
        "the file of a socket that is not pgvalet's stays"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_no_address_names_is_a_mistake() {
    let cluster = Cluster::start().await;
    let mut proxy = prepared(&cluster).await;
    let other = proxy.directory().join("other.sock").display().to_string();
    proxy.run_by(socket_unit(std::slice::from_ref(&other)));
    eventually("pgvalet ends", PATIENCE, async || {
        proxy.log().contains("the program has ended").then_some(())
    })
    .await;
    let said = format!("systemd passed on a socket for {other}, which is no [listen] address");
    assert!(proxy.log().contains(&said), "{}", proxy.log());
}
