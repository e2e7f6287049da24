//! Searches everything that a proxy writes for passwords.

use std::fs;

use serde_json::Value;

use super::Proxy;

impl Proxy {
    /// Notes a password that the leak scan must look for.
    pub fn watch_for(&self, secret_value: &str) {
        let json: Value = serde_json::from_str(secret_value).unwrap_or_default();
        if let Some(password) = json["password"].as_str() {
            let mut passwords = self.passwords.lock().expect("not poisoned");
            passwords.insert(password.to_owned());
        }
    }

    /// Fails if a password stands in anything that somebody might read.
    pub async fn assert_no_leak(&self) {
        let mut places = self.written();
        places.push(("/metrics".to_owned(), self.metrics().await));
        places.push(("/status".to_owned(), self.status().await.to_string()));
        places.push(("/".to_owned(), self.get("/").await.1));
        self.scan(&places);
    }

    pub(super) fn written(&self) -> Vec<(String, String)> {
        let entries = fs::read_dir(self.directory()).into_iter().flatten();
        let names = entries
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned());
        // Commands beside a running proxy have audit logs of their own.
        names
            .filter(|name| name == "stderr" || name.starts_with("audit"))
            .map(|name| {
                let text = fs::read(self.directory().join(&name)).unwrap_or_default();
                (name, String::from_utf8_lossy(&text).into_owned())
            })
            .collect()
    }

    pub fn scan(&self, places: &[(String, String)]) {
        let Ok(passwords) = self.passwords.lock() else {
            return;
        };
        for (place, text) in places {
            // Not the text itself: it would leak a second time.
            assert!(
                !passwords.iter().any(|password| text.contains(password)),
                "a password stands in {place}"
            );
        }
    }
}
