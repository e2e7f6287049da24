//! Errors of the API.

use axum::http::StatusCode;
use serde_json::json;

use crate::vault::VaultError;

/// An error as Secrets Manager answers it. The text never holds a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    /// `__type`.
    pub kind: &'static str,
    pub message: String,
}

impl ApiError {
    pub fn new(kind: &'static str, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }

    pub fn status(&self) -> StatusCode {
        match self.kind {
            "InternalServiceError" => StatusCode::INTERNAL_SERVER_ERROR,
            "RequestEntityTooLargeException" => StatusCode::PAYLOAD_TOO_LARGE,
            "ThrottlingException" => StatusCode::TOO_MANY_REQUESTS,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    /// The body of the answer. Errors of the service have the field `Message`; errors
    /// of the layer in front of every AWS service have `message`.
    pub fn body(&self) -> Vec<u8> {
        let common = matches!(
            self.kind,
            "AccessDeniedException"
                | "IncompleteSignatureException"
                | "InvalidSignatureException"
                | "MissingAuthenticationTokenException"
                | "SerializationException"
                | "ThrottlingException"
                | "UnknownOperationException"
                | "UnrecognizedClientException"
                | "ValidationException"
                | "RequestEntityTooLargeException"
        );
        let field = if common { "message" } else { "Message" };
        json!({ "__type": self.kind, field: self.message })
            .to_string()
            .into_bytes()
    }
}

impl From<VaultError> for ApiError {
    fn from(error: VaultError) -> Self {
        Self::new(error.aws_type(), error.to_string())
    }
}
