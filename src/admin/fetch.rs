//! The client of a running proxy's admin listener: gets its status, has it look at
//! secrets.
//!
//! It uses hyper's connection directly, because the address may be a unix socket.

use std::time::Duration;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::{Method, Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;
use tokio::net::{TcpStream, UnixStream};

use super::{Done, NotDone, Refreshed, Status, Token};
use crate::admin::AdminAddress;
use crate::net::Socket;

/// For the whole request, connecting included.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Longer, because the proxy asks its secret store, which may be slow.
const LOOK_TIMEOUT: Duration = Duration::from_secs(60);

/// The longest answer in bytes: thousands of pools fit.
const LARGEST: usize = 16 * 1024 * 1024;

/// Why the listener did not answer the request.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error(
        "no proxy answers at {address} ({error}); is pgvalet running, with this configuration?"
    )]
    NotRunning {
        address: String,
        error: std::io::Error,
    },
    #[error("{address} did not answer within {} seconds", limit.as_secs())]
    Timeout { address: String, limit: Duration },
    #[error(
        "the proxy at {0} wants its token: that of [admin] token_file, or, without that key, admin.token beside its audit log, which the user it runs as may read"
    )]
    Refused(String),
    #[error(
        "the proxy at {0} refuses requests under that name; use the [admin] address of its configuration"
    )]
    Misnamed(String),
    /// What the proxy has answered.
    #[error("{}", said(.0))]
    NotDone(NotDone),
    /// It knows nothing of the name that was asked for, as it says.
    #[error("{}", said(.0))]
    Unknown(NotDone),
    #[error("the server at {address} is not pgvalet: {error}")]
    Foreign { address: String, error: String },
}

/// Asks the admin listener at `address` for `/status`.
///
/// # Errors
/// [`FetchError`].
pub async fn fetch(address: &AdminAddress, token: Option<&Token>) -> Result<Status, FetchError> {
    within(
        TIMEOUT,
        address,
        ask(address, token, Method::GET, "/status"),
    )
    .await
}

/// Makes the proxy look at one secret, or at all, now.
///
/// # Errors
/// [`FetchError`].
pub async fn refresh(
    address: &AdminAddress,
    token: Option<&Token>,
    secret: Option<&str>,
) -> Result<Vec<Refreshed>, FetchError> {
    let path = match secret {
        Some(secret) => {
            let name = utf8_percent_encode(secret, NON_ALPHANUMERIC);
            format!("/refresh?secret={name}")
        }
        None => "/refresh".to_owned(),
    };
    within(
        LOOK_TIMEOUT,
        address,
        ask(address, token, Method::POST, &path),
    )
    .await
}

/// Does something, by a path like `/pause?database=orders`; waits for as long as that takes.
///
/// # Errors
/// [`FetchError`].
pub async fn act(
    address: &AdminAddress,
    token: Option<&Token>,
    path: &str,
) -> Result<Done, FetchError> {
    ask(address, token, Method::POST, path).await
}

/// What is there, by a path like `/clients?database=orders`.
///
/// # Errors
/// [`FetchError`].
pub async fn list<T: DeserializeOwned>(
    address: &AdminAddress,
    token: Option<&Token>,
    path: &str,
) -> Result<T, FetchError> {
    within(TIMEOUT, address, ask(address, token, Method::GET, path)).await
}

fn said(answer: &NotDone) -> String {
    match &answer.hint {
        Some(hint) => format!("{}; {}", answer.error, lower(hint)),
        None => answer.error.clone(),
    }
}

/// A sentence as it goes on behind another one.
fn lower(hint: &str) -> String {
    let hint = hint.trim_end_matches('.');
    let (first, rest) = hint.split_at(hint.chars().next().map_or(0, char::len_utf8));
    match rest.starts_with(char::is_lowercase) {
        true => first.to_lowercase() + rest,
        false => hint.to_owned(),
    }
}

async fn within<T>(
    limit: Duration,
    address: &AdminAddress,
    answer: impl Future<Output = Result<T, FetchError>>,
) -> Result<T, FetchError> {
    let timed_out = |_| FetchError::Timeout {
        address: address.to_string(),
        limit,
    };
    tokio::time::timeout(limit, answer)
        .await
        .map_err(timed_out)?
}

async fn ask<T: DeserializeOwned>(
    address: &AdminAddress,
    token: Option<&Token>,
    method: Method,
    path: &str,
) -> Result<T, FetchError> {
    let socket = match address {
        AdminAddress::Tcp(address) => TcpStream::connect(address).await.map(Socket::Tcp),
        AdminAddress::Unix(path) => UnixStream::connect(path).await.map(Socket::Unix),
    };
    let stream = socket.map_err(|error| FetchError::NotRunning {
        address: address.to_string(),
        error,
    })?;
    let host = match address {
        AdminAddress::Tcp(address) => address,
        AdminAddress::Unix(_) => "localhost",
    };
    let foreign = |error: &dyn std::fmt::Display| FetchError::Foreign {
        address: address.to_string(),
        error: error.to_string(),
    };
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|e| foreign(&e))?;
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, host);
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
        let status = response.status();
        let body = Limited::new(response.into_body(), LARGEST);
        let body = body.collect().await.map_err(|e| foreign(&e))?.to_bytes();
        if status != StatusCode::OK
            && let Ok(answer) = serde_json::from_slice::<NotDone>(&body)
        {
            return Err(match status {
                StatusCode::NOT_FOUND => FetchError::Unknown(answer),
                _ => FetchError::NotDone(answer),
            });
        }
        match status {
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED => return Err(FetchError::Refused(address.to_string())),
            StatusCode::FORBIDDEN => return Err(FetchError::Misnamed(address.to_string())),
            other => return Err(foreign(&format!("it answers {other}"))),
        }
        serde_json::from_slice(&body).map_err(|e| foreign(&e))
    };
    // The connection has to be polled while the answer is awaited. It may end first, when
    // the answer has already been read.
    let mut answer = std::pin::pin!(answer);
    tokio::select! {
        answer = &mut answer => answer,
        _ = connection => answer.await,
    }
}
