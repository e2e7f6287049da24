//! Observations of a proxy: its log, its audit log, its metrics and its status.

use std::fs;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;

use super::Proxy;
use crate::common::{eventually, http};

impl Proxy {
    /// Standard error (and output) so far. Lines are written by a thread of the
    /// proxy's own, a moment after what they tell of: this reads until nothing more
    /// comes.
    pub fn log(&self) -> String {
        let read = || fs::read_to_string(self.directory().join("stderr")).unwrap_or_default();
        let deadline = Instant::now() + Duration::from_secs(2);
        let mut text = read();
        loop {
            std::thread::sleep(Duration::from_millis(30));
            let more = read();
            if more.len() == text.len() || Instant::now() > deadline {
                return more;
            }
            text = more;
        }
    }

    /// The audit log, a record a line. A line that is still being written is
    /// left out.
    pub fn audit(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.directory().join("audit.jsonl")).unwrap_or_default();
        let complete = text.rfind('\n').map_or("", |end| &text[..end]);
        complete
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
            .collect()
    }

    /// The records of an event, as soon as there is one: the log is written behind
    /// the session.
    pub async fn audit_seen(&self, event: &str) -> Vec<Value> {
        eventually(event, Duration::from_secs(5), || async {
            let records = self.audit_of(event);
            (!records.is_empty()).then_some(records)
        })
        .await
    }

    pub fn audit_of(&self, event: &str) -> Vec<Value> {
        let mut records = self.audit();
        records.retain(|record| record["event"] == event);
        records
    }

    /// Changes the file, and waits until it was read again.
    pub async fn reload(&self, change: impl FnOnce(String) -> String) {
        let text = fs::read_to_string(self.config()).expect("the configuration");
        fs::write(self.config(), change(text)).expect("written");
        let before = self.audit_of("reload").len();
        self.signal(Signal::SIGHUP);
        eventually("the reload", Duration::from_secs(10), || async {
            (self.audit_of("reload").len() > before).then_some(())
        })
        .await;
    }

    pub async fn metrics(&self) -> String {
        let (status, text) = self.get("/metrics").await;
        assert_eq!(status, 200, "{text}");
        text
    }

    /// The sum of all series of a metric whose labels contain `labels`
    /// (as they are written: `secret="app"`); `None` when there is no such series.
    pub async fn metric(&self, name: &str, labels: &[&str]) -> Option<f64> {
        let text = self.metrics().await;
        let values: Vec<f64> = text
            .lines()
            .filter(|line| {
                line.strip_prefix(name)
                    .is_some_and(|rest| rest.starts_with(['{', ' ']))
                    && labels.iter().all(|label| line.contains(label))
            })
            .filter_map(|line| line.rsplit(' ').next()?.parse().ok())
            .collect();
        (!values.is_empty()).then(|| values.iter().sum())
    }

    pub async fn status(&self) -> Value {
        let (code, text) = self.get("/status").await;
        assert_eq!(code, 200, "{text}");
        serde_json::from_str(&text).expect("JSON")
    }

    pub async fn get(&self, path: &str) -> (u16, String) {
        http::get(self.admin_port, path)
            .await
            .unwrap_or_else(|| panic!("no answer to {path}:\n{}", self.log()))
    }

    /// Waits until so many clients were denied, and for these reasons.
    pub async fn wait_denied(&self, reasons: &[&str]) {
        let what = format!("denials are recorded: {reasons:?}");
        eventually(&what, Duration::from_secs(5), || async {
            let denied = self.audit_of("session.deny");
            let found: Vec<&str> = denied.iter().filter_map(|r| r["reason"].as_str()).collect();
            (found == reasons).then_some(())
        })
        .await;
    }

    /// Waits until a version is the one that new logins use.
    pub async fn wait_in_force(&self, secret: &str, version: &str) {
        let labels = [
            format!("secret=\"{secret}\""),
            format!("version=\"{version}\""),
        ];
        eventually(
            &format!("version {version} of {secret} is in force"),
            Duration::from_secs(20),
            || async {
                let value = self
                    .metric("pgvalet_secret_version_info", &[&labels[0], &labels[1]])
                    .await;
                (value == Some(1.0)).then_some(())
            },
        )
        .await;
    }
}
