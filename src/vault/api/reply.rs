//! What goes back to a caller.

use std::io;

use axum::http::StatusCode;
use bytes::Bytes;
use zeroize::Zeroizing;

use super::ApiError;

/// JSON that may hold a value.
pub type Reply = Zeroizing<Vec<u8>>;

/// A vector that wipes what it outgrows: `Vec` would leave a copy behind.
pub struct Growing(pub Reply);

impl Default for Growing {
    fn default() -> Self {
        Self(Zeroizing::new(Vec::with_capacity(1024)))
    }
}

impl Growing {
    pub fn add(&mut self, bytes: &[u8]) {
        let needed = self.0.len() + bytes.len();
        if needed > self.0.capacity() {
            let mut larger = Vec::with_capacity(needed.max(2 * self.0.capacity()));
            larger.extend_from_slice(&self.0);
            self.0 = Zeroizing::new(larger);
        }
        self.0.extend_from_slice(bytes);
    }
}

impl io::Write for Growing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.add(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The answer to a call, as HTTP sends it.
pub struct Answer {
    pub status: StatusCode,
    /// `x-amzn-RequestId`.
    pub request_id: String,
    /// `__type` of an error.
    pub error: Option<&'static str>,
    /// Whether the caller proved to be a principal.
    pub recognised: bool,
    /// Wiped when dropped.
    pub body: Bytes,
}

impl Answer {
    /// The answer to a call that no operation has seen.
    pub fn refusal(error: ApiError) -> Self {
        Self::new(uuid::Uuid::new_v4().to_string(), false, Err(error))
    }

    pub fn new(request_id: String, recognised: bool, result: Result<Reply, ApiError>) -> Self {
        match result {
            Ok(reply) => Self {
                status: StatusCode::OK,
                request_id,
                error: None,
                recognised,
                body: Bytes::from_owner(reply),
            },
            Err(error) => Self {
                status: error.status(),
                request_id,
                error: Some(error.kind),
                recognised,
                body: error.body().into(),
            },
        }
    }
}
