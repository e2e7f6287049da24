//! A client's words, short to write. A sequence is a list of messages; how it
//! is sent (at once, step by step, a few bytes at a time) is not its concern.

use super::{
    cases_batch, cases_copy, cases_deallocate, cases_named, cases_parameters, cases_portals,
    cases_simple, cases_startup, cases_state, cases_unnamed, cases_violation,
};

pub type Message = Vec<u8>;

pub struct Case {
    pub name: &'static str,
    pub version: u32,
    /// Beyond user and database.
    pub parameters: Vec<(&'static str, &'static str)>,
    pub messages: Vec<Message>,
    /// Only sent at once: the steps of such a sequence have no answers.
    pub at_once: bool,
    /// Brings no application_name.
    pub nameless: bool,
}

impl Case {
    pub fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.parameters.push((name, value));
        self
    }

    pub fn version(mut self, version: u32) -> Self {
        self.version = version;
        self
    }

    pub fn nameless(mut self) -> Self {
        self.nameless = true;
        self
    }

    /// The types of its messages; of bytes that are none, anything.
    pub fn tags(&self) -> impl Iterator<Item = u8> {
        self.messages.iter().filter_map(|m| m.first().copied())
    }

    /// Whether a Parse of it names no statement.
    pub fn parses_without_name(&self) -> bool {
        let mut messages = self.messages.iter();
        messages.any(|m| m.first() == Some(&b'P') && m.get(5) == Some(&0))
    }

    pub fn at_once(mut self) -> Self {
        self.at_once = true;
        self
    }
}

pub fn case(name: &'static str, messages: impl Into<Vec<Message>>) -> Case {
    Case {
        name,
        version: 0x30000,
        parameters: Vec::new(),
        messages: messages.into(),
        at_once: false,
        nameless: false,
    }
}

pub fn all() -> Vec<Case> {
    [
        cases_simple::cases(),
        cases_named::cases(),
        cases_parameters::cases(),
        cases_portals::cases(),
        cases_unnamed::cases(),
        cases_batch::cases(),
        cases_copy::cases(),
        cases_state::cases(),
        cases_deallocate::cases(),
        cases_startup::cases(),
        cases_violation::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

pub fn raw(bytes: &[u8]) -> Message {
    bytes.to_vec()
}

/// Any tag with any body.
pub fn message(tag: u8, body: &[u8]) -> Message {
    let mut out = vec![tag];
    out.extend((body.len() as u32 + 4).to_be_bytes());
    out.extend(body);
    out
}

fn text(out: &mut Vec<u8>, s: &str) {
    out.extend(s.as_bytes());
    out.push(0);
}

fn codes(out: &mut Vec<u8>, codes: &[u16]) {
    out.extend((codes.len() as u16).to_be_bytes());
    codes.iter().for_each(|c| out.extend(c.to_be_bytes()));
}

/// Query.
pub fn q(sql: &str) -> Message {
    let mut body = Vec::new();
    text(&mut body, sql);
    message(b'Q', &body)
}

/// Parse.
pub fn p(name: &str, sql: &str) -> Message {
    pt(name, sql, &[])
}

/// Parse with parameter types.
pub fn pt(name: &str, sql: &str, oids: &[u32]) -> Message {
    let mut body = Vec::new();
    text(&mut body, name);
    text(&mut body, sql);
    body.extend((oids.len() as u16).to_be_bytes());
    oids.iter().for_each(|oid| body.extend(oid.to_be_bytes()));
    message(b'P', &body)
}

/// Bind with parameters as text.
pub fn b(portal: &str, statement: &str, parameters: &[&str]) -> Message {
    let parameters: Vec<_> = parameters.iter().map(|p| Some(p.as_bytes())).collect();
    bf(portal, statement, &[], &parameters, &[])
}

/// Bind in full: formats of the parameters, parameters, formats of the results.
pub fn bf(
    portal: &str,
    statement: &str,
    formats: &[u16],
    parameters: &[Option<&[u8]>],
    results: &[u16],
) -> Message {
    let mut body = Vec::new();
    text(&mut body, portal);
    text(&mut body, statement);
    codes(&mut body, formats);
    arguments(&mut body, parameters);
    codes(&mut body, results);
    message(b'B', &body)
}

fn arguments(body: &mut Vec<u8>, arguments: &[Option<&[u8]>]) {
    body.extend((arguments.len() as u16).to_be_bytes());
    for argument in arguments {
        match argument {
            None => body.extend((-1_i32).to_be_bytes()),
            Some(value) => {
                body.extend((value.len() as u32).to_be_bytes());
                body.extend(*value);
            }
        }
    }
}

fn named(tag: u8, kind: u8, name: &str) -> Message {
    let mut body = vec![kind];
    text(&mut body, name);
    message(tag, &body)
}

/// Describe a statement.
pub fn ds(statement: &str) -> Message {
    named(b'D', b'S', statement)
}

/// Describe a portal.
pub fn dp(portal: &str) -> Message {
    named(b'D', b'P', portal)
}

/// Execute; 0 is all rows.
pub fn e(portal: &str, rows: u32) -> Message {
    let mut body = Vec::new();
    text(&mut body, portal);
    body.extend(rows.to_be_bytes());
    message(b'E', &body)
}

/// Close a statement.
pub fn cs(statement: &str) -> Message {
    named(b'C', b'S', statement)
}

/// Close a portal.
pub fn cp(portal: &str) -> Message {
    named(b'C', b'P', portal)
}

/// Sync.
pub fn s() -> Message {
    message(b'S', &[])
}

/// Flush.
pub fn h() -> Message {
    message(b'H', &[])
}

/// FunctionCall, all in one format.
pub fn f(oid: u32, format: u16, values: &[Option<&[u8]>]) -> Message {
    let mut body = oid.to_be_bytes().to_vec();
    codes(&mut body, &[format]);
    arguments(&mut body, values);
    body.extend(format.to_be_bytes());
    message(b'F', &body)
}

/// CopyData.
pub fn cd(data: &str) -> Message {
    message(b'd', data.as_bytes())
}

/// CopyDone.
pub fn cdone() -> Message {
    message(b'c', &[])
}

/// CopyFail.
pub fn cfail(reason: &str) -> Message {
    let mut body = Vec::new();
    text(&mut body, reason);
    message(b'f', &body)
}

/// Terminate.
pub fn x() -> Message {
    message(b'X', &[])
}
