//! The token that requests to Vault need: from a file, or from a login; and its renewal.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use hyper::Method;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::client::Client;
use super::options::VaultAuth;
use crate::secret::StoreError;

/// The pause after a login that failed.
const AGAIN: Duration = Duration::from_secs(2);

/// The longest time that a token is used without another login.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// A token that a login gave.
#[derive(Clone)]
pub(super) struct Token {
    pub text: Zeroizing<String>,
    /// The number of the login that gave it: leases end with the token that made them.
    pub login: u64,
    renewable: bool,
    /// The lease of the token; `None` if the token never ends.
    lease: Option<Lease>,
    lasting: Duration,
}

/// When a token is to be renewed, and when it ends.
type Lease = (Instant, Instant);

/// Lets the next renewal wait.
fn postpone(lease: &mut Option<Lease>) {
    if let Some((due, _)) = lease {
        *due = Instant::now() + AGAIN;
    }
}

impl Client {
    /// Whether tokens come from a login, and not from a file.
    pub(super) fn logs_in(&self) -> bool {
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
    pub(super) async fn token(&self, refused: Option<u64>) -> Result<Token, StoreError> {
        let mut held = self.token.lock().await;
        if let VaultAuth::TokenFile(file) = &self.options.auth {
            return token_of_file(file, &mut held);
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

    /// The lease of a token in a file that was not renewed, if another attempt makes sense:
    /// otherwise somebody else has to replace the token.
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
            // A token that never ends cannot be renewed, either.
            Some(Err(e)) => tracing::debug!("the token of Vault in {file} is not renewed: {e}"),
            None => {}
        }
        None
    }
}

/// The token that a file holds now.
fn token_of_file(file: &Path, held: &mut Option<Token>) -> Result<Token, StoreError> {
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
    Ok(token)
}

/// The token in Vault's answer to a login or a renewal.
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

fn read(file: &Path) -> Result<Zeroizing<String>, StoreError> {
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
