//! OpenTelemetry logs (OTLP over HTTP, in JSON).

use std::fs;
use std::path::{Path, PathBuf};

use hyper::body::Bytes;
use hyper::{Method, StatusCode, Uri};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use zeroize::Zeroizing;

use super::run::runtime;
use super::target::{Message, Target};
use crate::net::https::Https;

pub struct Otlp {
    uri: Uri,
    token_file: Option<PathBuf>,
    client: Https,
    runtime: Runtime,
}

/// The severities "INFO" and "WARN".
const INFO: u8 = 9;
const WARN: u8 = 13;

impl Otlp {
    pub fn at(url: &str, token_file: Option<&Path>, ca: Option<&Path>) -> Result<Self, String> {
        Ok(Self {
            uri: url.parse().map_err(|e| format!("{url}: {e}"))?,
            token_file: token_file.map(Path::to_owned),
            client: Https::new(ca).map_err(|e| e.to_string())?,
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
        let mut headers = vec![("content-type", "application/json")];
        headers.extend(
            authorization
                .as_ref()
                .map(|a| ("authorization", a.as_str())),
        );
        let sent = self
            .client
            .send(Method::POST, &self.uri, &headers, Bytes::from(body));
        let (status, body) = self.runtime.block_on(sent).map_err(|e| e.to_string())?;
        if status != StatusCode::OK {
            return Err(format!("{} answered with status {status}", self.uri));
        }
        // A collector may take a batch and refuse some of it.
        let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
        let refused = &answer["partialSuccess"]["rejectedLogRecords"];
        let count = refused.as_u64().or_else(|| refused.as_str()?.parse().ok());
        match count {
            Some(n) if n > 0 => {
                // They must not be sent again (OTLP, "Partial Success").
                tracing::warn!(uri = %self.uri, records = n, "the collector refused audit records");
            }
            _ => {}
        }
        Ok(())
    }
}

/// ExportLogsServiceRequest.
fn request(messages: &[Message]) -> Value {
    let text = |key: &str, text: &str| json!({ "key": key, "value": { "stringValue": text } });
    let records: Vec<Value> = messages.iter().map(|m| record(m, &text)).collect();
    let host = messages.last().map_or("", |m| m.proxy.as_str());
    let (host, process) = host.rsplit_once(':').unwrap_or((host, ""));
    json!({ "resourceLogs": [{
        "resource": { "attributes": [
            text("service.name", "pgvalet"),
            text("service.version", env!("CARGO_PKG_VERSION")),
            text("host.name", host),
            json!({ "key": "process.pid", "value": { "intValue": process } }),
        ]},
        "scopeLogs": [{ "scope": { "name": "pgvalet.audit" }, "logRecords": records }],
    }]})
}

fn record(message: &Message, text: &impl Fn(&str, &str) -> Value) -> Value {
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
            json!({ "key": "pgvalet.seq", "value": { "intValue": message.seq.to_string() } }),
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
