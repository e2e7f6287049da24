//! The messages that pgvalet writes itself, and readers for the few server messages
//! whose bodies it inspects.

use super::frame::{HEADER, cstr};
use super::tag::{backend, field, frontend, object};

/// Appends a message: tag, length, and what `body` writes.
pub(crate) fn message(out: &mut Vec<u8>, tag: u8, body: impl FnOnce(&mut Vec<u8>)) {
    out.push(tag);
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    body(out);
    // No message that pgvalet writes comes near 4 GiB.
    let length = (out.len() - at) as u32;
    out[at..at + 4].copy_from_slice(&length.to_be_bytes());
}

/// Appends a NUL-terminated string, without the NULs in it.
pub(super) fn text(out: &mut Vec<u8>, text: &str) {
    // A NUL would end the field early, and the reader would lose the frame.
    for part in text.as_bytes().split(|&b| b == 0) {
        out.extend_from_slice(part);
    }
    out.push(0);
}

/// Appends ErrorResponse.
pub fn error_response(
    out: &mut Vec<u8>,
    severity: &str,
    sqlstate: &str,
    said: &str,
    hint: Option<&str>,
) {
    let tag = backend::ERROR_RESPONSE;
    response(out, tag, severity, [sqlstate, said], hint);
}

/// Appends NoticeResponse.
pub fn notice_response(out: &mut Vec<u8>, sqlstate: &str, said: &str, hint: Option<&str>) {
    let tag = backend::NOTICE_RESPONSE;
    response(out, tag, "NOTICE", [sqlstate, said], hint);
}

fn response(
    out: &mut Vec<u8>,
    tag: u8,
    severity: &str,
    [sqlstate, said]: [&str; 2],
    hint: Option<&str>,
) {
    message(out, tag, |out| {
        for (field, value) in [
            (field::SEVERITY, severity),
            (field::SEVERITY_NONLOCALIZED, severity),
            (field::CODE, sqlstate),
            (field::MESSAGE, said),
        ] {
            out.push(field);
            text(out, value);
        }
        if let Some(hint) = hint {
            out.push(field::HINT);
            text(out, hint);
        }
        out.push(0);
    });
}

/// Appends ErrorResponse for a client of protocol 1 or 2, which has no length and no fields.
/// Postgres still answers such a client.
pub fn error_response_v2(out: &mut Vec<u8>, severity: &str, said: &str) {
    out.push(backend::ERROR_RESPONSE);
    text(out, &format!("{severity}:  {said}\n"));
}

pub fn authentication_ok(out: &mut Vec<u8>) {
    message(out, backend::AUTHENTICATION, |out| out.extend([0; 4]));
}

pub fn authentication_cleartext_password(out: &mut Vec<u8>) {
    message(out, backend::AUTHENTICATION, |out| {
        out.extend(3u32.to_be_bytes())
    });
}

/// Appends AuthenticationSASL with the mechanisms that the client may choose from.
pub fn authentication_sasl(out: &mut Vec<u8>, mechanisms: &[&[u8]]) {
    message(out, backend::AUTHENTICATION, |out| {
        out.extend(10u32.to_be_bytes());
        for mechanism in mechanisms {
            out.extend(*mechanism);
            out.push(0);
        }
        out.push(0);
    });
}

pub fn authentication_sasl_continue(out: &mut Vec<u8>, data: &[u8]) {
    message(out, backend::AUTHENTICATION, |out| {
        out.extend(11u32.to_be_bytes());
        out.extend(data);
    });
}

pub fn parameter_status(out: &mut Vec<u8>, name: &str, value: &str) {
    message(out, backend::PARAMETER_STATUS, |out| {
        text(out, name);
        text(out, value);
    });
}

pub fn parse_complete(out: &mut Vec<u8>) {
    message(out, backend::PARSE_COMPLETE, |_| {});
}

pub fn ready_for_query(out: &mut Vec<u8>, status: u8) {
    message(out, backend::READY_FOR_QUERY, |out| out.push(status));
}

/// Appends Query.
pub fn query(out: &mut Vec<u8>, sql: &str) {
    message(out, frontend::QUERY, |out| text(out, sql));
}

/// Appends Parse: the name, then `tail`, which is the rest of the body (query text,
/// parameter types).
pub fn parse(out: &mut Vec<u8>, name: &str, tail: &[u8]) {
    message(out, frontend::PARSE, |out| {
        text(out, name);
        out.extend(tail);
    });
}

pub fn close_statement(out: &mut Vec<u8>, name: &str) {
    message(out, frontend::CLOSE, |out| {
        out.push(object::STATEMENT);
        text(out, name);
    });
}

