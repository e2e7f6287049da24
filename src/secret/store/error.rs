//! Why a store did not do what was asked.

use crate::secret::SecretId;

/// Why a store did not do what was asked. No variant ever holds a value.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// ResourceNotFoundException: no such secret, version or label.
    #[error("{0}")]
    NotFound(String),
    /// ResourceExistsException.
    #[error("{0}")]
    Exists(String),
    /// InvalidParameterException, ValidationException.
    #[error("{0}")]
    InvalidParameter(String),
    /// InvalidRequestException: the request is well-formed, but the secret is not in
    /// the state for it.
    #[error("{0}")]
    InvalidRequest(String),
    /// DecryptionFailure: the key does not open the value, or the value was altered.
    #[error("{0}")]
    Decryption(String),
    /// AccessDeniedException, or credentials that the store does not accept.
    #[error("{0}")]
    Denied(String),
    /// The store could not be reached or did not answer. Another try may help.
    #[error("{0}")]
    Unavailable(String),
    /// The store's own fault: its file is damaged, its disk is full.
    #[error("{0}")]
    Internal(String),
    /// The operation does not exist in this kind of store.
    #[error("{0}")]
    Unsupported(String),
}

impl StoreError {
    /// An error of the Secrets Manager API, classified by its code where that is
    /// known, else by the HTTP status: servers that imitate the API differ in codes
    /// first.
    pub(crate) fn of_api(code: &str, status: u16, text: String) -> Self {
        match code {
            "ResourceNotFoundException" => Self::NotFound(text),
            "ResourceExistsException" => Self::Exists(text),
            "InvalidParameterException" | "ValidationException" | "InvalidNextTokenException" => {
                Self::InvalidParameter(text)
            }
            "InvalidRequestException"
            | "LimitExceededException"
            | "PreconditionNotMetException" => Self::InvalidRequest(text),
            "DecryptionFailure" | "EncryptionFailure" => Self::Decryption(text),
            // Short-lived credentials are renewed: asking again helps.
            "ExpiredTokenException" | "ExpiredToken" | "RequestExpired" => Self::Unavailable(
                format!("{text} (the AWS credentials have expired; renew them)"),
            ),
            "AccessDeniedException"
            | "AccessDenied"
            | "UnrecognizedClientException"
            | "InvalidClientTokenId"
            | "InvalidSignatureException"
            | "SignatureDoesNotMatch"
            | "IncompleteSignature"
            | "MissingAuthenticationToken"
            | "MissingAuthenticationTokenException"
            | "NotAuthorized"
            | "OptInRequired" => Self::Denied(text),
            "ThrottlingException"
            | "Throttling"
            | "TooManyRequestsException"
            | "RequestLimitExceeded"
            | "InternalServiceError"
            | "InternalFailure"
            | "ServiceUnavailable"
            | "ServiceUnavailableException" => Self::Unavailable(text),
            _ => match status {
                404 => Self::NotFound(text),
                401 | 403 => Self::Denied(text),
                429 | 500.. => Self::Unavailable(text),
                _ => Self::InvalidRequest(text),
            },
        }
    }

    pub(crate) fn binary(id: &SecretId) -> Self {
        Self::InvalidRequest(format!(
            "{id}: the secret holds SecretBinary, but pgvalet needs text; store it as SecretString"
        ))
    }

    /// This error with what it is about in front of its text.
    #[must_use]
    pub fn about(self, what: &str) -> Self {
        self.with_text(|text| format!("{what}: {text}"))
    }

    /// The error of a store with a name: it says so, and which table of the configuration to see
    /// to.
    #[must_use]
    pub fn of_named(self, title: &str) -> Self {
        let named = self.with_text(|text| text.replace("[store] ", &format!("{title} ")));
        named.about(title)
    }

    fn with_text(self, with: impl FnOnce(String) -> String) -> Self {
        match self {
            Self::NotFound(text) => Self::NotFound(with(text)),
            Self::Exists(text) => Self::Exists(with(text)),
            Self::InvalidParameter(text) => Self::InvalidParameter(with(text)),
            Self::InvalidRequest(text) => Self::InvalidRequest(with(text)),
            Self::Decryption(text) => Self::Decryption(with(text)),
            Self::Denied(text) => Self::Denied(with(text)),
            Self::Unavailable(text) => Self::Unavailable(with(text)),
            Self::Internal(text) => Self::Internal(with(text)),
            Self::Unsupported(text) => Self::Unsupported(with(text)),
        }
    }

    /// Whether the same question may get an answer later, with nobody changing
    /// anything. A last known good version is used only while this is true.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Internal(_))
    }

    /// A short word for metrics and audit records.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::NotFound(_) => "not_found",
            Self::Exists(_) => "exists",
            Self::InvalidParameter(_) => "invalid_parameter",
            Self::InvalidRequest(_) => "invalid_request",
            Self::Decryption(_) => "decryption",
            Self::Denied(_) => "denied",
            Self::Unavailable(_) => "unavailable",
            Self::Internal(_) => "internal",
            Self::Unsupported(_) => "unsupported",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_first_and_the_status_where_there_is_none() {
        for (code, status, kind) in [
            ("ResourceNotFoundException", 400, "not_found"),
            ("", 404, "not_found"),
            ("ResourceExistsException", 400, "exists"),
            ("ValidationException", 400, "invalid_parameter"),
            ("LimitExceededException", 400, "invalid_request"),
            ("DecryptionFailure", 400, "decryption"),
            ("AccessDeniedException", 400, "denied"),
            ("UnrecognizedClientException", 400, "denied"),
            ("Whatever", 403, "denied"),
            ("ExpiredTokenException", 400, "unavailable"),
            ("ThrottlingException", 400, "unavailable"),
            ("InternalServiceError", 500, "unavailable"),
            ("", 503, "unavailable"),
            ("Whatever", 400, "invalid_request"),
        ] {
            assert_eq!(
                StoreError::of_api(code, status, String::new()).kind(),
                kind,
                "{code} {status}"
            );
        }
    }
}
