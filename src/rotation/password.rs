//! The form in which the server gets the new password.
//!
//! Usually that is a SCRAM verifier, computed here. The password itself is in no
//! statement then, so that neither the server's log with `log_statement = all`
//! nor pg_stat_activity shows it. If a hook of the server checks passwords and
//! refuses what it cannot read, the clear text is sent, provided that the
//! configuration says so.

use super::error::{RotationError, SqlError};
use super::sql::{Session, identifier, literal};
use crate::secret::Password;
use crate::upstream::{Target, verifier};

/// The fewest iterations that Postgres itself uses.
const ITERATIONS: u32 = 4096;

/// What to do where the server stores passwords as md5.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Md5 {
    /// Refuse: somebody may rely on md5, and the configuration does not allow it.
    Refused,
    /// Send a SCRAM verifier: the role logs in with SCRAM.
    Allowed,
    /// Send an md5 hash: the role logs in with md5, and may have clients that know
    /// nothing else.
    InUse,
}

/// How passwords are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Form {
    pub md5: Md5,
    /// Send clear text, which the server checks and hashes.
    pub plaintext: bool,
}

/// A password as it is written in a statement. Deliberately without `Debug`: it may
/// be clear text.
pub struct Stated(String);

impl Stated {
    pub fn clause(&self) -> String {
        format!("PASSWORD {}", literal(&self.0))
    }
}

/// The password in the form for this session's server.
///
/// # Errors
/// [`RotationError::Md5`]: the server stores passwords as md5, and nobody agreed.
pub async fn state(
    session: &mut Session,
    user: &str,
    password: &Password,
    form: Form,
    database: &str,
) -> Result<Stated, RotationError> {
    let doing = "asking how passwords are stored";
    let stored_as = session.value(doing, "SHOW password_encryption").await?;
    let md5 = stored_as == "md5";
    if md5 && form.md5 == Md5::Refused {
        return Err(RotationError::Md5(database.to_owned()));
    }
    let keep_md5 = md5 && form.md5 == Md5::InUse;
    if form.plaintext {
        quiet(session).await?;
        if !keep_md5 {
            let sql = "SET password_encryption = 'scram-sha-256'";
            session.ask("preparing the session", sql).await?;
        }
        return Ok(Stated(password.reveal().to_owned()));
    }
    if keep_md5 {
        let password = password.reveal().as_bytes();
        return Ok(Stated(postgres_protocol::password::md5(password, user)));
    }
    // Postgres 16 and later; the answer is empty where there is no such setting.
    let sql = "SELECT pg_catalog.current_setting('scram_iterations', true)";
    let wished = session
        .value(doing, sql)
        .await?
        .parse()
        .unwrap_or(ITERATIONS);
    // pgvalet itself refuses to log in with more iterations.
    let most = *session.place.scram_iterations.end();
    let iterations = wished.clamp(ITERATIONS.min(most), most);
    let verifier = verifier(password.clone(), iterations).await;
    verifier.map(Stated).map_err(|_| RotationError::Random)
}

impl Form {
    /// Whether this form may be sent to the server.
    ///
    /// # Errors
    /// [`RotationError::Plaintext`]: others on the network could read the clear
    /// text.
    pub fn permitted(self, target: &Target, database: &str) -> Result<(), RotationError> {
        if self.plaintext && target.tls.is_none() && !target.is_local() {
            return Err(RotationError::Plaintext(database.to_owned()));
        }
        Ok(())
    }

    /// Adds a hint where a hook seems to refuse a password that it cannot read.
    /// There is no SQLSTATE for that; these are the codes of known hooks.
    pub fn explain(self, error: SqlError) -> SqlError {
        match error {
            SqlError::Refused {
                doing,
                sqlstate,
                message,
                hint: "",
            } if !self.plaintext && matches!(&*sqlstate, "0A000" | "22023" | "28P01") => {
                SqlError::Refused {
                    doing,
                    sqlstate,
                    message,
                    hint: "; where a hook of the server wants to see passwords in clear, set plaintext = true in rotation (docs/ROTATING.md)",
                }
            }
            error => error,
        }
    }
}

/// Keeps statements out of the server's log, as far as this user has the right.
async fn quiet(session: &mut Session) -> Result<(), SqlError> {
    for setting in [
        "log_statement = 'none'",
        "log_min_duration_statement = -1",
        "log_min_error_statement = 'panic'",
    ] {
        let sql = format!("SET {setting}");
        match session
            .ask("keeping the password out of the log", &sql)
            .await
        {
            // Only superusers may set these, unless granted (Postgres 15 and later).
            Ok(_) | Err(SqlError::Refused { .. }) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// Sets a password. Returns the server's time after the change: every later login
/// used the new password.
pub async fn set(session: &mut Session, user: &str, password: &Stated) -> Result<String, SqlError> {
    let sql = format!(
        "ALTER ROLE {} {}; SELECT pg_catalog.clock_timestamp()",
        identifier(user),
        password.clause()
    );
    session.value("setting the new password", &sql).await
}
