//! Asking a running proxy for its status.

use std::time::Duration;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::{Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::{Status, Token};

/// For all of it, connecting included.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Thousands of pools fit; another program's answer has an end.
const LARGEST: usize = 16 * 1024 * 1024;

/// Why there is no status.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error(
        "no proxy answers at {address} ({error}); is pgvalet running, with this configuration?"
    )]
    NotRunning {
        address: String,
        error: std::io::Error,
    },
    #[error("{0} did not answer within 5 seconds")]
    Timeout(String),
    #[error("the proxy at {0} wants another token; check [admin] token_file")]
    Refused(String),
    #[error("what answers at {address} is no pgvalet: {error}")]
    Foreign { address: String, error: String },
}

/// Asks the admin listener at `address` (`host:port`) for `/status`.
pub async fn fetch(address: &str, token: Option<&Token>) -> Result<Status, FetchError> {
    tokio::time::timeout(TIMEOUT, ask(address, token))
        .await
        .unwrap_or_else(|_| Err(FetchError::Timeout(address.to_owned())))
}

async fn ask(address: &str, token: Option<&Token>) -> Result<Status, FetchError> {
    let stream = TcpStream::connect(address)
        .await
        .map_err(|error| FetchError::NotRunning {
            address: address.to_owned(),
            error,
        })?;
    let foreign = |error: &dyn std::fmt::Display| FetchError::Foreign {
        address: address.to_owned(),
        error: error.to_string(),
    };
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|e| foreign(&e))?;
    let mut request = Request::get("/status").header(header::HOST, address);
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, token.header());
    }
    let request = request
        .body(Empty::<Bytes>::new())
        .map_err(|e| foreign(&e))?;
    let answer = async {
        let response = sender
            .send_request(request)
            .await
            .map_err(|e| foreign(&e))?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED => return Err(FetchError::Refused(address.to_owned())),
            other => return Err(foreign(&format!("it answers {other}"))),
        }
        let body = Limited::new(response.into_body(), LARGEST);
        let body = body.collect().await.map_err(|e| foreign(&e))?;
        serde_json::from_slice(&body.to_bytes()).map_err(|e| foreign(&e))
    };
    // The connection has to be driven while the answer is awaited; it may end
    // first, with the answer already in hand.
    let mut answer = std::pin::pin!(answer);
    tokio::select! {
        answer = &mut answer => answer,
        _ = connection => answer.await,
    }
}
