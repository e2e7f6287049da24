//! The JSON of a secret's value. A rotation changes the user and the password in
//! it and nothing else.

use serde_json::{Map, Value};
use zeroize::{Zeroize, Zeroizing};

use crate::secret::{MalformedSecret, SecretId};

/// The fields of a value. Wiped when dropped. Deliberately without `Debug`.
#[derive(Clone)]
pub struct Document(Map<String, Value>);

impl Document {
    pub fn parse(text: &str) -> Result<Self, MalformedSecret> {
        match serde_json::from_str(text) {
            Ok(Value::Object(fields)) => Ok(Self(fields)),
            _ => Err(MalformedSecret::NotJson),
        }
    }

    /// The admin secret: `masterarn`, as the rotation templates of AWS have it.
    pub fn admin_secret(&self) -> Option<SecretId> {
        let arn = self.0.get("masterarn")?.as_str()?;
        let usable = !arn.is_empty() && !arn.contains(char::is_control);
        usable.then(|| SecretId::new(arn))
    }

    /// This document with another user and password.
    pub fn with(&self, user: &str, password: &str) -> Zeroizing<String> {
        let mut copy = Value::Object(self.0.clone());
        for (key, text) in [("username", user), ("password", password)] {
            wipe(&mut copy[key]);
            copy[key] = Value::String(text.to_owned());
        }
        let text = Zeroizing::new(copy.to_string());
        wipe(&mut copy);
        text
    }
}

impl Drop for Document {
    fn drop(&mut self) {
        self.0.values_mut().for_each(wipe);
    }
}

fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(items) => items.iter_mut().for_each(wipe),
        Value::Object(fields) => fields.values_mut().for_each(wipe),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_user_and_password_change() {
        let text = r#"{"engine":"postgres","host":"h","port":"5432","masterarn":"arn:x",
            "username":"app","password":"old","tags":["a",{"b":null}],"n":1.50}"#;
        let document = Document::parse(text).expect("an object");
        assert_eq!(document.admin_secret(), Some(SecretId::new("arn:x")));
        let changed = document.with("app_clone", "n\"ew");
        let mut expected: Value = serde_json::from_str(text).expect("JSON");
        expected["username"] = "app_clone".into();
        expected["password"] = "n\"ew".into();
        assert_eq!(
            serde_json::from_str::<Value>(&changed).expect("JSON"),
            expected
        );
    }
}
