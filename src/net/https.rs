//! An HTTPS client for small documents: the keys of a token issuer, the answers of STS and Vault,
//! records of the audit log.
//!
//! Redirects are not followed, so that only the address in the configuration is asked.

use std::path::Path;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::{Method, Request, StatusCode, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::time::timeout;

use super::tls::{self, TlsError};

/// The limit of the whole request, connecting included.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The longest body in bytes; a set of keys has a few kilobytes.
const LARGEST: usize = 1024 * 1024;

/// Why there is no document.
#[derive(Debug, Clone, thiserror::Error)]
pub enum FetchError {
    #[error("{uri} cannot be reached: {error}")]
    Unreachable { uri: Uri, error: String },
    #[error("{0} did not answer within 10 seconds")]
    Timeout(Uri),
    #[error("{uri} answered with status {status}")]
    Status { uri: Uri, status: StatusCode },
    #[error("the answer of {uri} broke off or is larger than a megabyte")]
    Body { uri: Uri },
}

impl FetchError {
    /// The error without the address.
    pub fn kind(&self) -> String {
        match self {
            Self::Unreachable { error, .. } => error.clone(),
            Self::Timeout(_) => "no answer within 10 seconds".to_owned(),
            Self::Status { status, .. } => format!("status {status}"),
            Self::Body { .. } => "the answer broke off".to_owned(),
        }
    }
}

/// The client. It keeps connections for reuse, and is cheap to clone.
#[derive(Clone)]
pub struct Https {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

impl Https {
    /// Trusts the roots of the system, or only those of `ca`.
    ///
    /// # Errors
    /// [`TlsError`] where there are no usable roots.
    pub fn new(ca: Option<&Path>) -> Result<Self, TlsError> {
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls::for_web(ca)?)
            .https_or_http() // the configuration admits http:// on loopback only
            .enable_http1()
            .build();
        Ok(Self {
            client: Client::builder(TokioExecutor::new()).build(connector),
        })
    }

    /// Sends a GET with these headers besides the client's own, and returns the body.
    ///
    /// # Errors
    /// [`FetchError`], also for a status other than 200.
    pub async fn get(&self, uri: &Uri, headers: &[(&str, &str)]) -> Result<Bytes, FetchError> {
        match self.send(Method::GET, uri, headers, Bytes::new()).await? {
            (StatusCode::OK, body) => Ok(body),
            (status, _) => Err(FetchError::Status {
                uri: uri.clone(),
                status,
            }),
        }
    }

    /// Sends a request, with JSON if there is a body; returns the status and the body,
    /// whatever the status.
    ///
    /// # Errors
    /// [`FetchError`], never [`FetchError::Status`].
    pub async fn send(
        &self,
        method: Method,
        uri: &Uri,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<(StatusCode, Bytes), FetchError> {
        timeout(TIMEOUT, self.ask(method, uri, headers, body))
            .await
            .unwrap_or_else(|_| Err(FetchError::Timeout(uri.clone())))
    }

    async fn ask(
        &self,
        method: Method,
        uri: &Uri,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<(StatusCode, Bytes), FetchError> {
        let unreachable = |error: String| FetchError::Unreachable {
            uri: uri.clone(),
            error,
        };
        let given = |name: &str| headers.iter().any(|(n, _)| n.eq_ignore_ascii_case(name));
        let mut request = Request::builder().method(method).uri(uri);
        if !given("accept") {
            request = request.header("accept", "application/json");
        }
        if !body.is_empty() && !given("content-type") {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request
            .body(Full::new(body))
            .map_err(|e| unreachable(e.to_string()))?;
        let answer = self
            .client
            .request(request)
            .await
            .map_err(|e| unreachable(cause(&e)))?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), LARGEST).collect().await;
        body.map(|body| (status, body.to_bytes()))
            .map_err(|_| FetchError::Body { uri: uri.clone() })
    }
}

/// The innermost cause; the outer ones only say "client error (Connect)".
fn cause(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
