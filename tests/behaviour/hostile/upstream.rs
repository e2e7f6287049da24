//! A server that is not what it should be: it gets neither the password nor a
//! client's queries.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use pgvalet::secret::{Credential, Password, SecretId, UpstreamAuth, VersionId};
use pgvalet::upstream::{ConnectError, LoginCache, Target, connect};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const PASSWORD: &str = "the-password-nobody-may-see";

fn credential() -> Credential {
    Credential {
        secret: SecretId::new("s"),
        arn: "arn:s".into(),
        version: VersionId::new("v"),
        stages: Vec::new(),
        host: None,
        port: None,
        dbname: None,
        username: "app".into(),
        password: Password::new(PASSWORD.into()),
        auth: UpstreamAuth::Password,
        fetched_at: std::time::SystemTime::now(),
    }
}

fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    out.extend((body.len() as u32 + 4).to_be_bytes());
    out.extend(body);
    out
}

fn authentication(code: u32, data: &[u8]) -> Vec<u8> {
    message(b'R', &[&code.to_be_bytes()[..], data].concat())
}

const SASL: u32 = 10;
const CONTINUE: u32 = 11;
const FINAL: u32 = 12;

fn mechanisms() -> Vec<u8> {
    authentication(SASL, b"SCRAM-SHA-256\0\0")
}

