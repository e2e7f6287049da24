//! Wrapping the master key with AWS KMS. KMS never sees a secret: it encrypts and
//! decrypts the 32 bytes of the key, once when pgvalet starts.
//!
//! Region, endpoint and credentials are those that the AWS SDK finds in the
//! environment and in `~/.aws`.

use std::future::Future;
use std::time::Duration;

use aws_config::BehaviorVersion;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_kms::Client;
use aws_sdk_kms::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_kms::primitives::Blob;
use zeroize::Zeroizing;

use super::OpenError;
use super::key::Key;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const OPERATION_TIMEOUT: Duration = Duration::from_secs(20);

/// The encryption context. KMS authenticates it with the ciphertext, CloudTrail
/// shows it, and a policy of the KMS key can require it.
const CONTEXT: (&str, &str) = ("pgvalet", "master key of a store");

/// Wraps a key (Encrypt). Blocks; see [`run`].
pub fn wrap(key_id: &str, key: &Key) -> Result<Vec<u8>, OpenError> {
    run(key_id, async {
        let plain = Blob::new(key.bytes());
        let request = client().await.encrypt().key_id(key_id).plaintext(plain);
        let answer = request
            .encryption_context(CONTEXT.0, CONTEXT.1)
            .send()
            .await
            .map_err(|e| describe(&e))?;
        let wrapped = answer.ciphertext_blob.map(Blob::into_inner);
        wrapped.ok_or_else(|| "its answer holds no ciphertext".to_owned())
    })
}

/// Unwraps a key (Decrypt). Blocks; see [`run`].
pub fn unwrap(key_id: &str, wrapped: Vec<u8>) -> Result<Key, OpenError> {
    run(key_id, async {
        let request = client().await.decrypt().key_id(key_id);
        let answer = request
            .ciphertext_blob(Blob::new(wrapped))
            .encryption_context(CONTEXT.0, CONTEXT.1)
            .send()
            .await
            .map_err(|e| describe(&e))?;
        let plain = answer.plaintext.map(|p| Zeroizing::new(p.into_inner()));
        plain
            .and_then(|plain| Key::from_bytes(&plain))
            .ok_or_else(|| "its answer holds no key of 32 bytes".to_owned())
    })
}

async fn client() -> Client {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_timeout(OPERATION_TIMEOUT)
        .build();
    let config = aws_config::defaults(BehaviorVersion::latest())
        .timeout_config(timeouts)
        .load()
        .await;
    Client::new(&config)
}

/// What KMS answered, or why it could not be asked. Never quotes the request.
fn describe<E: ProvideErrorMetadata + std::error::Error + 'static, R: std::fmt::Debug>(
    error: &SdkError<E, R>,
) -> String {
    match error {
        SdkError::ServiceError(service) => {
            let meta = service.err().meta();
            let code = meta.code().unwrap_or("an error");
            match meta.message() {
                Some(message) => format!("it answered {code}: {message}"),
                None => format!("it answered {code}"),
            }
        }
        SdkError::TimeoutError(_) => "it did not answer in time".to_owned(),
        SdkError::DispatchFailure(failure) => match failure.as_connector_error() {
            Some(e) => format!("it cannot be reached: {}", DisplayErrorContext(e)),
            None => "it cannot be reached".to_owned(),
        },
        _ => "its answer was not understood".to_owned(),
    }
}

/// Runs a call on a thread and a runtime of its own, because stores are opened on
/// blocking threads, where no reactor runs.
fn run<T: Send>(
    key_id: &str,
    call: impl Future<Output = Result<T, String>> + Send,
) -> Result<T, OpenError> {
    let result = std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(|e| e.to_string())?
                .block_on(call)
        });
        thread
            .join()
            .unwrap_or_else(|_| Err("asking it did not end well".to_owned()))
    });
    result.map_err(|problem| OpenError::Kms {
        key_id: key_id.to_owned(),
        problem,
    })
}
