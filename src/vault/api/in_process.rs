//! The client of the AWS SDK on an API in this process, for tests: it speaks
//! through [`InProcess`] in place of a network.

use std::collections::BTreeMap;
use std::fmt;
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
use parking_lot::Mutex;

use super::reply::Answer;
use super::{Api, ApiError, Caller};

/// A connector in place of a network. It counts the calls, and may forbid an
/// operation.
#[derive(Clone)]
pub struct InProcess {
    api: Arc<Api>,
    calls: Arc<Mutex<BTreeMap<String, usize>>>,
    forbidden: &'static str,
}

impl InProcess {
    pub fn new(api: Arc<Api>, forbidden: &'static str) -> Self {
        Self {
            api,
            calls: Arc::default(),
            forbidden,
        }
    }

    /// Calls of an operation so far.
    pub fn calls(&self, operation: &str) -> usize {
        self.calls.lock().get(operation).copied().unwrap_or(0)
    }

    pub fn client(&self) -> Client {
        // Nobody looks at the signature, but the SDK does not send without one.
        let credentials = Credentials::new("pgvalet", "pgvalet", None, None, "pgvalet");
        let config = Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::from_static("local"))
            .endpoint_url("http://store.invalid")
            .credentials_provider(credentials)
            .retry_config(RetryConfig::disabled())
            .http_client(self.clone())
            .build();
        Client::from_conf(config)
    }
}

impl fmt::Debug for InProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InProcess({:?})", self.calls.lock())
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
        let target = request.headers().get("x-amz-target").unwrap_or_default();
        let target = target.to_owned();
        let operation = target.rsplit('.').next().unwrap_or_default().to_owned();
        let forbidden = operation == self.forbidden;
        *self.calls.lock().entry(operation).or_default() += 1;
        let body = request.body().bytes().unwrap_or_default().to_vec();
        let api = self.api.clone();
        HttpConnectorFuture::new(async move {
            let answer: Answer = match forbidden {
                true => Answer::refusal(ApiError::new("AccessDeniedException", "no")),
                false => {
                    let done = api
                        .run(move |api, draft| api.perform(&Caller::own(), &target, &body, draft));
                    done.await.into()
                }
            };
            let status = answer.status.as_u16().try_into().expect("a status");
            let mut response = HttpResponse::new(status, answer.body.into());
            let headers = response.headers_mut();
            headers.insert("content-type", "application/x-amz-json-1.1");
            headers.insert("x-amzn-requestid", answer.request_id);
            Ok(response)
        })
    }
}
