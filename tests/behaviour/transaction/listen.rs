//! LISTEN in transaction mode: one server connection for all that listen,
//! nothing lost, nothing twice, in order.

use std::time::Duration;

use crate::common::raw::{Message, Raw, parse, query, run, sqlstate, sync, tags};
use crate::common::setup::proxy;
use crate::common::{Cluster, Proxy, eventually, new_password};

/// The payloads of the notifications among messages, with their channels.
fn notifications(messages: &[Message]) -> Vec<String> {
    let heard = messages.iter().filter(|(tag, _)| *tag == b'A');
    heard
        .map(|(_, body)| {
            let mut fields = body[4..].split(|b| *b == 0);
            let mut field = || String::from_utf8_lossy(fields.next().unwrap_or_default());
            format!("{}={}", field(), field())
        })
        .collect()
}

/// A client that listens, and that has nothing else to do.
async fn listening(proxy: &Proxy, channels: &[&str]) -> Raw {
    let mut raw = Raw::connect(proxy).await;
    for channel in channels {
        assert_eq!(
            tags(&raw.ask(&query(&format!("listen {channel}"))).await),
            "CZ"
        );
    }
    raw
}

/// The notifications that the client receives up to a last one, which is sent
/// now.
async fn heard(raw: &mut Raw, cluster: &Cluster, channel: &str) -> Vec<String> {
    cluster
        .execute(&format!("notify {channel}, 'the end'"))
        .await;
    let mut all = Vec::new();
    while all.last() != Some(&format!("{channel}=the end")) {
        all.extend(notifications(&raw.until(b'A').await));
    }
    all.pop();
    all
}

/// A client, and what it heard beside its answers.
struct Hearing {
    raw: Raw,
    heard: Vec<String>,
}

impl Hearing {
    async fn ask(&mut self, sql: &str) {
        let seen = self.raw.ask(&query(sql)).await;
        assert_eq!(sqlstate(&seen), None, "{sql}");
        self.heard.extend(notifications(&seen));
    }

    /// This next, and nothing else.
    async fn hears(&mut self, expected: &str) {
        if self.heard.is_empty() {
            self.heard = notifications(&self.raw.until(b'A').await);
        }
        assert_eq!(self.heard.drain(..).collect::<Vec<_>>(), [expected]);
    }
}

async fn pool(proxy: &Proxy) -> serde_json::Value {
    proxy.status().await["databases"][0].clone()
}

