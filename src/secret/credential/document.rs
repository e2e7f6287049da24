//! A credential as it is written in the value of a secret.

use std::time::SystemTime;

use serde::Deserialize;
use zeroize::Zeroize;

use super::{Credential, MalformedSecret, Password, UpstreamAuth};
use crate::secret::{SecretId, SecretValue};

/// What other programs call the fields, and what RDS does.
const OTHER_NAMES: [(&str, &str); 10] = [
    ("user", "username"),
    ("User", "username"),
    ("login", "username"),
    ("pass", "password"),
    ("pwd", "password"),
    ("database", "dbname"),
    ("db", "dbname"),
    ("db_name", "dbname"),
    ("hostname", "host"),
    ("server", "host"),
];

/// The first field that stands there under another name, while the right one does not.
fn misnamed(json: &serde_json::Value, fields: &[&str]) -> Option<MalformedSecret> {
    let mut others = OTHER_NAMES.iter();
    let is_one = |(found, meant): &&(&str, &str)| {
        fields.contains(meant) && json.get(found).is_some() && json.get(meant).is_none()
    };
    let (found, meant) = others.find(is_one)?;
    Some(MalformedSecret::Misnamed { found, meant })
}

/// The JSON of RDS secrets. A port may be a number or a string of digits, because
/// both are in use.
#[derive(Deserialize)]
struct Document {
    engine: Option<String>,
    host: Option<String>,
    port: Option<serde_json::Value>,
    dbname: Option<String>,
    username: Option<String>,
    password: Option<String>,
    auth: Option<String>,
}

impl Drop for Document {
    fn drop(&mut self) {
        if let Some(password) = &mut self.password {
            password.zeroize();
        }
    }
}

impl Credential {
    /// Reads the JSON of a secret's value.
    ///
    /// # Errors
    /// [`MalformedSecret`].
    pub fn parse(secret: &SecretId, value: &SecretValue) -> Result<Self, MalformedSecret> {
        let json: serde_json::Value =
            serde_json::from_str(&value.value).map_err(|_| MalformedSecret::NotJson)?;
        if !json.is_object() {
            return Err(MalformedSecret::NotJson);
        }
        are_texts(
            &json,
            &["engine", "host", "dbname", "username", "password", "auth"],
        )?;
        let missing = |field| {
            let other = misnamed(&json, &[field]);
            other.unwrap_or(MalformedSecret::Missing(field))
        };
        let (no_username, no_password) = (missing("username"), missing("password"));
        let mut document: Document =
            serde_json::from_value(json).map_err(|_| MalformedSecret::NotJson)?;

        if let Some(engine) = &document.engine
            && !engine.contains("postgres")
        {
            return Err(MalformedSecret::Engine(engine.clone()));
        }
        let port = port(document.port.as_ref())?;
        let username = text("username", document.username.take())?.ok_or(no_username)?;
        let password = text("password", document.password.take())?.map(Password::new);
        let auth = match document.auth.as_deref() {
            None | Some("password") => UpstreamAuth::Password,
            Some("rds-iam") => UpstreamAuth::RdsIam,
            Some(_) => return Err(MalformedSecret::Invalid("auth")),
        };
        let password = match (password, auth) {
            (Some(password), _) => password,
            // Never sent; a token takes its place.
            (None, UpstreamAuth::RdsIam) => Password::new(String::new()),
            (None, UpstreamAuth::Password) => return Err(no_password),
        };
        Ok(Self {
            secret: secret.clone(),
            arn: value.arn.clone(),
            version: value.version.clone(),
            stages: value.stages.clone(),
            host: text("host", document.host.take())?,
            port,
            dbname: text("dbname", document.dbname.take())?,
            username,
            password,
            auth,
            fetched_at: SystemTime::now(),
        })
    }
}

/// Checks that these fields are texts, if they are there. That is done one by one, because
/// serde's own message would quote the offending value, which may be the password.
fn are_texts(
    json: &serde_json::Value,
    fields: &'static [&'static str],
) -> Result<(), MalformedSecret> {
    let is_text = |field: &&&str| {
        matches!(
            json.get(**field),
            None | Some(serde_json::Value::Null | serde_json::Value::String(_))
        )
    };
    match fields.iter().find(|field| !is_text(field)) {
        Some(field) => Err(MalformedSecret::Invalid(field)),
        None => Ok(()),
    }
}

/// A port as a number or as a text.
fn port(value: Option<&serde_json::Value>) -> Result<Option<u16>, MalformedSecret> {
    let port = match value {
        None | Some(serde_json::Value::Null) => return Ok(None),
        Some(serde_json::Value::Number(n)) => n.as_u64().and_then(|n| u16::try_from(n).ok()),
        Some(serde_json::Value::String(s)) => s.parse().ok(),
        Some(_) => None,
    };
    let port = port.filter(|&port| port != 0);
    port.map(Some).ok_or(MalformedSecret::Invalid("port"))
}

/// A field that is to be sent to a server. A NUL would end it early in every protocol message;
/// a line feed or an escape sequence in a name would reach logs and terminals.
fn text(name: &'static str, value: Option<String>) -> Result<Option<String>, MalformedSecret> {
    let is_odd = |text: &str| match name {
        "password" => text.contains('\0'),
        _ => text.contains(char::is_control),
    };
    match value {
        Some(text) if text.is_empty() || is_odd(&text) => Err(MalformedSecret::Invalid(name)),
        text => Ok(text),
    }
}

/// A field of a value that nothing reads, because it has another name there. The value may be
/// of use nevertheless, where the configuration says the same: that is for whoever stores it
/// to decide.
pub fn unread_field(value: &str) -> Option<MalformedSecret> {
    let json = serde_json::from_str(value).ok()?;
    misnamed(&json, &["dbname", "host"])
}