/// Reads a message of the client, without its tag and length.
async fn read(stream: &mut TcpStream, tagged: bool) -> Vec<u8> {
    if tagged && stream.read_u8().await.is_err() {
        return Vec::new(); // the proxy has left
    }
    let length = stream.read_u32().await.expect("a length") as usize;
    let mut body = vec![0; length - 4];
    stream.read_exact(&mut body).await.expect("a body");
    body
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Trick {
    Cleartext,
    Md5,
    OkAtOnce,
    OkAfterTheFirstMessage,
    OkWithoutSignature,
    WrongSignature,
    TooManyIterations,
    TooFewIterations,
    NoBinding,
    HugeSalt,
    MegabyteSalt,
    HugeMessage,
    ForeignNonce,
    OtherMechanism,
}

/// Plays the trick on one connection; what it was sent after the start-up packet.
async fn play(listener: TcpListener, trick: Trick) -> Vec<u8> {
    let (mut stream, _) = listener.accept().await.expect("a client");
    read(&mut stream, false).await;
    let mut script = match trick {
        Trick::Cleartext => authentication(3, b""),
        Trick::Md5 => authentication(5, b"salt"),
        Trick::OkAtOnce => authentication(0, b""),
        Trick::OtherMechanism => authentication(SASL, b"PLAIN\0\0"),
        Trick::HugeMessage => [&b"R\x3f\xff\xff\xff"[..], &[0; 64]].concat(),
        _ => mechanisms(),
    };
    stream.write_all(&script).await.expect("sent");
    let mut heard = Vec::new();
    if script == mechanisms() {
        let first = read(&mut stream, true).await;
        if first.is_empty() {
            return heard; // it did not even begin
        }
        let text = String::from_utf8_lossy(&first).into_owned();
        let nonce = text.split("r=").nth(1).expect("a nonce").to_owned();
        heard.extend(first);
        let server_first = |nonce: &str, salt: &str, iterations: u64| {
            authentication(
                CONTINUE,
                format!("r={nonce},s={salt},i={iterations}").as_bytes(),
            )
        };
        let extended = format!("{nonce}server");
        script = match trick {
            Trick::OkAfterTheFirstMessage => authentication(0, b""),
            Trick::TooManyIterations => server_first(&extended, "c2FsdA==", 1 << 31),
            Trick::TooFewIterations => server_first(&extended, "c2FsdA==", 4095),
            Trick::HugeSalt => server_first(&extended, &"A".repeat(1 << 15), 4096),
            Trick::MegabyteSalt => server_first(&extended, &"A".repeat(1 << 20), 4096),
            Trick::ForeignNonce => server_first("other", "c2FsdA==", 4096),
            _ => server_first(&extended, "c2FsdA==", 4096),
        };
        // Whoever finds fault with the beginning does not wait for the rest.
        let _ = stream.write_all(&script).await;
        if matches!(trick, Trick::WrongSignature | Trick::OkWithoutSignature) {
            heard.extend(read(&mut stream, true).await);
            if matches!(trick, Trick::WrongSignature) {
                let signature = format!("v={}", BASE64_STANDARD.encode([7; 32]));
                stream
                    .write_all(&authentication(FINAL, signature.as_bytes()))
                    .await
                    .expect("sent");
            }
            let mut welcome = authentication(0, b"");
            welcome.extend(message(b'Z', b"I"));
            stream.write_all(&welcome).await.expect("sent");
        }
    }
    // To its end: whatever else the proxy gives away.
    let _ = stream.read_to_end(&mut heard).await;
    heard
}

async fn login(trick: Trick, allow: bool) -> (Option<ConnectError>, Vec<u8>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let target = Arc::new(Target {
        database: "d".into(),
        host: "127.0.0.1".into(),
        port: listener.local_addr().expect("bound").port(),
        dbname: "app".into(),
        tls: None,
        tcp: Default::default(),
        allow_md5: allow,
        allow_cleartext: allow,
        verified: false,
        by_certificate: false,
        require_channel_binding: trick == Trick::NoBinding,
        scram_iterations: 4096..=100_000,
        auth: UpstreamAuth::Password,
        attrs: Default::default(),
        places: Vec::new(),
        shortcut: None,
    });
    let server = tokio::spawn(play(listener, trick));
    let limit = Duration::from_secs(10);
    let error = connect(&target, &credential(), &LoginCache::default(), limit)
        .await
        .err();
    (error, server.await.expect("the server played its part"))
}

#[tokio::test]
async fn a_hostile_server_learns_nothing_and_is_not_trusted() {
    for trick in [
        Trick::Cleartext,
        Trick::Md5,
        Trick::OkAtOnce,
        Trick::OkAfterTheFirstMessage,
        Trick::OkWithoutSignature,
        Trick::WrongSignature,
        Trick::TooManyIterations,
        Trick::TooFewIterations,
        Trick::NoBinding,
        Trick::HugeSalt,
        Trick::MegabyteSalt,
        Trick::HugeMessage,
        Trick::ForeignNonce,
        Trick::OtherMechanism,
    ] {
        let (error, heard) = login(trick, false).await;
        let error = error.unwrap_or_else(|| panic!("{trick:?}: trusted"));
        assert!(
            matches!(
                error,
                ConnectError::Unsafe { .. }
                    | ConnectError::Protocol { .. }
                    | ConnectError::Iterations { .. }
            ),
            "{trick:?}: {error}"
        );
        assert!(
            !error.is_authentication(),
            "{trick:?} says nothing about the credential"
        );
        assert!(!error.to_string().contains(PASSWORD), "{trick:?}: {error}");
        let heard = String::from_utf8_lossy(&heard).into_owned();
        assert!(
            !heard.contains(PASSWORD),
            "{trick:?}: the password went out"
        );
    }
}

/// The counterpart: without a permission nothing goes out, with it it does.
#[tokio::test]
async fn what_is_permitted_is_done() {
    let (_, heard) = login(Trick::Cleartext, true).await;
    assert!(String::from_utf8_lossy(&heard).contains(PASSWORD));
    let (_, heard) = login(Trick::Md5, true).await;
    let hash = postgres_protocol::authentication::md5_hash(b"app", PASSWORD.as_bytes(), *b"salt");
    assert!(String::from_utf8_lossy(&heard).contains(&hash));
}

/// A stand-in for RDS: asks for the password in clear, over TLS, and takes what
/// looks like a token of this user. Its host is in no region, so AWS_REGION says it.
#[tokio::test(flavor = "multi_thread")]
async fn rds_gets_a_token_and_never_the_password() {
    use crate::common::{Proxy, eventually};
    let directory = tempfile::tempdir().expect("a directory");
    let (address, ca, tokens) = crate::common::rds::start(directory.path()).await;
    let secret = serde_json::json!({
        "username": "iam_user", "host": "localhost", "port": address.port(),
        "dbname": "app", "auth": "rds-iam",
    });
    let more = format!("tls = \"verify-full\"\ntls_ca = \"{}\"", ca.display());
    let proxy = Proxy::with_one_database(&secret.to_string(), &more)
        .environment("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
        .environment("AWS_SECRET_ACCESS_KEY", "not-to-be-sent")
        .environment("AWS_REGION", "eu-west-1")
        .start()
        .await;
    let token = eventually("a login", Duration::from_secs(20), async || {
        tokens.lock().expect("no panic").first().cloned()
    })
    .await;
    let port = address.port();
    assert!(token.starts_with(&format!(
        "localhost:{port}/?Action=connect&DBUser=iam%5Fuser&"
    )));
    assert!(token.contains("eu%2Dwest%2D1%2Frds%2Ddb"), "{token}");
    assert!(!token.contains("not-to-be-sent"));
    assert_eq!(
        proxy.audit_seen("server.open").await[0]["reason"],
        "rds-iam"
    );
    assert!(!proxy.log().contains("X-Amz-Signature"));
}
