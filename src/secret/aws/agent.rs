//! The AWS Secrets Manager Agent: a cache on this machine that has the credentials of
//! AWS, and answers GetSecretValue over HTTP.
//! <https://github.com/aws/aws-secretsmanager-agent>

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use hyper::{Method, StatusCode, Uri};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::net::https::Https;
use crate::secret::{
    Description, SecretId, SecretStore, SecretValue, Source, StoreError, StoreFuture, VersionId,
    Which,
};

/// The header of the token, which proves that no stranger has made the agent's client
/// send a request.
const TOKEN: &str = "x-aws-parameters-secrets-token";

/// A store that the agent answers for. It knows no labels and lists nothing.
pub struct AgentStore {
    https: Https,
    url: String,
    token_file: PathBuf,
}

impl AgentStore {
    /// # Errors
    /// [`StoreError::InvalidParameter`]: the CAs of the system cannot be used.
    pub fn new(url: &str, token_file: &Path) -> Result<Self, StoreError> {
        let https = Https::new(None).map_err(|e| StoreError::InvalidParameter(e.to_string()))?;
        Ok(Self {
            https,
            url: url.trim_end_matches('/').to_owned(),
            token_file: token_file.to_owned(),
        })
    }

    /// Fetches a version, always from AWS: the agent's own copy may be five minutes old, and a
    /// rotation does not wait for that.
    async fn fetch(&self, id: &SecretId, which: &Which) -> Result<Value, StoreError> {
        let quoted = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let which = match which {
            Which::Stage(stage) => format!("versionStage={}", quoted(stage)),
            Which::Version(version) => format!("versionId={}", quoted(version.as_str())),
        };
        let id = quoted(id.within());
        let url = format!(
            "{}/secretsmanager/get?secretId={id}&{which}&refreshNow=true",
            self.url
        );
        let uri: Uri = url
            .parse()
            .map_err(|_| StoreError::InvalidParameter(format!("{url} is no URL")))?;
        let token = fs::read_to_string(&self.token_file)
            .map(Zeroizing::new)
            .map_err(|e| {
                StoreError::Unavailable(format!(
                    "{}: {e}; is the agent running?",
                    self.token_file.display()
                ))
            })?;
        let headers = [(TOKEN, token.trim())];
        let sent = self
            .https
            .send(Method::GET, &uri, &headers, Bytes::new())
            .await;
        let (status, body) =
            sent.map_err(|e| StoreError::Unavailable(format!("the agent: {e}")))?;
        match status {
            StatusCode::OK => serde_json::from_slice(&body).map_err(|_| super::missing("JSON")),
            _ => Err(refused(status, &body)),
        }
    }
}

/// The error of a call. The agent passes on what AWS has answered, as `{"__type":…,"message":…}` or
/// text.
fn refused(status: StatusCode, body: &[u8]) -> StoreError {
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    let code = answer["__type"].as_str().unwrap_or_default();
    let code = code.rsplit('#').next().unwrap_or_default();
    let said = answer["message"].as_str().or(answer["Message"].as_str());
    let said = match said {
        Some(said) => said.to_owned(),
        None => String::from_utf8_lossy(body).chars().take(200).collect(),
    };
    let text = format!(
        "AWS Secrets Manager Agent: {}",
        said.replace(char::is_control, " ")
    );
    StoreError::of_api(code, status.as_u16(), text)
}

impl Source for AgentStore {
    fn get<'a>(&'a self, id: &'a SecretId, which: &'a Which) -> StoreFuture<'a, SecretValue> {
        Box::pin(async move {
            let mut answer = self.fetch(id, which).await?;
            let text = |name: &'static str| {
                let found = answer[name].as_str();
                found.map(str::to_owned).ok_or_else(|| super::missing(name))
            };
            let (arn, name, version) = (text("ARN")?, text("Name")?, text("VersionId")?);
            if !id.admits(&arn) {
                return Err(StoreError::NotFound(format!(
                    "{id}: the agent answered for {arn}"
                )));
            }
            let stages = answer["VersionStages"].as_array().into_iter().flatten();
            let stages = stages
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect();
            let created = answer["CreatedDate"]
                .as_f64()
                .filter(|at| at.is_finite() && *at >= 0.0);
            let Value::String(value) = answer["SecretString"].take() else {
                return Err(StoreError::binary(id));
            };
            Ok(SecretValue {
                arn: arn.into(),
                name: name.into(),
                version: VersionId::new(version),
                stages,
                created: created
                    .and_then(|at| Duration::try_from_secs_f64(at).ok())
                    .and_then(|at| SystemTime::UNIX_EPOCH.checked_add(at)),
                value: Zeroizing::new(value),
            })
        })
    }

    /// The agent does not say which labels there are: each is asked for.
    fn describe<'a>(&'a self, id: &'a SecretId) -> StoreFuture<'a, Description> {
        Box::pin(async move {
            Err(StoreError::Denied(format!(
                "{id}: the AWS Secrets Manager Agent describes no secrets"
            )))
        })
    }

    fn list(&self) -> StoreFuture<'_, Vec<Description>> {
        Box::pin(async {
            Err(StoreError::Unsupported(
                "the AWS Secrets Manager Agent lists no secrets; ask AWS, as in \
                 `aws secretsmanager list-secrets`"
                    .into(),
            ))
        })
    }

    fn versions<'a>(&'a self, _: &'a SecretId) -> StoreFuture<'a, Vec<VersionId>> {
        Box::pin(async { Ok(Vec::new()) })
    }
}

impl SecretStore for AgentStore {
    fn name(&self) -> &'static str {
        "the AWS Secrets Manager Agent"
    }
}
