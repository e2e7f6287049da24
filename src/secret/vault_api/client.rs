//! Requests to Vault's HTTP API. `token` is about the token that they need.
//! <https://developer.hashicorp.com/vault/api-docs>

use bytes::Bytes;
use hyper::{Method, StatusCode, Uri};
use serde_json::Value;
use tokio::sync::Mutex;

use super::options::VaultOptions;
use super::token::Token;
use crate::net::https::Https;
use crate::secret::StoreError;

/// Vault's API, for whoever holds a token.
pub(super) struct Client {
    https: Https,
    pub(super) options: VaultOptions,
    pub(super) token: Mutex<Option<Token>>,
}

impl Client {
    /// # Errors
    /// [`StoreError::InvalidParameter`]: the CA cannot be used.
    pub fn new(options: VaultOptions) -> Result<Self, StoreError> {
        let https = Https::new(options.ca.as_deref())
            .map_err(|e| StoreError::InvalidParameter(format!("[store] tls_ca: {e}")))?;
        Ok(Self {
            https,
            options,
            token: Mutex::new(None),
        })
    }

    pub async fn get(&self, path: &str) -> Result<Value, StoreError> {
        self.call(Method::GET, path, None).await
    }

    pub async fn put(&self, path: &str, body: Value) -> Result<Value, StoreError> {
        self.call(Method::PUT, path, Some(body)).await
    }

    /// Sends a request with a token. A token that was refused may have ended: another login
    /// shows whether that was the reason.
    async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<Value, StoreError> {
        let token = self.token(None).await?;
        let first = self
            .send(method.clone(), path, Some(&token.text), body.as_ref())
            .await;
        match first {
            Err(StoreError::Denied(_)) if self.logs_in() => {
                let token = self.token(Some(token.login)).await?;
                self.send(method, path, Some(&token.text), body.as_ref())
                    .await
            }
            answered => answered,
        }
    }

    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        token: Option<&str>,
        body: Option<&Value>,
    ) -> Result<Value, StoreError> {
        let url = format!("{}/v1/{path}", self.options.url);
        let uri: Uri = url
            .parse()
            .map_err(|_| StoreError::InvalidParameter(format!("{url} is no URL")))?;
        let mut headers = vec![("x-vault-request", "true")];
        headers.extend(token.map(|token| ("x-vault-token", token)));
        headers.extend(
            self.options
                .namespace
                .as_deref()
                .map(|n| ("x-vault-namespace", n)),
        );
        let body = body.map_or_else(Bytes::new, |body| body.to_string().into());
        let answered = self.https.send(method, &uri, &headers, body).await;
        let (status, body) = answered.map_err(|e| StoreError::Unavailable(e.to_string()))?;
        let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
        match status {
            StatusCode::OK | StatusCode::NO_CONTENT => Ok(answer),
            _ => Err(error(status, path, &answer)),
        }
    }
}

/// What Vault says is wrong. Its texts name paths and leases, never values.
fn error(status: StatusCode, path: &str, answer: &Value) -> StoreError {
    let said = answer["errors"].as_array().into_iter().flatten();
    let said: Vec<&str> = said.filter_map(Value::as_str).map(str::trim).collect();
    let said = match said.is_empty() {
        true => format!("status {}", status.as_u16()),
        false => said.join("; ").replace(['\n', '\t'], " "),
    };
    let text = format!("Vault, {path}: {said}");
    match status.as_u16() {
        300..=399 => StoreError::Unavailable(format!(
            "{text}, which sends to another address; point [store] endpoint_url at the active \
             node or a load balancer"
        )),
        401 | 403 => StoreError::Denied(text),
        404 => StoreError::NotFound(text),
        // 412: a replica that has not caught up; 429: a standby, or too many requests;
        // 472, 473: other replicas; 503: sealed.
        412 | 429 | 472 | 473 | 500.. => StoreError::Unavailable(text),
        _ => StoreError::InvalidRequest(text),
    }
}
