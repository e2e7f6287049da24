//! The login of a client that replicates: it has a server connection of its own, with its own
//! start-up parameters.

use std::sync::Arc;

use super::{Failed, checkout_error};
use crate::pool::{DedicatedError, Lease, Pool, Quota, Settings};
use crate::upstream::{ConnectError, Wishes};
use crate::wire::startup::Replication;
use crate::wire::{ClientError, NotASetting, SettingName, message};

/// Logs in for a client that replicates.
///
/// # Errors
/// [`Failed`].
pub async fn replicate(
    pool: &Arc<Pool>,
    quota: &Quota,
    client: &Arc<str>,
    kind: Replication,
    settings: &Settings,
) -> Result<Lease, Failed> {
    let settings: Result<Vec<_>, NotASetting> = settings
        .iter()
        .map(|(name, value)| Ok((SettingName::new(name)?, value.clone())))
        .collect();
    let wishes = Wishes::new(Some(kind), settings.map_err(ClientError::from)?);
    let error = match pool.dedicated(quota, client, wishes).await {
        Ok(lease) => return Ok(lease),
        Err(DedicatedError::Checkout(e)) => return Err(checkout_error(pool, e).into()),
        Err(DedicatedError::TooOften) => {
            return Err(ClientError::ReplicationTooOften(pool.name.clone()).into());
        }
        Err(DedicatedError::Login(error)) => error,
    };
    let database = pool.name.clone();
    let failure = error.failure();
    Err(match error {
        ConnectError::Refused {
            sqlstate, message, ..
        } => match sqlstate.as_str() {
            "42501" => ClientError::ReplicationRole(database).into(),
            "28000" => ClientError::ReplicationHba(database).into(),
            // An invalid or unknown parameter, which is the client's.
            "22023" | "42704" => Failed::Parameter(message::ErrorFields {
                sqlstate,
                message,
                ..Default::default()
            }),
            _ => ClientError::Login { database, failure }.into(),
        },
        _ => ClientError::Login { database, failure }.into(),
    })
}
