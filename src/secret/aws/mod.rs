//! AWS Secrets Manager, or a server at another endpoint that speaks its API.

mod agent;
mod batch;
mod error;
mod source;
mod write;

use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::config::Builder;
use axum::http::Uri;

use super::{Manage, Policies, Rotatable, SecretStore, StoreError};
use batch::Batches;

pub use agent::AgentStore;
pub use batch::BATCH;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// The longest attempt. A store that takes five seconds is slow, and still worth waiting for.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(15);
/// The longest operation: all attempts (the SDK's default is three) and the pauses between them.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(40);

/// A client of the Secrets Manager API.
pub struct AwsStore {
    client: Client,
    batches: Batches,
}

impl AwsStore {
    /// Uses a ready client of the SDK.
    pub(crate) fn new(client: Client) -> Self {
        let batches = Batches::new(client.clone(), Duration::ZERO);
        Self { client, batches }
    }

    /// Lets [`current`](super::Source::current) wait up to `window` for questions about other
    /// secrets, so that one call answers many. With zero, the default, it never waits.
    pub fn with_batch_window(mut self, window: Duration) -> Self {
        self.batches = Batches::new(self.client.clone(), window);
        self
    }

    /// Uses region, endpoint and profile as given, else as the AWS SDK finds
    /// them in the environment and in `~/.aws`. Sends nothing to the store.
    ///
    /// # Errors
    /// [`StoreError::InvalidParameter`]: there is no region, or the endpoint is
    /// no URL.
    pub async fn connect(
        region: Option<&str>,
        endpoint_url: Option<&str>,
        profile: Option<&str>,
    ) -> Result<Self, StoreError> {
        let mut loader = aws_config::defaults(BehaviorVersion::latest());
        if let Some(region) = region {
            loader = loader.region(Region::new(region.to_owned()));
        }
        if let Some(url) = endpoint_url {
            loader = loader.endpoint_url(url);
        }
        if let Some(profile) = profile {
            loader = loader.profile_name(profile);
        }
        Self::from_config(&loader.load().await)
    }

    /// Uses a configuration of the SDK. Timeouts that it leaves open are set
    /// here.
    ///
    /// # Errors
    /// Those of [`AwsStore::connect`].
    pub fn from_config(config: &SdkConfig) -> Result<Self, StoreError> {
        if config.region().is_none() {
            return Err(StoreError::InvalidParameter(
                "no AWS region is configured; set [store] region or AWS_REGION".into(),
            ));
        }
        if let Some(url) = config.endpoint_url()
            && !is_http_url(url)
        {
            return Err(StoreError::InvalidParameter(format!(
                "the store's endpoint_url {url:?} is no URL; write it as https://host:port"
            )));
        }
        let ours = TimeoutConfig::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .operation_attempt_timeout(ATTEMPT_TIMEOUT)
            .operation_timeout(OPERATION_TIMEOUT)
            .build();
        let timeouts = match config.timeout_config() {
            Some(theirs) => {
                let mut timeouts = theirs.clone();
                timeouts.take_defaults_from(&ours);
                timeouts
            }
            None => ours,
        };
        let config = Builder::from(config).timeout_config(timeouts).build();
        Ok(Self::new(Client::from_conf(config)))
    }
}

impl SecretStore for AwsStore {
    fn name(&self) -> &'static str {
        "AWS Secrets Manager"
    }

    fn rotatable(&self) -> Result<&dyn Rotatable, StoreError> {
        Ok(self)
    }

    fn manage(&self) -> Result<&dyn Manage, StoreError> {
        Ok(self)
    }

    fn policies(&self) -> Result<&dyn Policies, StoreError> {
        Ok(self)
    }
}

fn is_http_url(url: &str) -> bool {
    url.parse::<Uri>()
        .is_ok_and(|uri| matches!(uri.scheme_str(), Some("http" | "https")))
}

/// The error for an answer that lacks a field it must have.
fn missing(field: &str) -> StoreError {
    StoreError::Internal(format!(
        "the store's answer has no {field}; check that [store] endpoint_url is Secrets Manager"
    ))
}
