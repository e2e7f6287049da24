//! The span of a session, for OpenTelemetry: made when it has ended, from what the registry
//! knows of it.

use std::time::SystemTime;

use super::greet::Failed;
use super::serve::Session;
use crate::audit::SessionTotals;
use crate::net::Peer;
use crate::telemetry::{Attribute, Kind, Span, SpanEvent};

impl Session {
    /// `why` is what the client was told, if it did not end the session itself.
    pub(super) fn span(&self, totals: &SessionTotals, why: Option<&Failed>) -> Span {
        let handle = &self.handle;
        let ended = SystemTime::now();
        let id = handle.id.to_string();
        let mut attributes = vec![
            ("db.system.name", Attribute::from("postgresql")),
            ("db.namespace", handle.database().into()),
            ("pgvalet.session", id.as_str().into()),
            ("pgvalet.client", (&handle.client).into()),
            ("pgvalet.user", (&handle.user).into()),
            ("pgvalet.transactions", totals.transactions.into()),
            ("pgvalet.bytes_in", totals.bytes_in.into()),
            ("pgvalet.bytes_out", totals.bytes_out.into()),
        ];
        match &handle.evidence.peer {
            Peer::Tcp(address) => {
                let ip = address.ip().to_string();
                attributes.push(("client.address", ip.as_str().into()));
                attributes.push(("client.port", u64::from(address.port()).into()));
            }
            Peer::Unix { .. } => attributes.push(("network.transport", "unix".into())),
        }
        if let Some(version) = handle.tls {
            attributes.push(("tls.protocol.version", version.into()));
        }
        if let Some(why) = why {
            attributes.push(("db.response.status_code", why.sqlstate().into()));
        }
        let uses = handle
            .versions()
            .into_iter()
            .map(|(credential, at)| SpanEvent {
                at,
                name: "credential.use",
                attributes: vec![
                    ("pgvalet.secret", (&credential.secret).into()),
                    ("pgvalet.version", (&credential.version).into()),
                ],
            });
        Span {
            name: format!("session {}", handle.database()),
            kind: Kind::Server,
            // A session that has moved here began in another process.
            began: ended.checked_sub(totals.duration).unwrap_or(ended),
            ended,
            attributes,
            events: uses.collect(),
            failed: why.map(|why| match why {
                Failed::Client(error) => error.to_string(),
                // A server may quote what the client has sent.
                Failed::Parameter(_) => "the server refused a setting".to_owned(),
            }),
        }
    }
}
