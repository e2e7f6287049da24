//! Requests to Vault's HTTP API, and the token that they need.
//! <https://developer.hashicorp.com/vault/api-docs>

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::{Method, StatusCode, Uri};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use zeroize::Zeroizing;

use crate::net::https::Https;
use crate::secret::StoreError;

/// How long a login that failed waits for the next.
const AGAIN: Duration = Duration::from_secs(2);

/// A token that lasts longer is asked for anew by then.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// How pgvalet logs in to Vault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VaultAuth {
    /// A file with a token, read for each request: Vault Agent replaces it. Where it can be
    /// renewed, pgvalet does so.
    TokenFile(PathBuf),
    /// The service account of a pod (`auth/MOUNT/login`).
    Kubernetes {
        mount: String,
        role: String,
        token_file: PathBuf,
    },
    AppRole {
        mount: String,
        role_id: String,
        secret_id_file: PathBuf,
    },
}

/// Where Vault is, and how to log in there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VaultOptions {
    /// Without a slash at the end.
    pub url: String,
    /// The CA of `url`, instead of those that the system trusts.
    pub ca: Option<PathBuf>,
    pub namespace: Option<String>,
    pub auth: VaultAuth,
}

/// A token that a login gave.
#[derive(Clone)]
struct Token {
    text: Zeroizing<String>,
    /// Which login it is of: leases end with the token that made them.
    login: u64,
    renewable: bool,
    /// `None`: it never ends.
    lease: Option<Lease>,
    lasting: Duration,
}

/// When a token is to be renewed, and when it ends.
type Lease = (Instant, Instant);

fn postpone(lease: &mut Option<Lease>) {
    if let Some((due, _)) = lease {
        *due = Instant::now() + AGAIN;
    }
}

pub(super) struct Client {
    https: Https,
    options: VaultOptions,
    token: Mutex<Option<Token>>,
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

    /// A request with a token. One that was refused may have ended: another login
    /// shows whether that was it.
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

    fn logs_in(&self) -> bool {
        !matches!(self.options.auth, VaultAuth::TokenFile(_))
    }

    /// The number of the login whose token is in use.
    pub async fn login_in_use(&self) -> u64 {
        self.token
            .lock()
            .await
            .as_ref()
            .map_or(0, |token| token.login)
    }

    /// The token, after a login if there is none, or only that of login `refused`.
    async fn token(&self, refused: Option<u64>) -> Result<Token, StoreError> {
        let mut held = self.token.lock().await;
        if let VaultAuth::TokenFile(file) = &self.options.auth {
            let text = read(file)?;
            if let Some(token) = held.as_ref().filter(|token| *token.text == *text) {
                return Ok(token.clone());
            }
            let token = Token {
                text,
                login: held.as_ref().map_or(0, |token| token.login) + 1,
                renewable: true,
                // How long it lasts is asked when it is time to renew it, which is now.
                lease: Some((Instant::now(), Instant::now() + LONGEST)),
                lasting: Duration::ZERO,
            };
            *held = Some(token.clone());
            return Ok(token);
        }
        if let Some(token) = &*held
            && refused != Some(token.login)
            && token.lease.is_none_or(|(_, ends)| Instant::now() < ends)
        {
            return Ok(token.clone());
        }
        let login = held.as_ref().map_or(0, |token| token.login) + 1;
        let token = self.log_in(login).await?;
        *held = Some(token.clone());
        Ok(token)
    }

    async fn log_in(&self, login: u64) -> Result<Token, StoreError> {
        let (mount, body) = match &self.options.auth {
            VaultAuth::Kubernetes {
                mount,
                role,
                token_file,
            } => {
                let jwt = read(token_file)?;
                (mount, json!({"role": role, "jwt": *jwt}))
            }
            VaultAuth::AppRole {
                mount,
                role_id,
                secret_id_file,
            } => {
                let secret_id = read(secret_id_file)?;
                (mount, json!({"role_id": role_id, "secret_id": *secret_id}))
            }
            VaultAuth::TokenFile(_) => {
                return Err(StoreError::Internal("no login is needed".into()));
            }
        };
        let path = format!("auth/{mount}/login");
        let sent = self.send(Method::POST, &path, None, Some(&body)).await;
        let answer = sent.map_err(|e| match e {
            // A login that is refused is no answer about a secret.
            StoreError::InvalidRequest(why) | StoreError::NotFound(why) => StoreError::Denied(why),
            other => other,
        })?;
        token(&answer, login)
    }

