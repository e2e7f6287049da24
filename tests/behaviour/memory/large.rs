//! Large data passes through without being held: a row, a parameter, the text of
//! a query, COPY in both directions; in both pool modes, with TLS and without.
//! `make big` sends 256 MB and 2 GB through the release binary; a smaller form
//! always runs.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::time::timeout;

use crate::common::memory::Memory;
use crate::common::raw::{self, message, parse, query, run, sync};
use crate::common::tls::handshake;
use crate::common::{Cluster, Proxy, Session, eventually, new_password};

const MB: usize = 1 << 20;
/// The most that the process may grow by.
const MOST: usize = 16 * MB;
/// Bytes of a line of COPY, its end included.
const LINE: usize = 8192;
/// Plain, or TLS.
trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Duplex for S {}
type Raw = raw::Raw<Box<dyn Duplex>>;

struct Client {
    raw: Raw,
    admin: Session,
}

impl Client {
    /// Both sides of the proxy come to a stop: Postgres waits for what is not sent,
    /// or for somebody to read what it wrote.
    async fn stop_until(&self, event: &str) {
        let waiting = format!(
            "select count(*) from pg_stat_activity \
             where usename = 'app_user' and wait_event = '{event}'"
        );
        eventually(event, Duration::from_secs(20), || async {
            (self.admin.value(&waiting).await == "1").then_some(())
        })
        .await;
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.raw.send(bytes).await;
    }
}

/// The answer, of which only small messages were kept.
#[derive(Default)]
struct Received {
    /// Bytes of the bodies of DataRow and of CopyData.
    row: usize,
    copy: usize,
    /// The value of the last short row, the tag of the last command.
    value: String,
    command: String,
    error: String,
}

/// Reads up to ReadyForQuery (or to the answer to a COPY FROM) and holds nothing large.
async fn receive(client: &mut Client, last: u8) -> Received {
    let mut received = Received::default();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let mut header = [0; 5];
        let read = timeout(
            Duration::from_secs(60),
            client.raw.stream.read_exact(&mut header[..]),
        );
        read.await.expect("within a minute").expect("a header");
        let [tag, length @ ..] = header;
        let length = u32::from_be_bytes(length) as usize - 4;
        let mut left = length;
        while left > 0 {
            let n = left.min(buffer.len());
            // Below that size, the whole of it ends up in the buffer.
            let n = client
                .raw
                .stream
                .read(&mut buffer[..n])
                .await
                .expect("a body");
            assert!(n > 0, "the connection was closed in a message");
            if n < length && length < 1024 {
                client
                    .raw
                    .stream
                    .read_exact(&mut buffer[n..length])
                    .await
                    .expect("the rest");
                break;
            }
            left -= n;
        }
        let text = |from: usize, to: usize| String::from_utf8_lossy(&buffer[from..to]).into_owned();
        match tag {
            b'D' => {
                received.row += length;
                if (6..1024).contains(&length) {
                    received.value = text(6, length);
                }
            }
            b'd' => received.copy += length,
            b'C' => received.command = text(0, length - 1),
            b'E' => received.error = text(0, length.min(buffer.len())),
            _ => {}
        }
        if tag == last {
            return received;
        }
    }
}

/// A message whose body is `head`, `size` times the same letter, `tail`.
async fn send_large(client: &mut Client, tag: u8, head: &[u8], size: usize, tail: &[u8]) {
    let length = head.len() + size + tail.len() + 4;
    let length = u32::try_from(length).expect("below 4 GiB");
    let start = [&[tag][..], &length.to_be_bytes(), head].concat();
    client.send(&start).await;
    let letters = vec![b'x'; MB];
    for part in 0..size / MB {
        if part == 3 {
            client.stop_until("ClientRead").await;
        }
        client.send(&letters).await;
    }
    client.send(tail).await;
}

/// Bind of one parameter in text format.
async fn send_parameter(client: &mut Client, name: &str, size: usize) {
    let length = u32::try_from(size).expect("below 4 GiB").to_be_bytes();
    let head = [format!("\0{name}\0\0\0\0\x01").as_bytes(), &length].concat();
    send_large(client, b'B', &head, size, b"\0\0").await;
    client
        .send(&[message(b'E', b"\0\0\0\0\0"), sync()].concat())
        .await;
}

struct Case {
    row: usize,
    copy: usize,
    mode: &'static str,
    tls: bool,
}

impl Case {
    async fn row_to_the_client(&self, client: &mut Client) {
        client
            .send(&query(&format!("select repeat('x', {})", self.row)))
            .await;
        client.stop_until("ClientWrite").await;
        assert_eq!(receive(client, b'Z').await.row, self.row + 6);
    }

    /// A parameter of the unnamed statement, and of one with a name, whose
    /// Bind is written anew.
    async fn parameters(&self, client: &mut Client) {
        for name in ["", "named"] {
            client.send(&parse(name, "select length($1::text)")).await;
            send_parameter(client, name, self.row).await;
            assert_eq!(receive(client, b'Z').await.value, self.row.to_string());
        }
    }

    /// A simple query, and an unnamed Parse.
    async fn texts(&self, client: &mut Client) {
        send_large(client, b'Q', b"select length('", self.row, b"')\0").await;
        assert_eq!(receive(client, b'Z').await.value, self.row.to_string());
        send_large(client, b'P', b"\0select length('", self.row, b"')\0\0\0").await;
        client.send(&[run(""), sync()].concat()).await;
        assert_eq!(receive(client, b'Z').await.value, self.row.to_string());
    }

