//! OpenTelemetry's protocol (OTLP) over HTTP, in JSON: the way to a collector, and the forms that
//! logs, traces and metrics have in common.

use std::fmt::Display;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use hyper::body::Bytes;
use hyper::{Method, StatusCode, Uri};
use serde_json::{Value, json};

use super::https::{FetchError, Https};

/// Why a collector has not taken a request.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    #[error(transparent)]
    Unreachable(#[from] FetchError),
    #[error("{uri} answered with status {status}")]
    Status { uri: Uri, status: StatusCode },
}

impl SendError {
    /// Whether the same request may be taken later ("Retryable Response Codes").
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable(_) => true,
            Self::Status { status, .. } => matches!(status.as_u16(), 429 | 502 | 503 | 504),
        }
    }
}

/// Where one kind of data is posted.
#[derive(Clone)]
pub struct Endpoint {
    uri: Uri,
    client: Https,
}

impl Endpoint {
    /// `ca`: the authorities of its certificate; `None`: those of the system. Nothing is
    /// connected yet.
    ///
    /// # Errors
    /// It can never work.
    pub fn at(url: &str, ca: Option<&Path>) -> Result<Self, String> {
        Ok(Self {
            uri: url.parse().map_err(|e| format!("{url}: {e}"))?,
            client: Https::new(ca).map_err(|e| e.to_string())?,
        })
    }

    pub fn uri(&self) -> &Uri {
        &self.uri
    }

    /// Posts a request. `refused` is the field of the answer that counts what the collector
    /// refuses of a request that it takes; the count is returned, and those must not be sent
    /// again ("Partial Success").
    ///
    /// # Errors
    /// The collector has taken nothing.
    pub async fn send(
        &self,
        headers: &[(&str, &str)],
        body: Bytes,
        refused: &str,
    ) -> Result<u64, SendError> {
        let (status, body) = self
            .client
            .send(Method::POST, &self.uri, headers, body)
            .await?;
        if status != StatusCode::OK {
            return Err(SendError::Status {
                uri: self.uri.clone(),
                status,
            });
        }
        let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
        let count = &answer["partialSuccess"][refused];
        let count = count.as_u64().or_else(|| count.as_str()?.parse().ok());
        Ok(count.unwrap_or_default())
    }
}

/// A `KeyValue` with a text.
pub fn text(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}

/// A `KeyValue` with a whole number, which is text in JSON, as all 64-bit numbers of Protobuf are.
pub fn whole(key: &str, value: impl Display) -> Value {
    json!({ "key": key, "value": { "intValue": value.to_string() } })
}

/// Nanoseconds since 1970.
pub fn nanos(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_nanos().to_string()
}
