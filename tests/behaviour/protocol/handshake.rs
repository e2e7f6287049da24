//! The first bytes of a connection: TLS or not, newer protocols, nonsense.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::common::programs;
use crate::common::setup::proxy;
use crate::common::{Cluster, Proxy, new_password};

fn startup(version: u32, body: &[u8]) -> Vec<u8> {
    let mut packet = (body.len() as u32 + 8).to_be_bytes().to_vec();
    packet.extend(version.to_be_bytes());
    packet.extend(body);
    packet
}

/// Everything the proxy answers until it is ready or hangs up.
async fn answer(proxy: &Proxy, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(("127.0.0.1", proxy.port))
        .await
        .expect("connected");
    stream.write_all(bytes).await.expect("sent");
    let mut all = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let n = stream.read(&mut chunk).await.unwrap_or(0);
        all.extend_from_slice(&chunk[..n]);
        if n == 0 || all.ends_with(b"Z\0\0\0\x05I") {
            return all;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn newer_protocols_are_answered_with_what_is_spoken() {
    let cluster = Cluster::start().await;
    let proxy = proxy(&cluster, "").await;
    const OPTION: &[u8] = b"_pq_.future\0on\0";
    let ok = b"R\0\0\0\x08\0\0\0\0";
    // Asked for, with an option that nobody knows; answered as; the key's length.
    for (asked, option, spoken, key) in [
        (0, false, None, 4),
        (0, true, Some(0), 4),
        (1, false, Some(0), 4),
        (2, false, None, 32),
        (2, true, Some(2), 32),
        (9999, false, Some(2), 32),
        (9999, true, Some(2), 32),
    ] {
        let options = if option { OPTION } else { b"" };
        let body = [b"user\0a\0database\0app\0", options, b"\0"].concat();
        let said = answer(&proxy, &startup(0x0003_0000 + asked, &body)).await;
        let mut negotiate = Vec::new();
        if let Some(minor) = spoken {
            let options = if option { &b"_pq_.future\0"[..] } else { b"" };
            let body = [&[0, 3, 0, minor, 0, 0, 0, u8::from(option)], options].concat();
            negotiate = crate::common::raw::message(b'v', &body);
        }
        negotiate.extend(ok);
        let text = String::from_utf8_lossy(&said);
        assert!(said.starts_with(&negotiate), "3.{asked}: {text:?}");
        // BackendKeyData is the last thing before ReadyForQuery.
        let end = [key + 8, b'Z', 0, 0, 0, 5, b'I'];
        let head = said.len() - usize::from(key) - 4 - 6 - 5;
        assert_eq!(said[head..][..5], [b'K', 0, 0, 0, end[0]], "3.{asked}");
        assert!(said.ends_with(&end[1..]));
    }
    // Before anything else is said, also to whom is not let in.
    let body = b"user\0a\0database\0none\0\0";
    let said = answer(&proxy, &startup(0x0003_0003, body)).await;
    assert!(said.starts_with(b"v\0\0\0\x0c\0\x03\0\x02\0\0\0\0E"));
    for (version, text) in [(0x0002_0000, "2.0"), (0x0004_0000, "4.0")] {
        let said = answer(&proxy, &startup(version, b"user\0a\0\0")).await;
        let text = format!("unsupported frontend protocol {text}: server supports 3.0 to 3.2");
        assert!(String::from_utf8_lossy(&said).contains(&text));
    }
    // One of protocol 2 would wait for ever for the length of a text.
    let old = answer(&proxy, &startup(0x0002_0000, b"")).await;
    assert!(old.starts_with(b"EFATAL:  ") && old.ends_with(b"\n\0"));
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_is_refused_and_the_next_client_served() {
    let cluster = Cluster::start().await;
    let proxy = proxy(&cluster, "").await;
    // As by Postgres, without a word.
    for bytes in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &[0; 64],
        &[0xff; 64],
        &b"\0\0\x27\x11\0\x03\0\0"[..], // one byte over the cap
        &b"\0\0\0\x0c\x04\xd2\x16\x2e\0\0\0\x01"[..], // a cancel without a key
    ] {
        let said = answer(&proxy, bytes).await;
        assert_eq!(said, b"", "{bytes:?}");
    }
    // GSS and TLS are declined, and the client goes on in the clear.
    let mut both = b"\0\0\0\x08\x04\xd2\x16\x30\0\0\0\x08\x04\xd2\x16\x2f".to_vec();
    both.extend(startup(0x0003_0000, b"user\0a\0database\0app\0\0"));
    let said = answer(&proxy, &both).await;
    assert!(said.starts_with(b"NNR"), "{said:?}");
    proxy.connect("app").await.value("select 1").await;
}

/// Bytes that nobody has read turn a close into a reset, which overtakes the
/// error.
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_arrives_although_more_was_sent() {
    let cluster = Cluster::start().await;
    let proxy = proxy(&cluster, "").await;
    let mut bytes = startup(0x0003_0000, b"user\0a\0database\0none\0\0");
    bytes.resize(bytes.len() + (1 << 16), b'Q');
    for _ in 0..20 {
        let mut stream = TcpStream::connect(("127.0.0.1", proxy.port))
            .await
            .expect("connected");
        stream.write_all(&bytes).await.expect("sent");
        let mut said = Vec::new();
        stream.read_to_end(&mut said).await.expect("no reset");
        assert!(String::from_utf8_lossy(&said).contains("access denied"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_to_clients() {
    let cluster = Cluster::start().await;
    let password = new_password();
    cluster.create_role("app_user", &password).await;
    // Any certificate will do: the cluster's own.
    let directory = cluster.ca().parent().expect("a directory").to_owned();
    for mode in ["allow", "require"] {
        let files = directory.display();
        let lines = format!(
            "tls = \"{mode}\"\ncertificate = \"{files}/server.crt\"\nkey = \"{files}/server.key\""
        );
        let proxy = Proxy::with_one_database(&cluster.secret("app_user", &password), "")
            .listen(&lines)
            .start()
            .await;
        let psql = |sslmode: &str| {
            programs::psql(&format!(
                "{} sslmode={sslmode} sslrootcert={}",
                proxy.dsn("app"),
                cluster.ca().display()
            ))
        };
        let (works, said) = psql("verify-ca");
        assert!(works && said.contains("app_user"), "{mode}: {said}");
        let (works, said) = psql("disable");
        assert_eq!(works, mode == "allow", "{mode}: {said}");
        if mode == "require" {
            assert!(said.contains("this server requires TLS"), "{said}");
        }
        let started = proxy.audit_seen("session.start").await;
        assert_eq!(started[0]["tls"], "TLSv1.3", "{started:?}");

        // Bytes that follow the request before the handshake break it.
        let mut stuffed = b"\0\0\0\x08\x04\xd2\x16\x2f".to_vec();
        stuffed.extend(startup(0x0003_0000, b"user\0a\0database\0app\0\0"));
        let said = answer(&proxy, &stuffed).await;
        assert!(said.starts_with(b"S"), "{said:?}");
        assert!(
            !said.contains(&b'R') && !said.ends_with(b"Z\0\0\0\x05I"),
            "{said:?}"
        );
    }
}
