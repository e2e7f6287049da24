//! An issuer's keys. They are fetched when they are first needed, renewed in the
//! background, and used beyond their time while the issuer is down.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwapOption;
use hyper::Uri;
use serde::Deserialize;
use tokio::sync::Mutex;
use tracing::warn;

use super::keys::{KeySet, KeysError};
use super::verify::{Rejected, Verified, peek, verify};
use super::{TokenIssuer, TokenKeys};
use crate::net::https::{FetchError, Https};

/// How old keys become before they are renewed in the background.
const FRESH: Duration = Duration::from_secs(15 * 60);
/// How often at most the issuer is asked because a token names an unknown key:
/// anybody can make up tokens.
const ASK_AGAIN: Duration = Duration::from_secs(30);
/// The most bytes that a file of keys may have.
const LARGEST_FILE: u64 = 1024 * 1024;

/// Why keys cannot be had.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Fetch(#[from] FetchError),
    #[error("{from}: {error}")]
    Keys { from: String, error: KeysError },
    #[error("{path}: {error}")]
    File { path: String, error: String },
    #[error("{0} names another issuer or no usable jwks_uri")]
    Discovery(Uri),
}

/// An issuer, and the keys that are known of it.
pub struct Issuer {
    config: Arc<TokenIssuer>,
    https: Https,
    keys: ArcSwapOption<Fetched>,
    /// The last attempt to get keys. The lock is held during an attempt, so that a
    /// thousand tokens cost one request.
    attempt: Mutex<Attempt>,
}

struct Fetched {
    set: KeySet,
    at: Instant,
}

#[derive(Default)]
struct Attempt {
    at: Option<Instant>,
    /// The time at which the file of keys was last changed.
    modified: Option<SystemTime>,
}

impl Issuer {
    pub fn new(config: Arc<TokenIssuer>, https: Https) -> Arc<Self> {
        Arc::new(Self {
            config,
            https,
            keys: ArcSwapOption::empty(),
            attempt: Mutex::default(),
        })
    }

    pub fn config(&self) -> &Arc<TokenIssuer> {
        &self.config
    }

    /// What a token says, if it is one of this issuer's.
    ///
    /// # Errors
    /// [`Rejected`]
    pub async fn verify(self: &Arc<Self>, token: &str) -> Result<Verified, Rejected> {
        let unverified = peek(token)?;
        if unverified.issuer != self.config.issuer {
            return Err(Rejected::UnknownIssuer);
        }
        let fetched = self.fetched().await?;
        match verify(token, &unverified, &self.config, &fetched.set) {
            // The issuer may have begun to sign with a new key.
            Err(Rejected::UnknownKey) if self.renew(ASK_AGAIN).await => {
                let fetched = self.keys.load_full().ok_or(Rejected::KeysUnavailable)?;
                verify(token, &unverified, &self.config, &fetched.set)
            }
            outcome => outcome,
        }
    }

    /// The keys that are known, which are fetched if there are none yet.
    async fn fetched(self: &Arc<Self>) -> Result<Arc<Fetched>, Rejected> {
        if let TokenKeys::File(_) = self.config.keys {
            self.renew(Duration::ZERO).await; // reads the file again if it has changed
        }
        if let Some(fetched) = self.keys.load_full() {
            if fetched.at.elapsed() > FRESH && !matches!(self.config.keys, TokenKeys::File(_)) {
                let issuer = self.clone();
                tokio::spawn(async move { issuer.renew(ASK_AGAIN).await });
            }
            return Ok(fetched);
        }
        self.renew(Duration::from_secs(1)).await;
        self.keys.load_full().ok_or(Rejected::KeysUnavailable)
    }

    /// Fetches the keys, unless that was tried less than `pause` ago. Returns whether
    /// there are other keys than before.
    async fn renew(&self, pause: Duration) -> bool {
        let before = self.keys.load_full();
        let mut attempt = self.attempt.lock().await;
        let now = self.keys.load_full();
        if now.as_ref().map(Arc::as_ptr) != before.as_ref().map(Arc::as_ptr) {
            return true; // another task has fetched them meanwhile
        }
        if attempt.at.is_some_and(|at| at.elapsed() < pause) {
            return false;
        }
        attempt.at = Some(Instant::now());
        match self.load(&mut attempt.modified).await {
            Ok(Some(set)) => {
                let at = Instant::now();
                self.keys.store(Some(Arc::new(Fetched { set, at })));
                true
            }
            Ok(None) => false,
            Err(failure) => {
                let kept = if now.is_some() {
                    "; keeping the keys that are known"
                } else {
                    "; its tokens are refused"
                };
                warn!(issuer = %self.config.issuer, "the issuer's keys cannot be fetched: {failure}{kept}");
                false
            }
        }
    }

    /// Gets the keys from where the configuration says. `None`: they are in a file that
    /// has not changed.
    async fn load(&self, modified: &mut Option<SystemTime>) -> Result<Option<KeySet>, Failure> {
        let (from, bytes) = match &self.config.keys {
            TokenKeys::File(path) => {
                let from = path.display().to_string();
                let failed = |error: String| Failure::File {
                    path: from.clone(),
                    error,
                };
                let metadata = tokio::fs::metadata(path)
                    .await
                    .map_err(|e| failed(e.to_string()))?;
                if metadata.len() > LARGEST_FILE {
                    return Err(failed("the file is larger than 1 MiB".to_owned()));
                }
                let changed = metadata.modified().ok();
                if changed.is_some() && changed == *modified {
                    return Ok(None);
                }
                let bytes = tokio::fs::read(path)
                    .await
                    .map_err(|e| failed(e.to_string()))?;
                *modified = changed;
                (from, bytes.into())
            }
            TokenKeys::Url(uri) => (uri.to_string(), self.https.get(uri, &[]).await?),
            TokenKeys::Discovery(uri) => {
                let uri = self.discover(uri).await?;
                (uri.to_string(), self.https.get(&uri, &[]).await?)
            }
        };
        KeySet::parse(&bytes)
            .map(Some)
            .map_err(|error| Failure::Keys { from, error })
    }

    /// The address of the keys, from the issuer's discovery document. The document has
    /// to name this issuer (OpenID Connect Discovery 1.0, section 4.3).
    async fn discover(&self, document: &Uri) -> Result<Uri, Failure> {
        #[derive(Deserialize)]
        struct Metadata {
            issuer: String,
            jwks_uri: String,
        }
        let bytes = self.https.get(document, &[]).await?;
        let wrong = || Failure::Discovery(document.clone());
        let metadata: Metadata = serde_json::from_slice(&bytes).map_err(|_| wrong())?;
        let uri = super::web_address(&metadata.jwks_uri).map_err(|_| wrong())?;
        if metadata.issuer == self.config.issuer {
            Ok(uri)
        } else {
            Err(wrong())
        }
    }
}
