//! Protocol 3.2 and its long cancel keys, of clients and of servers.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_postgres::NoTls;

use crate::common::cancel::{SLEEP, send_cancel, sleeping};
use crate::common::client::told;
use crate::common::raw::{self, Raw, query, sqlstate, start_up};
use crate::common::{Cluster, Proxy, eventually, new_password};

const V3_0: u32 = 0x0003_0000;
const V3_2: u32 = 0x0003_0002;
const CANCEL: u32 = 80_877_102;

/// The first bytes of a connection to a server.
#[derive(Clone, Default)]
struct Beginning {
    asked: Vec<u8>,
    answered: Vec<u8>,
}

impl Beginning {
    fn code(&self) -> Option<u32> {
        let code = self.asked.get(4..8)?.try_into().expect("four bytes");
        Some(u32::from_be_bytes(code))
    }

    /// The bytes of the key in a cancel request.
    fn cancel_key(&self) -> Option<usize> {
        (self.code()? == CANCEL).then(|| self.asked.len() - 12)
    }

    /// The length of the body of the server's message of this type.
    fn answer(&self, wanted: u8) -> Option<usize> {
        let mut rest = &self.answered[..];
        while let Some(&[tag, a, b, c, d]) = rest.first_chunk::<5>() {
            let length = u32::from_be_bytes([a, b, c, d]) as usize;
            if tag == wanted {
                return Some(length - 4);
            }
            rest = rest.get(length + 1..)?;
        }
        None
    }
}

/// The answer to start-up packets of protocol 3.2.
#[derive(Clone, Copy, Debug)]
enum Manner {
    Pass,
    Refuse(&'static str, &'static str),
    HangUp,
}

/// A relay in front of a server that takes notes.
struct Tap {
    port: u16,
    seen: Arc<Mutex<Vec<Beginning>>>,
}

impl Tap {
    async fn before(cluster: &Cluster, manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let seen: Arc<Mutex<Vec<Beginning>>> = Arc::default();
        let (to, notes) = (cluster.port, seen.clone());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (notes, number) = {
                    let mut seen = notes.lock().expect("not poisoned");
                    seen.push(Beginning::default());
                    (notes.clone(), seen.len() - 1)
                };
                tokio::spawn(async move {
                    let _ = relay(client, to, manner, &notes, number).await;
                });
            }
        });
        Self { port, seen }
    }

    fn seen(&self) -> MutexGuard<'_, Vec<Beginning>> {
        self.seen.lock().expect("not poisoned")
    }

    /// The versions that logins asked for, in their order.
    fn versions(&self) -> Vec<u32> {
        let codes = self.seen().clone();
        let codes = codes.iter().filter_map(Beginning::code);
        codes.filter(|code| *code != CANCEL).collect()
    }

    fn cancels(&self) -> Vec<usize> {
        self.seen()
            .iter()
            .filter_map(Beginning::cancel_key)
            .collect()
    }

    /// The secret of a new role, with the relay in the place of its server.
    async fn secret(&self, cluster: &Cluster) -> String {
        let (role, password) = (format!("r{}", &new_password()[3..11]), new_password());
        cluster.create_role(&role, &password).await;
        let may_replicate = format!("ALTER ROLE \"{role}\" REPLICATION");
        cluster.execute(&may_replicate).await;
        let secret = cluster.secret(&role, &password);
        let mut secret: Value = serde_json::from_str(&secret).expect("JSON");
        secret["port"] = self.port.into();
        secret.to_string()
    }
}

/// The most bytes of a beginning that are kept.
const KEPT: usize = 4096;

