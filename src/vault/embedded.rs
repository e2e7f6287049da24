//! The embedded store: the client of AWS, whose requests do not leave the
//! process. What is true of one store is true of the other, because it is the
//! same code.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::config::http::{HttpRequest, HttpResponse};
use aws_sdk_secretsmanager::config::retry::RetryConfig;
use aws_sdk_secretsmanager::config::{
    BehaviorVersion, Config, Credentials, HttpClient, Region, RuntimeComponents,
};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::result::ConnectorError;
use bytes::Bytes;

use super::api::{Api, Trail};
use super::{KeySource, OpenError, Vault};
use crate::secret::{AwsStore, StoreError};

/// How an embedded store is opened.
pub struct EmbeddedStore;

impl EmbeddedStore {
    /// Opens the store, making file and key where there is nothing yet.
    pub async fn open(path: &Path, key: impl Into<KeySource>) -> Result<AwsStore, StoreError> {
        let vault = Vault::open(path, key).await?;
        Ok(Self::connect(&Api::new(vault, Trail::default())))
    }

    /// The client of an API in this process.
    pub fn connect(api: &Arc<Api>) -> AwsStore {
        AwsStore::new(client(InProcess(api.clone())), Some(api.changes()))
    }
}

/// A client of the SDK whose requests go to `http`.
pub(crate) fn client(http: impl HttpClient + 'static) -> Client {
    // Nobody looks at the signature, but the SDK does not send without one.
    let credentials = Credentials::new("pgvalet", "pgvalet", None, None, "pgvalet");
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static("local"))
        .endpoint_url("http://store.invalid")
        .credentials_provider(credentials)
        // What fails here would fail again at once.
        .retry_config(RetryConfig::disabled())
        .http_client(http)
        .build();
    Client::from_conf(config)
}

/// In the place of a network.
#[derive(Clone)]
pub(crate) struct InProcess(pub(crate) Arc<Api>);

impl fmt::Debug for InProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InProcess")
    }
}

impl HttpClient for InProcess {
    fn http_connector(
        &self,
        _: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for InProcess {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let api = self.0.clone();
        let target = request.headers().get("x-amz-target").map(str::to_owned);
        let body = request.body().bytes().map(Bytes::copy_from_slice);
        HttpConnectorFuture::new(async move {
            let (Some(target), Some(body)) = (target, body) else {
                let error = "a request without a target or a body";
                return Err(ConnectorError::user(error.into()));
            };
            let answer = api.own(target, body).await;
            let status = answer.status.as_u16().try_into();
            let status = status.map_err(|e| ConnectorError::other(Box::new(e), None))?;
            let mut response = HttpResponse::new(status, answer.body.into());
            let headers = response.headers_mut();
            headers.insert("content-type", "application/x-amz-json-1.1");
            headers.insert("x-amzn-requestid", answer.request_id);
            Ok(response)
        })
    }
}

impl From<OpenError> for StoreError {
    fn from(error: OpenError) -> Self {
        let text = error.to_string();
        match error {
            OpenError::KeyMissing { .. }
            | OpenError::KeyUnset(_)
            | OpenError::Altered { .. }
            | OpenError::KeyExposed(..)
            | OpenError::KeyMalformed(_)
            | OpenError::KeyWrong { .. } => Self::Decryption(text),
            OpenError::NotAStore(_) | OpenError::Newer(..) => Self::InvalidParameter(text),
            OpenError::Busy(_) | OpenError::InUse(_) | OpenError::Kms { .. } => {
                Self::Unavailable(text)
            }
            OpenError::Exists(_) => Self::InvalidRequest(text),
            OpenError::Damaged(..)
            | OpenError::Io { .. }
            | OpenError::NoRandomness
            | OpenError::Sqlite(..) => Self::Internal(text),
        }
    }
}
