//! OpenTelemetry logs (OTLP over HTTP, in JSON).

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tokio::runtime::Runtime;
use zeroize::Zeroizing;

use super::sinks::runtime;
use super::target::{Message, Target};
use crate::net::otlp::{Endpoint, text, whole};

pub struct Otlp {
    endpoint: Endpoint,
    token_file: Option<PathBuf>,
    runtime: Runtime,
}

/// The severities "INFO" and "WARN".
const INFO: u8 = 9;
const WARN: u8 = 13;

impl Otlp {
    pub fn at(url: &str, token_file: Option<&Path>, ca: Option<&Path>) -> Result<Self, String> {
        Ok(Self {
            endpoint: Endpoint::at(url, ca)?,
            token_file: token_file.map(Path::to_owned),
            runtime: runtime()?,
        })
    }
}

impl Target for Otlp {
    fn send(&mut self, messages: &[Message]) -> Result<(), String> {
        let body = request(messages).to_string();
        let authorization = match &self.token_file {
            None => None,
            Some(path) => {
                let token = fs::read_to_string(path);
                let token = token.map_err(|e| format!("{}: {e}", path.display()))?;
                let token = Zeroizing::new(token);
                Some(Zeroizing::new(format!("Bearer {}", token.trim())))
            }
        };
        let headers: Vec<_> = authorization
            .iter()
            .map(|a| ("authorization", a.as_str()))
            .collect();
        let sent = self
            .endpoint
            .send(&headers, body.into(), "rejectedLogRecords");
        let refused = self.runtime.block_on(sent).map_err(|e| e.to_string())?;
        if refused > 0 {
            let uri = self.endpoint.uri();
            tracing::warn!(%uri, records = refused, "the collector refused audit records");
        }
        Ok(())
    }
}

/// ExportLogsServiceRequest.
fn request(messages: &[Message]) -> Value {
    let records: Vec<Value> = messages.iter().map(record).collect();
    let host = messages.last().map_or("", |m| m.proxy.as_str());
    let (host, process) = host.rsplit_once(':').unwrap_or((host, ""));
    json!({ "resourceLogs": [{
        "resource": { "attributes": [
            text("service.name", "pgvalet"),
            text("service.version", env!("CARGO_PKG_VERSION")),
            text("host.name", host),
            whole("process.pid", process),
        ]},
        "scopeLogs": [{ "scope": { "name": "pgvalet.audit" }, "logRecords": records }],
    }]})
}

fn record(message: &Message) -> Value {
    let time = chrono::DateTime::parse_from_rfc3339(&message.time).ok();
    let nanos = time
        .and_then(|t| t.timestamp_nanos_opt())
        .unwrap_or_default();
    let (number, name) = match message.failed {
        true => (WARN, "WARN"),
        false => (INFO, "INFO"),
    };
    json!({
        "timeUnixNano": nanos.to_string(),
        "observedTimeUnixNano": nanos.to_string(),
        "severityNumber": number,
        "severityText": name,
        "eventName": message.event,
        "body": { "stringValue": String::from_utf8_lossy(&message.text) },
        "attributes": [
            whole("pgvalet.seq", message.seq),
            text("event.name", &message.event),
        ],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_what_otlp_takes() {
        let message = Message {
            seq: 7,
            text: b"{\"v\":2}".to_vec(),
            time: "2026-01-02T03:04:05.678901Z".to_owned(),
            event: "gap".to_owned(),
            proxy: "h:12".to_owned(),
            failed: true,
        };
        let request = request(&[message]);
        let of = &request["resourceLogs"][0];
        assert_eq!(of["resource"]["attributes"][3]["value"]["intValue"], "12");
        let record = &of["scopeLogs"][0]["logRecords"][0];
        assert_eq!(record["timeUnixNano"], "1767323045678901000");
        assert_eq!(record["severityNumber"], 13);
        assert_eq!(record["body"]["stringValue"], "{\"v\":2}");
        assert_eq!(record["attributes"][0]["value"]["intValue"], "7");
    }
}