async fn relay(
    mut client: TcpStream,
    to: u16,
    manner: Manner,
    notes: &Mutex<Vec<Beginning>>,
    number: usize,
) -> std::io::Result<()> {
    let mut server = TcpStream::connect(("127.0.0.1", to)).await?;
    let (mut asked, mut answered) = (vec![0; 1 << 14], vec![0; 1 << 14]);
    let mut first = true;
    loop {
        tokio::select! {
            n = client.read(&mut asked) => {
                let n = n?;
                if n == 0 {
                    return Ok(());
                }
                note(notes, number, |b| &mut b.asked, &asked[..n]);
                if std::mem::take(&mut first) && asked[4..8] == V3_2.to_be_bytes() {
                    match manner {
                        Manner::Pass => {}
                        Manner::HangUp => return Ok(()),
                        Manner::Refuse(code, text) => {
                            let fields = format!("SFATAL\0VFATAL\0C{code}\0M{text}\0\0");
                            let error = raw::message(b'E', fields.as_bytes());
                            return client.write_all(&error).await;
                        }
                    }
                }
                server.write_all(&asked[..n]).await?;
            }
            n = server.read(&mut answered) => {
                let n = n?;
                if n == 0 {
                    return Ok(());
                }
                note(notes, number, |b| &mut b.answered, &answered[..n]);
                client.write_all(&answered[..n]).await?;
            }
        }
    }
}

fn note(
    notes: &Mutex<Vec<Beginning>>,
    number: usize,
    which: impl FnOnce(&mut Beginning) -> &mut Vec<u8>,
    bytes: &[u8],
) {
    let mut seen = notes.lock().expect("not poisoned");
    let kept = which(&mut seen[number]);
    let room = KEPT.saturating_sub(kept.len());
    kept.extend(&bytes[..bytes.len().min(room)]);
}

/// A client of protocol 3.2; its pid and its key.
async fn connect(proxy: &Proxy, database: &str, more: &[(&str, &str)]) -> (Raw, i32, Vec<u8>) {
    let mut raw = Raw::open(proxy).await;
    let who = [("user", "anyone"), ("database", database)];
    raw.send(&start_up(V3_2, &[&who, more].concat())).await;
    let greeting = raw.until(b'Z').await;
    let key = greeting.iter().find(|(tag, _)| *tag == b'K');
    let (pid, key) = key.expect("a key").1.split_at(4);
    let pid = i32::from_be_bytes(pid.try_into().expect("four bytes"));
    let key = key.to_vec();
    (raw, pid, key)
}

/// Postgres 18 gives pgvalet long keys, 15 short ones, and each is used for
/// whatever pgvalet cancels there.
#[tokio::test(flavor = "multi_thread")]
async fn each_server_is_cancelled_with_the_key_it_gave() {
    let mut clusters = Cluster::all();
    while let Some(cluster) = clusters.next().await {
        let tap = Tap::before(&cluster, Manner::Pass).await;
        let proxy = Proxy::builder()
            .secret("app", &tap.secret(&cluster).await)
            .database("transaction", "secret = \"app\"")
            .database("session", "secret = \"app\"\npool_mode = \"session\"")
            .database("limited", "secret = \"app\"\nquery_timeout = \"1s\"")
            .start()
            .await;
        let major = cluster.binaries.major;
        let is_new = major >= 18;
        let key = if is_new { 32 } else { 4 };

        // A client's own wish, also on a connection that it has to itself.
        for (database, more) in [
            ("transaction", None),
            ("session", None),
            ("transaction", Some(("replication", "database"))),
        ] {
            let (mut raw, pid, secret) = connect(&proxy, database, more.as_slice()).await;
            assert_eq!(secret.len(), 32, "clients get long keys from pgvalet");
            raw.send(&query(SLEEP)).await;
            sleeping(&cluster, 1).await;
            let before = tap.cancels().len();
            for wrong in [
                &secret[..4],
                &secret[..31],
                &[secret.clone(), vec![0]].concat(),
            ] {
                send_cancel(&proxy, pid, wrong).await;
            }
            assert_eq!(tap.cancels().len(), before, "no part of the key is the key");
            send_cancel(&proxy, pid, &secret).await;
            let end = raw.until(b'Z').await;
            assert_eq!(
                sqlstate(&end).as_deref(),
                Some("57014"),
                "{database} {more:?}"
            );
            assert_eq!(tap.cancels().len(), before + 1);
        }
        // pgvalet's: a client that left, a query that took too long.
        let before = tap.cancels().len();
        let (mut raw, ..) = connect(&proxy, "transaction", &[]).await;
        raw.send(&query(SLEEP)).await;
        sleeping(&cluster, 1).await;
        drop(raw);
        eventually("the client is noticed", Duration::from_secs(10), || async {
            (tap.cancels().len() > before).then_some(())
        })
        .await;
        let (mut raw, ..) = connect(&proxy, "limited", &[]).await;
        let end = raw.ask(&query(SLEEP)).await;
        assert_eq!(sqlstate(&end).as_deref(), Some("57014"));

        assert_eq!(tap.cancels(), [key; 5], "Postgres {major}");
        assert!(tap.versions().iter().all(|v| *v == V3_2));
        let seen = tap.seen();
        let logins = seen.iter().filter(|b| b.answer(b'Z').is_some());
        for login in logins {
            assert_eq!(login.answer(b'K'), Some(4 + key), "Postgres {major}");
            assert_eq!(login.answer(b'v').is_none(), is_new, "Postgres {major}");
        }
    }
}