    /// Renews the token when half of its time is over, or logs in again where that
    /// gives it little more. Leases of the login before end with it.
    pub async fn keep_token(&self) {
        let mut held = self.token.lock().await;
        let Some(token) = &*held else { return };
        let due = |(half, _): (Instant, Instant)| Instant::now() >= half;
        if !token.lease.is_some_and(due) {
            return;
        }
        let lasting = token.lasting;
        let renewed = match token.renewable {
            true => Some(self.renew(token).await),
            false => None,
        };
        if let Some(Ok(renewed)) = &renewed
            && renewed.lasting >= lasting / 2
        {
            let lasting = lasting.max(renewed.lasting);
            *held = Some(Token {
                lasting,
                ..renewed.clone()
            });
            return;
        }
        let login = token.login + 1;
        let Some(Token { lease, .. }) = &mut *held else {
            return;
        };
        if let VaultAuth::TokenFile(file) = &self.options.auth {
            *lease = self.left_of_file(file, renewed, *lease);
            return;
        }
        match self.log_in(login).await {
            Ok(new) => *held = Some(new),
            // What is left of the old one is used, and the next attempt waits.
            Err(_) => postpone(lease),
        }
    }

    async fn renew(&self, token: &Token) -> Result<Token, StoreError> {
        let path = "auth/token/renew-self";
        let body = json!({});
        let sent = self.send(Method::POST, path, Some(&token.text), Some(&body));
        self::token(&sent.await?, token.login)
    }

    /// What becomes of the lease of a token in a file that was not renewed: somebody else has
    /// to replace it.
    fn left_of_file(
        &self,
        file: &Path,
        renewed: Option<Result<Token, StoreError>>,
        mut lease: Option<Lease>,
    ) -> Option<Lease> {
        let file = file.display();
        match renewed {
            Some(Err(e)) if e.is_transient() => {
                postpone(&mut lease);
                return lease;
            }
            Some(Ok(Token { lasting, .. })) => tracing::warn!(
                "the token of Vault in {file} cannot be renewed beyond {lasting:.0?} from now; put another one there"
            ),
            // One that never ends cannot be renewed, either.
            Some(Err(e)) => tracing::debug!("the token of Vault in {file} is not renewed: {e}"),
            None => {}
        }
        None
    }

    async fn send(
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

fn token(answer: &Value, login: u64) -> Result<Token, StoreError> {
    let auth = &answer["auth"];
    let Some(text) = auth["client_token"].as_str() else {
        return Err(StoreError::Denied(
            "Vault's answer to the login has no token".into(),
        ));
    };
    let lasting = auth["lease_duration"].as_u64().unwrap_or(0);
    let lasting = Duration::from_secs(lasting).min(LONGEST);
    let now = Instant::now();
    Ok(Token {
        text: Zeroizing::new(text.to_owned()),
        login,
        renewable: auth["renewable"].as_bool() == Some(true),
        lease: (!lasting.is_zero()).then(|| (now + lasting / 2, now + lasting)),
        lasting,
    })
}

fn read(file: &PathBuf) -> Result<Zeroizing<String>, StoreError> {
    let text = fs::read_to_string(file)
        .map(Zeroizing::new)
        .map_err(|e| StoreError::Unavailable(format!("{} cannot be read: {e}", file.display())))?;
    let text = text.trim();
    match text.is_empty() || text.contains(char::is_control) {
        false => Ok(Zeroizing::new(text.to_owned())),
        true => Err(StoreError::Unavailable(format!(
            "{} holds no token",
            file.display()
        ))),
    }
}
