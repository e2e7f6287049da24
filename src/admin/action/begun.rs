//! What an action has begun, and what it takes until it is done.

use std::sync::Arc;

use tokio::task::JoinHandle;

use super::ActionError;
use crate::admin::operations::Upgrade;
use crate::admin::status::Refreshed;
use crate::pool::Pool;

/// What was begun.
#[derive(Default)]
pub struct Begun {
    /// What else there is to say.
    pub notices: Vec<String>,
    pub refreshed: Vec<Refreshed>,
    /// What it takes until it is done, where that is not done at once.
    pub rest: Rest,
}

/// What is to be waited for.
#[derive(Default)]
pub enum Rest {
    #[default]
    Nothing,
    /// The connections of these pools have to be given back and closed.
    Released(Vec<Arc<Pool>>),
    /// Those connections of these pools have to be closed that were open before RECONNECT.
    Reconnected(Vec<Arc<Pool>>),
    Rotated(JoinHandle<Result<Arc<str>, String>>),
    Upgraded(Upgrade),
}

impl Rest {
    /// Waits for it; what there is to say then.
    ///
    /// # Errors
    /// [`ActionError`].
    pub async fn done(self) -> Result<Vec<String>, ActionError> {
        match self {
            Self::Nothing => {}
            Self::Released(pools) => {
                for pool in pools {
                    pool.released().await;
                }
            }
            Self::Reconnected(pools) => {
                for pool in pools {
                    pool.reconnected().await;
                }
            }
            Self::Rotated(task) => {
                let ended = task.await.unwrap_or_else(|e| Err(e.to_string()));
                let version = ended.map_err(ActionError::Failed)?;
                return Ok(vec![format!("AWSCURRENT is {version} now")]);
            }
            Self::Upgraded(upgrade) => {
                return Ok(vec![upgrade.await.map_err(ActionError::Failed)?]);
            }
        }
        Ok(Vec::new())
    }
}