/// A pooler, or an old server, that does not know 3.2 is asked again in 3.0, and
/// from then on at once.
#[tokio::test(flavor = "multi_thread")]
async fn who_refuses_the_version_is_asked_in_the_older_one() {
    let cluster = Cluster::start().await;
    for manner in [
        Manner::Refuse(
            "0A000",
            "unsupported frontend protocol 3.2: server supports 2.0 to 3.0",
        ),
        Manner::Refuse("08P01", "unsupported startup packet"),
        Manner::Refuse("XX000", "Unsupported protocol version"),
        Manner::Refuse("", ""),
        Manner::HangUp,
    ] {
        let tap = Tap::before(&cluster, manner).await;
        let secret = tap.secret(&cluster).await;
        let proxy = Proxy::with_one_database(&secret, "pool_size = 2")
            .start()
            .await;
        let (first, second) = (proxy.connect("app").await, proxy.connect("app").await);
        first.batch_execute("begin").await.expect("a lease");
        second.batch_execute("begin").await.expect("another login");
        // A proof of the secret, and one for each.
        assert_eq!(tap.versions(), [V3_2, V3_0, V3_0, V3_0], "{manner:?}");
        first.batch_execute("rollback").await.expect("rolled back");
        // It is no failure, and its cancels work.
        assert_eq!(proxy.audit_of("server.fail").len(), 0, "{manner:?}");
        let cancel = async {
            sleeping(&cluster, 1).await;
            let token = first.cancel_token();
            token.cancel_query(NoTls).await.expect("sent");
        };
        let (result, ()) = tokio::join!(first.simple_query(SLEEP), cancel);
        assert_eq!(told(&result.expect_err("cancelled")).0, "57014");
        assert_eq!(tap.cancels(), [4], "{manner:?}");
        // A new version of the secret does not ask again.
        let before = tap.versions().len();
        let version = proxy.secret_put("app", &secret).await;
        proxy.wait_in_force("app", &version).await;
        let asked = tap.versions().split_off(before);
        assert!(
            !asked.is_empty() && asked.iter().all(|v| *v == V3_0),
            "{asked:?}"
        );
    }
}

/// A refusal for another reason says nothing about the version: the server is
/// asked once.
#[tokio::test(flavor = "multi_thread")]
async fn another_refusal_is_not_asked_twice() {
    let cluster = Cluster::start().await;
    let manner = Manner::Refuse("53300", "sorry, too many clients already");
    let tap = Tap::before(&cluster, manner).await;
    let secret = tap.secret(&cluster).await;
    let proxy = Proxy::with_one_database(&secret, "").start_unready().await;
    let failed = proxy.audit_seen("server.fail").await;
    assert_eq!(failed[0]["sqlstate"], "53300");
    assert!(tap.versions().iter().all(|v| *v == V3_2));
}
