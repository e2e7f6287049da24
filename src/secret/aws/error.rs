//! Errors of the AWS SDK as [`StoreError`]s.

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_secretsmanager::config::http::HttpResponse;
use aws_sdk_secretsmanager::error::{ProvideErrorMetadata, SdkError};

use crate::secret::{SecretId, StoreError};

/// The error of an operation on a secret.
pub fn about<E>(id: &SecretId, error: SdkError<E, HttpResponse>) -> StoreError
where
    E: Error + ProvideErrorMetadata + 'static,
{
    refused(&format!("{id}: "), error)
}

/// The error of an operation. Its text begins with `place` and never holds the body of
/// a request or an answer, because those hold values.
pub fn refused<E>(place: &str, error: SdkError<E, HttpResponse>) -> StoreError
where
    E: Error + ProvideErrorMetadata + 'static,
{
    match &error {
        SdkError::ServiceError(service) => {
            let metadata = service.err().meta();
            let code = metadata.code().unwrap_or_default();
            let status = service.raw().status().as_u16();
            let text = match (metadata.message(), code) {
                (Some(message), _) => format!("{place}{message}"),
                (None, "") => format!("{place}the store answered HTTP {status}"),
                (None, code) => format!("{place}the store answered {code}"),
            };
            StoreError::of_api(code, status, text)
        }
        SdkError::TimeoutError(_) => StoreError::Unavailable(format!(
            "{place}the store did not answer in time; \
             check the network and [store] endpoint_url"
        )),
        SdkError::DispatchFailure(failure) => {
            StoreError::Unavailable(if failure.is_timeout() {
                format!(
                    "{place}the store did not answer in time ({}); \
                     check the network and [store] endpoint_url",
                    causes(failure.as_connector_error().and_then(Error::source))
                )
            } else if failure.is_io() || failure.is_user() || failure.as_other().is_some() {
                format!(
                    "{place}the store cannot be reached ({}); \
                     check the network, [store] region and endpoint_url",
                    causes(failure.as_connector_error().and_then(Error::source))
                )
            } else if let Some(credentials) = credentials_error(&error) {
                format!(
                    "{place}no usable AWS credentials were found ({}); set \
                     AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, [store] profile, or give \
                     this machine a role",
                    causes(Some(credentials))
                )
            } else {
                // Nothing was sent. The causes may quote the whole request, so
                // that they are not repeated.
                format!(
                    "{place}the request could not be prepared; \
                     check the AWS credentials, [store] region and endpoint_url"
                )
            })
        }
        SdkError::ResponseError(response) => {
            let status = response.raw().status().as_u16();
            let text = format!(
                "{place}the answer (HTTP {status}) is not from Secrets Manager; \
                 check [store] endpoint_url"
            );
            match status {
                500.. | 429 => StoreError::Unavailable(text),
                _ => StoreError::Internal(text),
            }
        }
        _ => StoreError::InvalidParameter(format!(
            "{place}the request cannot be made; check [store] region, endpoint_url and profile"
        )),
    }
}

/// The error of the credentials provider, if that is what failed.
fn credentials_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
        .find(|error| error.is::<CredentialsError>())
}

/// The texts of an error and its causes, outermost first, on one line.
fn causes(error: Option<&(dyn Error + 'static)>) -> String {
    let mut texts: Vec<String> = Vec::new();
    for error in std::iter::successors(error, |&error| error.source()) {
        let text = error.to_string();
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        if texts.last() != Some(&text) {
            texts.push(text);
        }
    }
    texts.join(": ")
}
