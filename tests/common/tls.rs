//! A client that speaks TLS by hand: with a certificate, and with a say in
//! what it sends before the handshake.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, HandshakeKind, SignatureScheme};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::Proxy;
use super::pki::ClientCertificate;
use super::raw::{Message, query, start_up};

pub const SSL_REQUEST: &[u8] = b"\0\0\0\x08\x04\xd2\x16\x2f";

/// A verifier that accepts every server: the tests are about the client.
#[derive(Debug)]
struct Anybody(rustls::crypto::WebPkiSupportedAlgorithms);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

/// A configuration remembers TLS sessions, so that a second connection resumes.
pub fn config(certificate: Option<&ClientCertificate>) -> Arc<ClientConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = Arc::new(Anybody(provider.signature_verification_algorithms));
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    Arc::new(match certificate {
        Some(c) => builder
            .with_client_auth_cert(c.chain(), c.key())
            .expect("usable"),
        None => builder.with_no_client_auth(),
    })
}

pub struct Secure {
    stream: TlsStream<TcpStream>,
}

impl Secure {
    /// Reads up to the first ReadyForQuery; an error where that does not come.
    pub async fn connect(
        proxy: &Proxy,
        config: &Arc<ClientConfig>,
        database: &str,
    ) -> Result<Self, String> {
        let mut socket = TcpStream::connect(("127.0.0.1", proxy.port))
            .await
            .expect("connected");
        socket.write_all(SSL_REQUEST).await.expect("sent");
        assert_eq!(socket.read_u8().await.expect("an answer"), b'S');
        let name = ServerName::try_from("localhost").expect("a name");
        let connect = TlsConnector::from(config.clone()).connect(name, socket);
        let stream = connect.await.map_err(|e| e.to_string())?;
        let mut secure = Self { stream };
        let who = [("user", "anyone"), ("database", database)];
        secure.send(&start_up(0x0003_0000, &who)).await?;
        let greeting = secure.until(b'Z').await?;
        match greeting.iter().find(|(tag, _)| *tag == b'E') {
            Some((_, body)) => Err(String::from_utf8_lossy(body).into_owned()),
            None => Ok(secure),
        }
    }

    pub fn resumed(&self) -> bool {
        self.stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    async fn send(&mut self, bytes: &[u8]) -> Result<(), String> {
        let sent = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        sent.await.map_err(|e| e.to_string())
    }

    /// The messages up to one with this tag, or to an error.
    pub async fn until(&mut self, tag: u8) -> Result<Vec<Message>, String> {
        let mut messages: Vec<Message> = Vec::new();
        while messages
            .last()
            .is_none_or(|(last, _)| *last != tag && *last != b'E')
        {
            let next = async {
                let tag = self.stream.read_u8().await?;
                let length = self.stream.read_u32().await?;
                let mut body = vec![0; length as usize - 4];
                self.stream.read_exact(&mut body).await?;
                std::io::Result::Ok((tag, body))
            };
            let next = timeout(Duration::from_secs(15), next)
                .await
                .unwrap_or_else(|_| panic!("nothing within 15 s after {messages:?}"));
            messages.push(next.map_err(|e| e.to_string())?);
        }
        Ok(messages)
    }

    pub async fn ask(&mut self, sql: &str) -> Result<Vec<Message>, String> {
        self.send(&query(sql)).await?;
        self.until(b'Z').await
    }

    /// The message with which the proxy ends the session unasked.
    pub async fn last_words(&mut self) -> String {
        let words = self.until(b'E').await.expect("a farewell");
        String::from_utf8_lossy(&words.last().expect("a message").1).into_owned()
    }
}

/// TLS with a proxy whose certificate `ca` has signed; `direct` is without a
/// request.
pub async fn handshake(
    proxy: &Proxy,
    ca: &Path,
    alpn: &[&[u8]],
    direct: bool,
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(ca).expect("a CA"))
        .expect("usable");
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let mut config = rustls::ClientConfig::builder_with_provider(provider.into())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|p| p.to_vec()).collect();
    let mut socket = TcpStream::connect(("127.0.0.1", proxy.port)).await?;
    if !direct {
        socket.write_all(SSL_REQUEST).await?;
        assert_eq!(socket.read_u8().await?, b'S');
    }
    let name = ServerName::try_from("localhost").expect("a name");
    TlsConnector::from(Arc::new(config))
        .connect(name, socket)
        .await
}

/// Logs in, or asks something; whether that was answered.
pub async fn works(stream: &mut TlsStream<TcpStream>, log_in: bool) -> bool {
    let mut said = Vec::new();
    if log_in {
        let who = [("user", "a"), ("database", "app")];
        if stream
            .write_all(&start_up(0x0003_0000, &who))
            .await
            .is_err()
        {
            return false;
        }
    } else {
        stream.write_all(&query("select 1")).await.expect("sent");
    }
    while !said.ends_with(b"Z\0\0\0\x05I") {
        match stream.read_buf(&mut said).await {
            Ok(0) | Err(_) => return false,
            Ok(_) => {}
        }
    }
    true
}
