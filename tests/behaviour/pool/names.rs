//! `host` is a name, and what it leads to changes: as at a failover of RDS, or
//! when a container is replaced.
//!
//! The proxy gets an /etc/hosts of its own, in a mount namespace of its own. Only
//! root can do that; elsewhere the test says that it was not run.

use std::fs;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio_postgres::NoTls;

use crate::common::cancel::{SLEEP, sleeping};
use crate::common::client::told;
use crate::common::{Cluster, Proxy, eventually, new_password, tethered};

const NAME: &str = "db.pgvalet.test";

/// Leads from another address of this machine, and the same port, to a server;
/// counts who comes.
async fn detour(address: &str, port: u16) -> Arc<AtomicUsize> {
    let listener = TcpListener::bind((address, port)).await.expect("a port");
    let count: Arc<AtomicUsize> = Arc::default();
    let counted = count.clone();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            counted.fetch_add(1, Relaxed);
            tokio::spawn(async move {
                let mut server = TcpStream::connect(("127.0.0.1", port)).await?;
                tokio::io::copy_bidirectional(&mut client, &mut server).await
            });
        }
    });
    count
}

/// Whether this process may mount something for a program of its own.
fn may_mount() -> bool {
    let tried = Command::new("unshare").args(["-m", "true"]).status();
    let may = cfg!(target_os = "linux") && tried.is_ok_and(|status| status.success());
    if !may {
        eprintln!("NOT TESTED: only root has an /etc/hosts to itself");
    }
    may
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_looked_up_at_every_login() {
    if !may_mount() {
        return;
    }
    let cluster = Cluster::start().await;
    let password = new_password();
    cluster.create_role("app_user", &password).await;
    let (first, second) = (
        detour("127.0.0.2", cluster.port).await,
        detour("127.0.0.3", cluster.port).await,
    );
    let keys = format!("secret = \"app\"\nhost = \"{NAME}\"\ntls = \"disable\"\npool_size = 4");
    let mut proxy = Proxy::builder()
        .secret("app", &cluster.secret("app_user", &password))
        .database("app", &keys)
        .prepare();
    let hosts = proxy.directory().join("hosts");
    // In place: the mount is of this very file.
    let leads_to = |address: &str| fs::write(&hosts, format!("{address} {NAME}\n"));
    leads_to("127.0.0.2").expect("a file");
    let mut namespace = tethered("unshare", "KILL", None);
    namespace
        .args(["-m", "sh", "-c"])
        .arg("mount --bind \"$0\" /etc/hosts && exec \"$@\"")
        .arg(&hosts)
        .arg(crate::common::cli::PGVALET);
    proxy.run_by(namespace);
    proxy.wait_ready().await;
    let old = proxy.connect("app").await;
    old.batch_execute("begin").await.expect("a lease");
    // A proof of the secret, and the one that was asked for.
    assert_eq!((first.load(Relaxed), second.load(Relaxed)), (2, 0));

    leads_to("127.0.0.3").expect("the file");
    let new = proxy.connect("app").await;
    new.batch_execute("begin").await.expect("another login");
    assert_eq!((first.load(Relaxed), second.load(Relaxed)), (2, 1));
    // A cancel goes where its backend is, not where the name leads now.
    for (session, expected) in [(&old, (3, 1)), (&new, (3, 2))] {
        let cancel = async {
            sleeping(&cluster, 1).await;
            let token = session.cancel_token();
            token.cancel_query(NoTls).await.expect("sent");
        };
        let (result, ()) = tokio::join!(session.simple_query(SLEEP), cancel);
        assert_eq!(told(&result.expect_err("cancelled")).0, "57014");
        assert_eq!((first.load(Relaxed), second.load(Relaxed)), expected);
    }
    // One that leads to nobody is a server that is down, until it leads elsewhere.
    leads_to("127.0.0.4").expect("the file");
    let third = proxy.connect("app").await;
    let waits = tokio::spawn(async move { third.value("select 'served'").await });
    eventually("a login fails", Duration::from_secs(10), || async {
        (!proxy.audit_of("server.fail").is_empty()).then_some(())
    })
    .await;
    leads_to("127.0.0.3").expect("the file");
    assert_eq!(waits.await.expect("no panic"), "served");
    assert_eq!((first.load(Relaxed), second.load(Relaxed)), (3, 3));
}