    async fn copy_to_the_client(&self, client: &mut Client) {
        let (lines, letters) = (self.copy / LINE, LINE - 1);
        let sql = format!(
            "copy (select repeat('x', {letters}) from generate_series(1, {lines})) to stdout"
        );
        client.send(&query(&sql)).await;
        client.stop_until("ClientWrite").await;
        let received = receive(client, b'Z').await;
        assert_eq!(received.copy, lines * LINE);
        assert_eq!(received.command, format!("COPY {lines}"));
    }

    /// The server stores no line of the right length, so that the disk stays
    /// as it is; the last line has another, and shows that it arrived.
    async fn copy_from_the_client(&self, client: &mut Client) {
        let letters = LINE - 1;
        client
            .send(&query(&format!(
                "copy sunk from stdin where length(t) <> {letters}"
            )))
            .await;
        receive(client, b'G').await;
        let line = [vec![b'x'; letters], b"\n".to_vec()].concat();
        let data = message(b'd', &line.repeat(MB / LINE));
        for part in 0..self.copy / MB {
            if part == 3 {
                client.stop_until("ClientRead").await;
            }
            client.send(&data).await;
        }
        client
            .send(&[message(b'd', b"the end\n"), message(b'c', b"")].concat())
            .await;
        assert_eq!(receive(client, b'Z').await.command, "COPY 1");
    }

    /// The text of a statement with a name would be kept for all who parse the
    /// same, so it is refused, and the session goes on. In session mode it is the
    /// server's alone.
    async fn text_with_a_name(&self, client: &mut Client) {
        send_large(
            client,
            b'P',
            b"large\0select length('",
            self.row,
            b"')\0\0\0",
        )
        .await;
        client.send(&[run("large"), sync()].concat()).await;
        let received = receive(client, b'Z').await;
        if self.mode == "session" {
            return assert_eq!(received.value, self.row.to_string());
        }
        assert!(received.error.contains("C54000"), "{}", received.error);
        assert!(received.error.contains("pool_mode = \"session\""));
        client
            .send(&[parse("large", "select 7"), run("large"), sync()].concat())
            .await;
        assert_eq!(receive(client, b'Z').await.value, "7");
    }
}

impl Case {
    async fn proxy(&self, cluster: &Cluster) -> Proxy {
        let password = new_password();
        cluster.create_role("app_user", &password).await;
        let keys = format!("pool_size = 1\npool_mode = \"{}\"", self.mode);
        let files = cluster.ca();
        let files = files.parent().expect("a directory").display();
        let lines = format!(
            "tls = \"allow\"\ncertificate = \"{files}/server.crt\"\nkey = \"{files}/server.key\""
        );
        Proxy::with_one_database(&cluster.secret("app_user", &password), &keys)
            .listen(&lines)
            .start()
            .await
    }

    async fn connect(&self, proxy: &Proxy, cluster: &Cluster) -> Client {
        let stream: Box<dyn Duplex> = match self.tls {
            true => Box::new(
                handshake(proxy, &cluster.ca(), &[], false)
                    .await
                    .expect("TLS"),
            ),
            false => Box::new(raw::Raw::open(proxy).await.stream),
        };
        let mut raw = Raw { stream };
        raw.start_up().await;
        raw.until(b'Z').await;
        let admin = cluster.superuser().await;
        Client { raw, admin }
    }
}

async fn nothing_is_held(case: Case) {
    let cluster = Cluster::start().await;
    let proxy = case.proxy(&cluster).await;
    let client = &mut case.connect(&proxy, &cluster).await;
    println!("{} mode, TLS: {}", case.mode, case.tls);
    // The first query of a process makes its buffers.
    let table = query("create unlogged table sunk (t text)");
    client.raw.ask(&table).await;
    let memory = Memory::now(&proxy);
    let row_out = case.row_to_the_client(client);
    memory.stays_below(MOST, "a row", row_out).await;
    let copy_out = case.copy_to_the_client(client);
    memory.stays_below(MOST, "COPY TO", copy_out).await;
    let copy_in = case.copy_from_the_client(client);
    memory.stays_below(MOST, "COPY FROM", copy_in).await;
    memory
        .stays_below(MOST, "two parameters", case.parameters(client))
        .await;
    memory
        .stays_below(MOST, "two texts", case.texts(client))
        .await;
    let text = case.text_with_a_name(client);
    memory.stays_below(MOST, "a text with a name", text).await;
}

async fn large(mode: &'static str, tls: bool) {
    let (row, copy) = (32 * MB, 128 * MB);
    nothing_is_held(Case {
        row,
        copy,
        mode,
        tls,
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_large_passes_without_being_held() {
    large("transaction", false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_large_passes_in_session_mode() {
    large("session", false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_large_passes_over_tls() {
    large("transaction", true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_large_passes_over_tls_in_session_mode() {
    large("session", true).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "sends gigabytes"]
async fn what_is_huge_passes_without_being_held() {
    let (row, copy) = (256 * MB, 2048 * MB);
    for mode in ["transaction", "session"] {
        for tls in [false, true] {
            nothing_is_held(Case {
                row,
                copy,
                mode,
                tls,
            })
            .await;
        }
    }
}
