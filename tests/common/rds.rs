//! A stand-in for RDS and its login by IAM: TLS, the password asked for in clear,
//! and a greeting.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::raw::message;

/// The address, the CA to trust, and the passwords it was sent.
pub async fn start(directory: &Path) -> (SocketAddr, PathBuf, Arc<Mutex<Vec<String>>>) {
    let key = rcgen::KeyPair::generate().expect("a key");
    let params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
    let certificate = params.self_signed(&key).expect("a certificate");
    let ca = directory.join("rds.pem");
    std::fs::write(&ca, certificate.pem()).expect("written");
    let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], private)
        .expect("a configuration");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let passwords = Arc::new(Mutex::new(Vec::new()));
    let seen = passwords.clone();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let (acceptor, seen) = (acceptor.clone(), seen.clone());
            tokio::spawn(async move {
                let mut request = [0; 8];
                socket.read_exact(&mut request).await.ok()?;
                socket.write_all(b"S").await.ok()?;
                let mut stream = acceptor.accept(socket).await.ok()?;
                let length = stream.read_u32().await.ok()?;
                let mut startup = vec![0; length as usize - 4];
                stream.read_exact(&mut startup).await.ok()?;
                serve(&mut stream, &seen).await
            });
        }
    });
    (address, ca, passwords)
}

async fn serve(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    seen: &Mutex<Vec<String>>,
) -> Option<()> {
    stream.write_all(&message(b'R', &[0, 0, 0, 3])).await.ok()?;
    stream.flush().await.ok()?;
    if stream.read_u8().await.ok()? != b'p' {
        return None;
    }
    let length = stream.read_u32().await.ok()?;
    let mut password = vec![0; length as usize - 4];
    stream.read_exact(&mut password).await.ok()?;
    let password = String::from_utf8_lossy(&password);
    seen.lock()
        .ok()?
        .push(password.trim_end_matches('\0').to_owned());
    let mut greeting = message(b'R', &[0; 4]);
    greeting.extend(message(b'K', &[0, 0, 0, 1, 0, 0, 0, 2]));
    greeting.extend(message(b'Z', b"I"));
    stream.write_all(&greeting).await.ok()?;
    stream.flush().await.ok()?;
    // Open, until the proxy has had enough; what it asks is answered.
    loop {
        let tag = stream.read_u8().await.ok()?;
        let length = stream.read_u32().await.ok()?;
        let mut body = vec![0; length as usize - 4];
        stream.read_exact(&mut body).await.ok()?;
        if tag == b'Q' {
            stream.write_all(&answer(&body)).await.ok()?;
            stream.flush().await.ok()?;
        }
    }
}

/// The answer has no rows, but for a column that is asked for by its name.
fn answer(query: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(query);
    let mut out = Vec::new();
    if let Some((_, column)) = text.rsplit_once(" AS ") {
        let column = column.trim_end_matches('\0');
        let fields = [&[0, 1][..], column.as_bytes(), &[0; 19]].concat();
        out.extend(message(b'T', &fields));
    }
    out.extend(message(b'C', b"SELECT 0\0"));
    out.extend(message(b'Z', b"I"));
    out
}