pub fn describe_statement(out: &mut Vec<u8>, name: &str) {
    message(out, frontend::DESCRIBE, |out| {
        out.push(object::STATEMENT);
        text(out, name);
    });
}

/// Appends Bind and Execute of a statement without parameters, in a portal of the same
/// name, and Close of the portal.
pub fn execute(out: &mut Vec<u8>, name: &str) {
    message(out, frontend::BIND, |out| {
        text(out, name);
        text(out, name);
        out.extend([0; 6]);
    });
    message(out, frontend::EXECUTE, |out| {
        text(out, name);
        out.extend([0; 4]);
    });
    message(out, frontend::CLOSE, |out| {
        out.push(object::PORTAL);
        text(out, name);
    });
}

pub fn flush(out: &mut Vec<u8>) {
    message(out, frontend::FLUSH, |_| {});
}

pub fn sync(out: &mut Vec<u8>) {
    message(out, frontend::SYNC, |_| {});
}

pub fn terminate(out: &mut Vec<u8>) {
    message(out, frontend::TERMINATE, |_| {});
}

/// The fields of an ErrorResponse or NoticeResponse that pgvalet acts on.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct ErrorFields {
    pub severity: String,
    pub sqlstate: String,
    pub message: String,
}

impl ErrorFields {
    /// Reads the whole message, header included. Fields that are missing stay empty: a
    /// server may leave out the SQLSTATE (CVE-2026-6666).
    pub fn read(message: &[u8]) -> Self {
        let mut fields = Self::default();
        let mut rest = message.get(HEADER..).unwrap_or_default();
        while let Some((&field, after)) = rest.split_first() {
            let Some(value) = cstr(after) else { break };
            let slot = match field {
                field::SEVERITY if fields.severity.is_empty() => Some(&mut fields.severity),
                // The severity that is never translated wins.
                field::SEVERITY_NONLOCALIZED => Some(&mut fields.severity),
                field::CODE => Some(&mut fields.sqlstate),
                field::MESSAGE => Some(&mut fields.message),
                _ => None,
            };
            if let Some(slot) = slot {
                *slot = String::from_utf8_lossy(value).into_owned();
            }
            rest = &after[value.len() + 1..];
        }
        fields
    }

    /// Whether the server closes the connection after this message.
    pub fn is_fatal(&self) -> bool {
        self.severity == "FATAL" || self.severity == "PANIC"
    }
}

/// The ErrorResponse with one name replaced by another.
pub fn rename(error: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(error.len() + to.len());
    message(&mut out, backend::ERROR_RESPONSE, |out| {
        let mut rest = error.get(HEADER..).unwrap_or_default();
        while let Some(at) = rest.windows(from.len().max(1)).position(|w| w == from) {
            out.extend(&rest[..at]);
            out.extend(to);
            rest = &rest[at + from.len()..];
        }
        out.extend(rest);
    });
    out
}

/// Name and value of a ParameterStatus message, header included.
pub fn read_parameter_status(message: &[u8]) -> Option<(&str, &str)> {
    let body = message.get(HEADER..)?;
    let name = cstr(body)?;
    let value = cstr(&body[name.len() + 1..])?;
    Some((
        std::str::from_utf8(name).ok()?,
        std::str::from_utf8(value).ok()?,
    ))
}

/// Channel and payload of a NotificationResponse, header included.
pub fn read_notification(message: &[u8]) -> Option<(&str, &str)> {
    if message.first() != Some(&backend::NOTIFICATION_RESPONSE) {
        return None;
    }
    let body = message.get(HEADER + 4..)?;
    let channel = cstr(body)?;
    let payload = cstr(&body[channel.len() + 1..])?;
    Some((
        std::str::from_utf8(channel).ok()?,
        std::str::from_utf8(payload).unwrap_or_default(),
    ))
}

/// The columns of a DataRow message in text format, header included; NULL is empty. If
/// the message is cut short, the columns that are missing are left out.
pub fn read_row(message: &[u8]) -> Vec<String> {
    let mut columns = Vec::new();
    let mut rest = message.get(HEADER + 2..).unwrap_or_default();
    while let Some((&length, after)) = rest.split_first_chunk::<4>() {
        let length = usize::try_from(i32::from_be_bytes(length)).unwrap_or(0);
        let Some((value, after)) = after.split_at_checked(length) else {
            break;
        };
        columns.push(String::from_utf8_lossy(value).into_owned());
        rest = after;
    }
    columns
}

/// The tag of a CommandComplete message, header included.
pub fn read_command_tag(message: &[u8]) -> &[u8] {
    message.get(HEADER..).and_then(cstr).unwrap_or_default()
}

#[cfg(test)]
mod tests;
