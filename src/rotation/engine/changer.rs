//! The session that changes the password: which user it has, and where it logs in.

use std::sync::Arc;

use super::Rotator;
use crate::rotation::error::RotationError;
use crate::rotation::ground::Ground;
use crate::rotation::lock::{self, Meeting};
use crate::rotation::plan::Admin;
use crate::rotation::sql::Session;
use crate::secret::Credential;
use crate::upstream::{Options, Target};

impl Rotator<'_> {
    /// Opens the session that changes the password, in the database where the
    /// rotators take the lock; if it is refused there, in its own.
    pub(super) async fn changer(
        &self,
        admin: Option<(Ground, Arc<Target>)>,
        meeting: &Meeting,
        target: &Arc<Target>,
        own: &Arc<Credential>,
    ) -> Result<Session, RotationError> {
        let limit = self.plan.database.connect_timeout;
        let place = admin.as_ref().map_or(target, |(_, place)| place);
        let mut databases = vec![&*meeting.database, &*place.dbname];
        databases.dedup();
        let mut refused = None;
        for database in databases {
            let place = place.in_database(database);
            let session = match &admin {
                Some((ground, _)) => {
                    let secret = &ground.current.credential.secret;
                    let login = ground.login(self.stores, secret, &place, limit).await;
                    login.map(|(session, _)| session)
                }
                None => match Session::open(&place, own, limit).await {
                    // Another rotator has set another password in the meantime.
                    Err(e) if e.is_authentication() => Err(RotationError::NobodyLogsIn {
                        secret: self.plan.secret.clone(),
                        user: own.username.clone(),
                        tried: 1,
                        sqlstate: e.sqlstate().to_owned(),
                        reason: e.to_string(),
                    }),
                    opened => opened.map_err(RotationError::from),
                },
            };
            let session = match session {
                Ok(session) => meeting.same_server(session).await,
                Err(e) => Err(e),
            };
            match session {
                Ok(session) => return Ok(session),
                Err(e) if lock::is_of_the_database(&e) && refused.is_none() => {
                    lock::elsewhere(self.plan, meeting, &e);
                    refused = Some(e);
                }
                Err(e) => return Err(e),
            }
        }
        Err(refused.unwrap_or(RotationError::NoAdmin))
    }

    /// The admin secret, and where its user logs in: at the server where the user
    /// of the secret just logged in, provided that the admin secret or the
    /// configuration says that it is the administrator's server too. The value of
    /// the secret to rotate is not enough, because its writers could send the
    /// administrator's password anywhere.
    pub(super) async fn admin(
        &self,
        admin: &Admin,
        at: &Arc<Target>,
    ) -> Result<(Ground, Arc<Target>), RotationError> {
        let (plan, database) = (self.plan, &self.plan.database);
        let ground = Ground::look(self.stores, &admin.secret).await?;
        let credential = &ground.current.credential;
        let nowhere = |remedy: String| RotationError::AdminNowhere {
            admin: admin.secret.clone(),
            secret: plan.secret.clone(),
            at: format!("{}:{}", at.host, at.port),
            remedy,
        };
        if credential.host.is_none() {
            if database.host.is_none() {
                return Err(nowhere(format!(
                    "set host and port in [database.{}], or in the admin secret",
                    database.name
                )));
            }
            if admin.by_value {
                return Err(nowhere(format!(
                    "write [secret.\"{}\"] admin_secret = \"{}\" into the configuration, or host and port into the admin secret",
                    plan.secret, admin.secret
                )));
            }
        }
        let mut place = Target::resolve(database, credential)?.place_like(at);
        if admin.by_value {
            // The configuration says where this database is. It does not say that
            // the administrator belongs to the same server.
            let mut alone = Options::clone(database);
            (alone.host, alone.port) = (None, None);
            let its = Target::resolve(&alone, credential)?.place_like(at);
            place = place.and_then(|place| its.map(|_| place));
        }
        match place {
            Ok(place) => Ok((ground, place)),
            Err(its) => Err(RotationError::AdminElsewhere {
                admin: admin.secret.clone(),
                secret: plan.secret.clone(),
                database: database.name.clone(),
                its,
                at: format!("{}:{}", at.host, at.port),
            }),
        }
    }
}
