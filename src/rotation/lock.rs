//! The lock among the rotators of pgvalet.
//!
//! An advisory lock excludes only sessions of the same database, and two proxies
//! may use two databases of one server with one role. So all rotators take the
//! lock in one database of the server: `postgres`, or else the first one that the
//! role may connect to. The session that holds the lock also changes the password,
//! so that nobody else gets the lock while a statement of a dead rotator is still
//! running.

use tokio::time::{Instant, sleep};
use tracing::warn;

use super::engine::PAUSE;
use super::error::{RotationError, SqlError};
use super::plan::Plan;
use super::roles::CLONE;
use super::sql::Session;
use crate::upstream::ConnectError;

/// The database in which the rotators of a role take the lock.
pub struct Meeting {
    pub database: String,
    /// The time at which the server was started, which tells it apart from others.
    server: String,
}

/// The question which database that is, asked in a session of the role that is rotated. The answer
/// is the same in every database.
const DATABASE: &str = "SELECT datname FROM pg_catalog.pg_database
     WHERE datallowconn AND NOT datistemplate AND datconnlimit OPERATOR(pg_catalog.<>) -2
       AND pg_catalog.has_database_privilege(session_user, oid, 'CONNECT')
     ORDER BY datname OPERATOR(pg_catalog.<>) 'postgres', oid LIMIT 1";
const SERVER: &str = "SELECT pg_catalog.to_char(pg_catalog.timezone('UTC',
     pg_catalog.pg_postmaster_start_time()), 'YYYYMMDDHH24MISSUS')";

impl Meeting {
    pub async fn of(own: &mut Session) -> Result<Self, SqlError> {
        let doing = "looking for the database to lock in";
        Ok(Self {
            database: own.value(doing, DATABASE).await?,
            server: own.value(doing, SERVER).await?,
        })
    }

    /// Checks that a session is on the server that was asked. A pooler on the way
    /// may lead each database to another server.
    pub async fn same_server(&self, mut session: Session) -> Result<Session, RotationError> {
        let doing = "finding out which server this is";
        if session.value(doing, SERVER).await? == self.server {
            return Ok(session);
        }
        let at = session.place.to_string();
        session.close().await;
        Err(RotationError::OtherServer(at))
    }
}

/// Whether another database of the server may accept the login.
pub fn is_of_the_database(error: &RotationError) -> bool {
    let sqlstate = match error {
        RotationError::OtherServer(_) => return true,
        RotationError::Connect(ConnectError::Refused { sqlstate, .. })
        | RotationError::NobodyLogsIn { sqlstate, .. } => sqlstate.as_str(),
        _ => return false,
    };
    // pg_hba.conf refuses it; there is no such database; no right to connect; and
    // the codes of poolers.
    matches!(sqlstate, "28000" | "3D000" | "42501" | "55000" | "08P01")
}

/// Warns that the lock is taken in another database than the common one.
pub fn elsewhere(plan: &Plan, meeting: &Meeting, error: &RotationError) {
    warn!(
        secret = %plan.secret,
        "rotators of this server meet in database \"{}\", which cannot be used, so that only those of the same dbname exclude each other: {error}",
        meeting.database
    );
}

/// Takes the locks of the role and of the secret, and waits for them if need be.
/// Both end with the session, however that ends.
pub async fn take(
    session: &mut Session,
    arn: &str,
    role: &str,
    plan: &Plan,
) -> Result<(), RotationError> {
    // Users that take turns count as one role.
    let role = match role.strip_suffix(CLONE) {
        Some(original) if !original.is_empty() => original,
        _ => role,
    };
    let of_role = key(&format!("pgvalet rotates role {role}"));
    let of_secret = key(&format!("pgvalet rotates {arn}"));
    let deadline = Instant::now() + plan.patience;
    loop {
        let Some(held) = attempt(session, of_role, of_secret).await? else {
            return Ok(());
        };
        if Instant::now() >= deadline {
            let by = holder(session, held).await?;
            return Err(RotationError::Busy(plan.secret.clone(), by));
        }
        sleep(PAUSE).await;
    }
}

/// Takes both locks or none, because two rotators that hold one each would wait
/// for each other for ever. Returns the lock that somebody else has.
async fn attempt(
    session: &mut Session,
    of_role: i64,
    of_secret: i64,
) -> Result<Option<i64>, SqlError> {
    const DOING: &str = "taking the lock";
    let lock = |key: i64| format!("SELECT pg_catalog.pg_try_advisory_lock({key})");
    if session.value(DOING, &lock(of_role)).await? != "t" {
        return Ok(Some(of_role));
    }
    if session.value(DOING, &lock(of_secret)).await? != "t" {
        let back = format!("SELECT pg_catalog.pg_advisory_unlock({of_role})");
        session.value(DOING, &back).await?;
        return Ok(Some(of_secret));
    }
    Ok(None)
}

/// Who holds a lock, for the error message: anybody on the server may.
async fn holder(session: &mut Session, key: i64) -> Result<String, SqlError> {
    let [high, low] = [key.cast_unsigned() >> 32, key.cast_unsigned() & 0xffff_ffff];
    let sql = format!(
        "SELECT pg_catalog.concat('role \"', a.usename, '\", pid ', l.pid)
         FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
         WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
           AND l.classid::bigint = {high} AND l.objid::bigint = {low} LIMIT 1"
    );
    session.value("looking who has the lock", &sql).await
}

fn key(text: &str) -> i64 {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    let bytes = digest.as_ref().iter().take(8);
    bytes
        .fold(0_u64, |k, b| k << 8 | u64::from(*b))
        .cast_signed()
}