/// Waits until nobody holds a connection but the one that listens.
async fn listeners(proxy: &Proxy, clients: u64) {
    let what = format!("{clients} clients on one listening connection");
    eventually(&what, Duration::from_secs(20), || async {
        let pool = pool(proxy).await;
        let there = pool["listener"]["clients"].as_u64().unwrap_or(0);
        let active = u64::from(clients > 0);
        (there == clients && pool["servers"]["active"] == active && pool["pinned"].is_null())
            .then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_that_listen_cost_one_connection() {
    let cluster = Cluster::start().await;
    let proxy = proxy(&cluster, "pool_size = 2").await;
    let mut clients = Vec::new();
    for n in 0..6 {
        clients.push(listening(&proxy, &["everybody", &format!("only_{n}")]).await);
    }
    listeners(&proxy, 6).await;
    assert_eq!(pool(&proxy).await["listener"]["channels"], 7);
    // The other connection is free for everybody, also for those who listen.
    let other = proxy.connect("app").await;
    other
        .batch_execute("notify everybody, 'from a client'; notify only_3, 'x'")
        .await
        .expect("notified");
    cluster.execute("notify everybody, 'from elsewhere'").await;
    for (n, client) in clients.iter_mut().enumerate() {
        let mut expected = vec!["everybody=from a client", "everybody=from elsewhere"];
        if n == 3 {
            expected.insert(1, "only_3=x");
        }
        assert_eq!(
            heard(client, &cluster, &format!("only_{n}")).await,
            expected
        );
        // And they are clients like all others.
        assert_eq!(tags(&client.ask(&query("select 1")).await), "TDCZ");
    }
    // Who leaves is forgotten, with or without a goodbye.
    clients[0]
        .send(&crate::common::raw::message(b'X', b""))
        .await;
    drop(clients.pop());
    listeners(&proxy, 4).await;
    clients.remove(0);
    clients.clear();
    listeners(&proxy, 0).await;
    assert_eq!(pool(&proxy).await["servers"]["idle"], 2);
    assert_eq!(
        other
            .value("select count(*) from pg_listening_channels()")
            .await,
        "0"
    );
}

/// Each client marks with a notification where it moves over to the shared
/// connection, and hears the marks of those who move at the same time.
#[tokio::test(flavor = "multi_thread")]
async fn who_begins_at_the_same_time_hears_nothing_of_the_others() {
    let cluster = Cluster::start().await;
    let proxy = proxy(&cluster, "pool_size = 10").await;
    for round in 0..10 {
        let begins = (0..8).map(|n| {
            let proxy = &proxy;
            async move {
                let mut client = Raw::connect(proxy).await;
                let listen = query(&format!("listen c{round}_{n}"));
                let mut seen = client.ask(&listen).await;
                for _ in 0..20 {
                    seen.extend(client.ask(&query("select 1")).await);
                }
                (client, seen)
            }
        });
        for (mut client, mut seen) in futures_util::future::join_all(begins).await {
            moves_over(&proxy, &mut client, &mut seen).await;
            assert_eq!(notifications(&seen), [""; 0]);
        }
    }
}

/// Waits until nobody is pinned, while a client goes on.
async fn moves_over(proxy: &Proxy, client: &mut Raw, seen: &mut Vec<Message>) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while !pool(proxy).await["pinned"].is_null() {
        assert!(tokio::time::Instant::now() < deadline, "still pinned");
        seen.extend(client.ask(&query("select 1")).await);
    }
}

/// UNLISTEN on a connection that has to be given the client's settings first.
#[tokio::test(flavor = "multi_thread")]
async fn unlisten_counts_on_a_connection_with_other_settings() {
    let cluster = Cluster::start().await;
    let proxy = proxy(&cluster, "pool_size = 2").await;
    let mut client = listening(&proxy, &["news"]).await;
    listeners(&proxy, 1).await;
    // The only connection beside the one that listens.
    let other = proxy.connect("app").await;
    for sql in ["set work_mem = '7MB'", "select 1"] {
        other.batch_execute(sql).await.expect("its own settings");
    }
    assert_eq!(tags(&client.ask(&query("unlisten *")).await), "CZ");
    listeners(&proxy, 0).await;
    other.batch_execute("notify news, 'x'").await.expect("sent");
    assert_eq!(tags(&client.ask(&query("select 1")).await), "TDCZ");
}

#[tokio::test(flavor = "multi_thread")]
async fn listen_and_unlisten_are_transactional() {
    let cluster = Cluster::start().await;
    let proxy = proxy(&cluster, "pool_size = 2").await;
    let mut client = Hearing {
        raw: listening(&proxy, &["base"]).await,
        heard: Vec::new(),
    };
    // Rolled back: not heard. Committed: heard from then on.
    client.ask("begin").await;
    client.ask("listen never").await;
    client.ask("unlisten base").await;
    cluster
        .execute("notify never, 'no'; notify base, '1'")
        .await;
    client.ask("rollback").await;
    client.hears("base=1").await;
    cluster
        .execute("notify never, 'no'; notify base, '2'")
        .await;
    client.hears("base=2").await;
    client.ask("begin; listen kept; commit").await;
    cluster.execute("notify kept, '3'").await;
    client.hears("kept=3").await;
    listeners(&proxy, 1).await;
    // UNLISTEN of one, inside a transaction and by itself.
    client.ask("begin").await;
    client.ask("select 1").await;
    client.ask("unlisten kept").await;
    client.ask("commit").await;
    cluster.execute("notify kept, 'no'; notify base, '4'").await;
    client.hears("base=4").await;
    client.ask("listen more").await;
    listeners(&proxy, 1).await;
    client.ask("unlisten base").await;
    cluster.execute("notify base, 'no'; notify more, '5'").await;
    client.hears("more=5").await;
    // By the extended protocol, prepared under a name.
    let mut raw = client.raw;
    let again = [parse("l", "listen base"), run("l"), sync()].concat();
    assert_eq!(tags(&raw.ask(&again).await), "12CZ");
    cluster.execute("notify base, '6'").await;
    listeners(&proxy, 1).await;
    assert_eq!(heard(&mut raw, &cluster, "more").await, ["base=6"]);

    for sql in ["unlisten *", "discard all"] {
        raw.ask(&query("listen base")).await;
        listeners(&proxy, 1).await;
        raw.ask(&query(sql)).await;
        listeners(&proxy, 0).await;
        cluster.execute("notify base, 'no'").await;
        let mut seen = raw.ask(&query("select 1")).await;
        seen.extend(raw.ask(&query("select 1")).await);
        assert_eq!(tags(&seen), "TDCZTDCZ", "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_notifies_it_hears_itself() {
    let cluster = Cluster::start().await;
    let proxy = proxy(&cluster, "pool_size = 3").await;
    let mut raw = listening(&proxy, &["me"]).await;
    // At once, while its LISTEN may still be on the move.
    for n in 0..50 {
        raw.send(&query(&format!("notify me, '{n}'"))).await;
    }
    // Else the last word, which comes from elsewhere, may overtake them.
    let mut all = Vec::new();
    for _ in 0..50 {
        all.extend(notifications(&raw.until(b'Z').await));
    }
    all.extend(heard(&mut raw, &cluster, "me").await);
    let expected: Vec<_> = (0..50).map(|n| format!("me={n}")).collect();
    assert_eq!(all, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_and_nothing_comes_twice() {
    const ROUNDS: usize = 3;
    let cluster = Cluster::start().await;
    let role = "app_user";
    let password = new_password();
    cluster.create_role(role, &password).await;
    let proxy = Proxy::with_one_database(&cluster.secret(role, &password), "pool_size = 4")
        .start()
        .await;
    let admin = cluster.superuser().await;
    let notifier = tokio::spawn(async move {
        for n in 0.. {
            let sql = format!("notify news, '{n}'; notify news, '{n}b'");
            if admin.batch_execute(&sql).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    // Clients begin to listen in the middle of it, while versions change.
    let mut clients = Vec::new();
    for _ in 0..ROUNDS {
        clients.push(listening(&proxy, &["news"]).await);
        clients.push(listening(&proxy, &["news"]).await);
        let next = new_password();
        cluster.alter_password(role, &next).await;
        let version = proxy.secret_put("app", &cluster.secret(role, &next)).await;
        proxy.wait_in_force("app", &version).await;
        eventually("drained", Duration::from_secs(30), || async {
            let pool = pool(&proxy).await;
            let number = pool["generations"][0]["number"].clone();
            let moved = pool["listener"]["generation"] == number;
            (moved && pool["generations"].as_array()?.len() == 1).then_some(())
        })
        .await;
    }
    listeners(&proxy, 2 * ROUNDS as u64).await;
    notifier.abort();
    let _ = notifier.await;
    for client in &mut clients {
        let heard = heard(client, &cluster, "news").await;
        let numbers: Vec<&str> = heard
            .iter()
            .filter_map(|n| n.strip_prefix("news="))
            .collect();
        let first: usize = numbers[0].trim_end_matches('b').parse().expect("a number");
        assert!(numbers.len() > 20, "only {} notifications", numbers.len());
        let mut expected = (first..).flat_map(|n| [format!("{n}"), format!("{n}b")]);
        for number in numbers {
            assert_eq!(Some(number), expected.next().as_deref());
        }
    }
    proxy.assert_no_leak().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_cannot_be_told_is_told_that() {
    let cluster = Cluster::start().await;
    let proxy = proxy(&cluster, "pool_size = 2").await;
    // One that does not read is ended; the others are told everything.
    let mut slow = listening(&proxy, &["flood"]).await;
    let mut quick = listening(&proxy, &["flood", "quick"]).await;
    listeners(&proxy, 2).await;
    // Far above what may wait for a client and what sockets hold.
    for _ in 0..30 {
        let payload = "'y' || g || repeat('x', 7000)";
        cluster
            .execute(&format!(
                "select pg_notify('flood', {payload}) from generate_series(1, 100) g"
            ))
            .await;
        for _ in 0..100 {
            quick.until(b'A').await;
        }
        // Its last words are not kept for long.
        if pool(&proxy).await["listener"]["clients"] == 1 {
            break;
        }
    }
    let seen = slow.until(b'E').await;
    assert_eq!(sqlstate(&seen).as_deref(), Some("54000"));
    listeners(&proxy, 1).await;

    // The connection breaks: nobody goes on as if nothing had been missed.
    cluster
        .execute(
            "select pg_terminate_backend(pid) from pg_stat_activity \
             where usename <> 'postgres' and backend_type = 'client backend'",
        )
        .await;
    let seen = quick.until(b'E').await;
    assert_eq!(sqlstate(&seen).as_deref(), Some("08006"));
    let mut again = listening(&proxy, &["quick"]).await;
    cluster.execute("notify quick, 'again'").await;
    assert_eq!(heard(&mut again, &cluster, "quick").await, ["quick=again"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_cannot_share_keeps_its_connection() {
    let cluster = Cluster::start().await;
    // The only connection there is cannot be given away.
    let one = proxy(&cluster, "pool_size = 1").await;
    let mut raw = listening(&one, &["alone"]).await;
    eventually("pinned", Duration::from_secs(10), || async {
        (pool(&one).await["pinned"]["listen"] == 1).then_some(())
    })
    .await;
    let pinned = one
        .metric("pgvalet_pinned_clients", &["reason=\"listen\""])
        .await;
    assert_eq!(pinned, Some(1.0));
    assert!(one.log().contains("keeps its server connection"));
    cluster.execute("notify alone, '1'").await;
    assert_eq!(heard(&mut raw, &cluster, "alone").await, ["alone=1"]);

    // One with another encoding, and one that has a temporary table as well.
    let two = proxy(&cluster, "pool_size = 3").await;
    let mut latin = Raw::connect(&two).await;
    latin.ask(&query("set client_encoding = 'LATIN1'")).await;
    latin.ask(&query("listen latin")).await;
    cluster.execute("notify latin, 'ä'").await;
    let (_, body) = latin.until(b'A').await.pop().expect("a notification");
    assert!(body.ends_with(b"latin\0\xe4\0"), "{body:?}");
    let mut temporary = listening(&two, &["temporary"]).await;
    temporary.ask(&query("create temp table t (n int)")).await;
    cluster.execute("notify temporary, '1'").await;
    assert_eq!(
        heard(&mut temporary, &cluster, "temporary").await,
        ["temporary=1"]
    );
    temporary.ask(&query("select 1 from t")).await;
}

/// A named statement is parsed and run in one batch, into which nothing can be put: the server
/// listens from before the batch on.
#[tokio::test(flavor = "multi_thread")]
async fn unlisten_counts_in_a_batch_with_its_own_parse() {
    let cluster = Cluster::start().await;
    let proxy = proxy(&cluster, "pool_size = 2").await;
    for (name, sql) in [
        ("u", "unlisten news"),
        ("v", "unlisten *"),
        ("", "unlisten news"),
    ] {
        let mut client = listening(&proxy, &["news", "last"]).await;
        listeners(&proxy, 1).await;
        let batch = [parse(name, sql), run(name), sync()].concat();
        assert_eq!(tags(&client.ask(&batch).await), "12CZ", "{sql}");
        cluster.execute("notify news, 'x'").await;
        if sql.ends_with('*') {
            listeners(&proxy, 0).await;
            assert_eq!(tags(&client.ask(&query("select 1")).await), "TDCZ");
        } else {
            assert_eq!(
                heard(&mut client, &cluster, "last").await,
                Vec::<String>::new()
            );
        }
        drop(client);
        listeners(&proxy, 0).await;
    }
}
