//! What a rotation would do, as far as the store tells. Nothing is changed.

use chrono::{DateTime, Utc};

use super::RotationError;
use super::ground::{Ground, Pending};
use super::plan::{Plan, Strategy};
use crate::secret::{SecretId, Source, VersionId, Which};

/// What a rotation would do.
pub struct Preview {
    pub current: VersionId,
    /// When the current version was made.
    pub changed: Option<DateTime<Utc>>,
    pub arn: String,
    pub strategy: Strategy,
    pub admin_secret: Option<SecretId>,
    /// The user of the current version.
    pub user: String,
    /// The user after a rotation.
    pub next_user: String,
    /// A version under AWSPENDING, and whether it has a value: an earlier attempt
    /// left it, or RotateSecret reserved it.
    pub pending: Option<(VersionId, bool)>,
    /// Who rotates the secret instead of pgvalet.
    pub left_to: Option<String>,
}

impl Preview {
    /// Looks at the stores of the secret and of its administrator.
    pub async fn of(plan: &Plan, stores: &dyn Source) -> Result<Self, RotationError> {
        let ground = Ground::look(stores, &plan.secret).await?;
        let changed = stores.get(&plan.secret, &Which::current()).await?.created;
        let user = ground.current.credential.username.clone();
        let strategy = plan.strategy(&ground.current.document);
        let mut next_user = strategy.next_user(&user)?;
        let pending = match &ground.pending {
            Pending::None => None,
            Pending::Reserved(version) => Some((version.clone(), false)),
            Pending::Filled(p) => {
                next_user.clone_from(&p.credential.username);
                Some((p.credential.version.clone(), true))
            }
        };
        let admin = plan.admin(stores, &ground, next_user != user).await?;
        Ok(Self {
            current: ground.version().clone(),
            changed: changed.map(DateTime::from),
            arn: ground.current.credential.arn.to_string(),
            strategy,
            admin_secret: admin.map(|a| a.secret),
            user,
            next_user,
            pending,
            left_to: ground.left_to,
        })
    }
}
