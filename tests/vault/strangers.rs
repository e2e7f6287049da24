//! Strangers at the store's port: whoever is served is served on.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::place::Place;
use crate::served::Served;

/// From one of the addresses of this machine.
async fn connect(from: u8, to: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    let own = SocketAddr::from(([127, 0, 0, from], 0));
    socket.bind(own).expect("an address of loopback");
    let to = to.parse().expect("an address");
    socket.connect(to).await.expect("connected")
}

fn head(key: &str, length: usize) -> String {
    let now = chrono::Utc::now();
    let (date, day) = (now.format("%Y%m%dT%H%M%SZ"), now.format("%Y%m%d"));
    format!(
        "POST / HTTP/1.1\r\nHost: s\r\nX-Amz-Date: {date}\r\n\
         X-Amz-Target: secretsmanager.PutSecretValue\r\nAuthorization: AWS4-HMAC-SHA256 \
         Credential={key}/{day}/local/secretsmanager/aws4_request, \
         SignedHeaders=host;x-amz-date;x-amz-target, Signature=00\r\n\
         Content-Length: {length}\r\n\r\n"
    )
}

/// Resident memory of a process, in bytes.
fn memory(pid: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"));
    let number = line.and_then(|l| l.split_whitespace().next()?.parse::<usize>().ok());
    number.expect("a number") * 1024
}

async fn works(served: &Served) {
    // A client of its own each time: it connects anew.
    let got = served.client().get_secret_value().secret_id("a").send();
    let got = timeout(Duration::from_secs(20), got).await;
    let got = got.expect("an answer in time").expect("the value");
    assert_eq!(got.secret_string(), Some("value"));
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn those_who_say_nothing_shut_nobody_out() {
    let place = Place::new();
    place.ok(&["secret", "create", "a", "--any"], "value");
    let served = Served::start(&place);
    let mut silent = Vec::new();
    for from in 2..=9 {
        for n in 0..256 {
            let mut stream = connect(from, served.address()).await;
            if n % 2 == 0 {
                // It may have had to give way already.
                let _ = stream.write_all(b"POST / HTTP/1.1\r\nHost: s\r\n").await;
            }
            silent.push(stream);
        }
        works(&served).await;
    }
    // The same address may as well be that of a client.
    for _ in 0..300 {
        silent.push(connect(1, served.address()).await);
    }
    works(&served).await;
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn half_of_a_request_holds_little() {
    const MOST: usize = 64 * 1024 * 1024;
    let place = Place::new();
    place.ok(&["secret", "create", "a", "--any"], "value");
    let served = Served::start(&place);
    works(&served).await;
    let before = memory(served.pid());
    let body = vec![b' '; 1024 * 1024 - 1];
    let mut half = Vec::new();
    // The key is none, and none of a principal's: nothing of a body is waited for.
    for key in ["", "AKIAUNKNOWN"] {
        let mut stream = connect(2, served.address()).await;
        let text = match key {
            "" => "POST / HTTP/1.1\r\nHost: s\r\nContent-Length: 1048576\r\n\r\n".to_owned(),
            key => head(key, 1024 * 1024),
        };
        stream.write_all(text.as_bytes()).await.expect("sent");
        let mut said = String::new();
        let read = stream.read_to_string(&mut said);
        let read = timeout(Duration::from_secs(20), read).await;
        assert!(read.is_ok(), "it waits for the body: {said}");
        assert!(said.starts_with("HTTP/1.1 400"), "{said}");
    }
    let mut largest = 0;
    for n in 0..200 {
        let mut stream = connect(2 + n % 8, served.address()).await;
        let sent = async {
            let head = head(served.access_key(), 1024 * 1024);
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(&body).await
        };
        // Who has to give way is hung up on in the middle.
        let _ = timeout(Duration::from_secs(20), sent).await;
        half.push(stream);
        largest = largest.max(memory(served.pid()));
    }
    let grown = largest.saturating_sub(before);
    assert!(grown < MOST, "{} MiB for nothing", grown / 1024 / 1024);
    works(&served).await;
    let put = served.client().put_secret_value().secret_id("a");
    put.secret_string("v".repeat(65_536))
        .send()
        .await
        .expect("room for the largest value");
}
