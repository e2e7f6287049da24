//! `prefer_socket`: the server's unix socket in place of TCP, where it takes the same credentials.

use crate::common::{Cluster, Proxy, connect, new_password};

/// "socket" or "TCP": how the server says that it was reached.
const WAY: &str = "select case when client_port = -1 then 'socket' else 'TCP' end from pg_stat_activity where pid = pg_backend_pid()";

#[tokio::test(flavor = "multi_thread")]
async fn the_socket_is_used_if_it_leads_to_a_login_with_scram() {
    let cluster = Cluster::start().await;
    let password = new_password();
    cluster.create_role("app_user", &password).await;
    let directory = cluster.socket_directory();
    let tcp = format!("secret = \"app\"\nhost = \"localhost:{}\"\n", cluster.port);
    let prefer = |directory: &str| format!("{tcp}prefer_socket = {directory:?}");
    let start = || {
        Proxy::builder()
            .secret("app", &cluster.secret("app_user", &password))
            .database("tcp", &tcp)
            .database("app", &prefer(&directory.display().to_string()))
            .database("nowhere", &prefer("/nowhere"))
            .start()
    };
    let way = async |proxy: &Proxy, database: &str| {
        let session = connect(&proxy.dsn(database)).await.expect("let in");
        session.value(WAY).await
    };
    let proxy = start().await;
    for (database, expected) in [("tcp", "TCP"), ("app", "socket"), ("nowhere", "TCP")] {
        assert_eq!(way(&proxy, database).await, expected, "{database}");
    }
    // A cancel takes the same way.
    let session = connect(&proxy.dsn("app")).await.expect("let in");
    let token = session.cancel_token();
    let (slept, cancelled) = tokio::join!(session.simple_query("select pg_sleep(60)"), async {
        let admin = cluster.superuser().await;
        let sleeps = "select count(*) from pg_stat_activity where state = 'active' and query like '%pg_sleep(60)'";
        while admin.value(sleeps).await != "1" {}
        token.cancel_query(tokio_postgres::NoTls).await
    });
    cancelled.expect("sent");
    let code = slept.expect_err("cancelled").code().cloned();
    assert_eq!(code.expect("of the server").code(), "57014");
    drop(proxy);
    // Any password would be right, or none is asked for.
    for rule in ["trust", "peer", "reject"] {
        cluster.permit_on_socket("app_user", rule).await;
        let proxy = start().await;
        for _ in 0..2 {
            assert_eq!(way(&proxy, "app").await, "TCP", "{rule}");
        }
    }
}
