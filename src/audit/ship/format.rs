//! What a sink is sent of a record.

use serde::Deserialize;

use super::ocsf;
use super::options::{Format, SinkOptions};
use super::tail::Taken;
use super::target::Message;

/// What every form needs of a record.
#[derive(Deserialize)]
struct Head {
    time: String,
    event: String,
    #[serde(default)]
    proxy: String,
    #[serde(default)]
    outcome: Option<String>,
}

/// The message for a record. `origin` names the log.
pub fn message(options: &SinkOptions, taken: &Taken, origin: &str) -> Option<Message> {
    if !options.what.includes(taken.is_checkpoint) {
        return None;
    }
    let head: Head = serde_json::from_slice(&taken.line).ok()?;
    let text = match options.format {
        Format::Pgvalet => taken.line.clone(),
        Format::Ocsf => ocsf::event(&taken.line, origin)?,
    };
    Some(Message {
        seq: taken.seq,
        text,
        failed: head.outcome.as_deref() == Some("failure") || head.event == "gap",
        time: head.time,
        event: head.event,
        proxy: head.proxy,
    })
}
