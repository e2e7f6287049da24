//! Roles of the database engine: static ones, whose password Vault rotates, and
//! dynamic ones, which make a user for each lease.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::client::Client;
use crate::secret::{SecretId, StoreError};

/// The pause after a renewal that failed.
const AGAIN: Duration = Duration::from_secs(5);
/// The shortest time from the beginning of a lease to its replacement.
const SOONEST: Duration = Duration::from_secs(1);
/// The longest lease that is believed, and that of a user without one.
const WITHOUT: Duration = Duration::from_secs(365 * 24 * 3600);

/// A user that lives as long as its lease.
pub(super) struct Lease {
    id: String,
    renewable: bool,
    /// The length of the lease as it was at first.
    lasting: Duration,
    /// The time at which something has to be done about it.
    pub due: Instant,
    ends: Instant,
    /// The number of the login whose token made the lease, which ends with that token.
    login: u64,
}

/// What there is to do about a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    Good,
    /// The user cannot last much longer, or has ended: a new one takes its place.
    Replace,
}

/// A duration of an answer, of at most a year.
fn seconds(value: &Value) -> Option<Duration> {
    let seconds = value.as_u64()?;
    Some(Duration::from_secs(seconds).min(WITHOUT))
}

/// A user and its password, as the JSON of a credential.
fn credential(id: &SecretId, answer: &Value) -> Result<Zeroizing<String>, StoreError> {
    let (user, password) = (&answer["data"]["username"], &answer["data"]["password"]);
    match (user.as_str(), password.as_str()) {
        (Some(_), Some(_)) => Ok(Zeroizing::new(
            json!({"username": user, "password": password}).to_string(),
        )),
        _ => Err(StoreError::InvalidRequest(format!(
            "{id}: the answer has no username and password; only roles with passwords can be used"
        ))),
    }
}

/// The credential of a static role, and how long Vault leaves its password alone.
pub(super) async fn of_static(
    client: &Client,
    id: &SecretId,
    path: &str,
) -> Result<(Zeroizing<String>, Option<Duration>), StoreError> {
    let answer = client.get(path).await?;
    let ttl = seconds(&answer["data"]["ttl"]);
    Ok((credential(id, &answer)?, ttl))
}

/// A new user of a dynamic role.
pub(super) async fn of_dynamic(
    client: &Client,
    id: &SecretId,
    path: &str,
) -> Result<(Zeroizing<String>, Lease), StoreError> {
    let answer = client.get(path).await?;
    let login = client.login_in_use().await;
    let lasting = seconds(&answer["lease_duration"]).filter(|d| !d.is_zero());
    let lasting = lasting.unwrap_or(WITHOUT);
    let now = Instant::now();
    let lease = Lease {
        id: answer["lease_id"].as_str().unwrap_or_default().to_owned(),
        renewable: answer["renewable"].as_bool() == Some(true),
        lasting,
        due: now + (lasting / 2).max(SOONEST),
        ends: now + lasting,
        login,
    };
    Ok((credential(id, &answer)?, lease))
}

impl Lease {
    /// Does what is due.
    pub async fn keep(&mut self, client: &Client) -> Kept {
        if self.login != client.login_in_use().await {
            return Kept::Replace;
        }
        if Instant::now() < self.due {
            return Kept::Good;
        }
        if !self.renewable {
            return Kept::Replace;
        }
        let body = json!({"lease_id": self.id, "increment": self.lasting.as_secs()});
        match client.put("sys/leases/renew", body).await {
            Ok(answer) => {
                let left = seconds(&answer["lease_duration"]).unwrap_or_default();
                let now = Instant::now();
                self.ends = now + left;
                self.due = now + (left / 2).max(SOONEST);
                // Its longest time is near: what is left is for the change.
                match left < self.lasting / 2 {
                    true => Kept::Replace,
                    false => Kept::Good,
                }
            }
            Err(e) if e.is_transient() && Instant::now() < self.ends => {
                self.due = Instant::now() + AGAIN.min(self.lasting / 8);
                Kept::Good
            }
            Err(_) => Kept::Replace,
        }
    }

    /// Whether Vault still knows the lease: somebody may have revoked it. Where that
    /// may not be asked, it counts as known.
    pub async fn is_there(&self, client: &Client) -> bool {
        let asked = client
            .put("sys/leases/lookup", json!({"lease_id": self.id}))
            .await;
        !matches!(
            asked,
            Err(StoreError::InvalidRequest(_) | StoreError::NotFound(_))
        )
    }
}
