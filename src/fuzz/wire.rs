//! The protocol: what stands before a session, and what is looked into in one.

use std::net::SocketAddr;

use crate::net::proxy_protocol::{self, Proxied};
use crate::session;
use crate::session::arrive::token::initial_response;
use crate::wire::login;
use crate::wire::message::{self, ErrorFields};
use crate::wire::sql::{Suspicion, suspect};
use crate::wire::startup::{MAX_STARTUP, Startup, StartupPacket, body_length};
use crate::wire::{Frame, HEADER};

/// The first packet, length and all.
pub fn startup(data: &[u8]) {
    let Some((&word, rest)) = data.split_first_chunk::<4>() else {
        return;
    };
    let announced = u32::from_be_bytes(word) as usize;
    let length = body_length(word);
    assert_eq!(length.is_ok(), (8..=MAX_STARTUP).contains(&announced));
    // What follows is read whatever was announced.
    let body = &rest[..rest.len().min(length.unwrap_or(MAX_STARTUP))];
    let Ok(packet) = StartupPacket::read(body) else {
        return;
    };
    assert_eq!(StartupPacket::read(&printed(&packet)), Ok(packet.clone()));
    if let StartupPacket::Startup(startup) = packet {
        assert!(!startup.user.is_empty() && !startup.database.is_empty());
        session::fuzz::settings(&startup);
    }
}

fn printed(packet: &StartupPacket) -> Vec<u8> {
    let coded = |code: u32, rest: &[u8]| [&code.to_be_bytes(), rest].concat();
    match packet {
        StartupPacket::Ssl => coded(80_877_103, &[]),
        StartupPacket::GssEnc => coded(80_877_104, &[]),
        StartupPacket::Cancel { pid, secret } => {
            coded(80_877_102, &[&pid.to_be_bytes()[..], secret].concat())
        }
        StartupPacket::Startup(s) => coded(s.version.0, &parameters(s)),
    }
}

fn parameters(startup: &Startup) -> Vec<u8> {
    let replication = startup.replication.map(|r| ("replication", r.as_str()));
    let switches = startup.options.as_deref().map(|o| ("options", o));
    let options = startup.protocol_options.iter().map(|name| (&**name, "on"));
    let others = startup.parameters.iter().map(|(n, v)| (&**n, &**v));
    let who = [("user", &*startup.user), ("database", &*startup.database)];
    let all = who
        .into_iter()
        .chain(replication)
        .chain(switches)
        .chain(options);
    let mut body: Vec<u8> = all
        .chain(others)
        .flat_map(|(name, value)| [name, "\0", value, "\0"])
        .flat_map(str::bytes)
        .collect();
    body.push(0);
    body
}

/// A PROXY header and what stands behind it, which is nothing to it.
pub fn proxy_header(data: &[u8]) {
    let Ok((proxied, length)) = proxy_protocol::parse(data) else {
        return;
    };
    let first = data.first_chunk().copied().unwrap_or_default();
    assert!(proxy_protocol::is_header(first));
    let same = |bytes: &[u8]| {
        let (again, read) = proxy_protocol::parse(bytes).expect("a header");
        assert_eq!((again, read), (proxied, length));
    };
    same(&data[..length]);
    same(&[&data[..length], b"\0\0\0\x08"].concat());
    assert!(proxy_protocol::parse(&data[..length - 1]).is_err());
    if let Proxied::Client(client) = proxied {
        let line = line(client);
        let read = proxy_protocol::parse(line.as_bytes()).expect("a line");
        assert_eq!(read, (proxied, line.len()));
    }
}

fn line(client: SocketAddr) -> String {
    let (ip, port) = (client.ip(), client.port());
    let family = if client.is_ipv4() { 4 } else { 6 };
    format!("PROXY TCP{family} {ip} {ip} {port} 1\r\n")
}

/// A message of a server that is looked into.
pub fn fields(data: &[u8]) {
    let fields = ErrorFields::read(data);
    let _ = fields.is_fatal();
    for row in message::read_row(data) {
        assert!(row.len() <= data.len() * 3); // of bytes that are no text
    }
    assert!(message::read_command_tag(data).len() <= data.len());
    if let Some((name, value)) = message::read_parameter_status(data) {
        let mut out = Vec::new();
        message::parameter_status(&mut out, name, value);
        assert_eq!(message::read_parameter_status(&out), Some((name, value)));
    }
    let _ = message::read_notification(data);
    if let Some((pid, key)) = login::read_backend_key_data(data) {
        let mut out = Vec::new();
        login::backend_key_data(&mut out, pid, key);
        assert_eq!(out.get(HEADER..), data.get(HEADER..));
    }
    if let Some((version, options)) = login::read_negotiation(data) {
        assert!(version.major() > 0 && options < data.len());
    }
    for name in [&b"pgvalet_1"[..], b"a", b""] {
        let renamed = message::rename(data, name, b"b");
        let frame = Frame::read(&renamed).expect("a length").expect("a header");
        assert_eq!(frame.len, renamed.len());
    }
    let mut bytes = bytes::BytesMut::from(data);
    // As a login does: it never reads more than one message.
    if let Ok(Some(frame)) = Frame::read(data)
        && frame.len <= data.len()
        && let Ok(Some(postgres_protocol::message::backend::Message::AuthenticationSasl(body))) =
            postgres_protocol::message::backend::Message::parse(&mut bytes)
    {
        use fallible_iterator::FallibleIterator;
        let _ = body
            .mechanisms()
            .map(|m| Ok(m.to_owned()))
            .collect::<Vec<_>>();
    }
}

/// What a client presents that was asked for a token by SASL.
pub fn sasl(data: &[u8]) {
    if let Some(token) = initial_response(data) {
        assert!(data.len() > HEADER + token.len());
        assert!(token.is_empty() || data.windows(token.len()).any(|w| w == token));
    }
}

/// The text of a statement: letters may be large or small, and what is white
/// or a comment stands for nothing.
pub fn sql(data: &[u8]) {
    let suspicion = suspect(data);
    // But for the tags of dollar quotes.
    if !data.contains(&b'$') {
        assert_eq!(suspect(&data.to_ascii_uppercase()), suspicion);
    }
    for nothing in [&b" \t\n\r\x0b\x0c"[..], b"/* a /* b */ */", b"-- a\n", b";"] {
        let more = suspect(&[nothing, data].concat());
        covers(more.as_deref(), suspicion.as_deref());
    }
}

/// A statement in front of others may raise more suspicion, never less.
fn covers(more: Option<&Suspicion>, less: Option<&Suspicion>) {
    let (nothing, none) = (Suspicion::default(), Suspicion::default());
    let (more, less) = (more.unwrap_or(&nothing), less.unwrap_or(&none));
    assert!(more.ask || !less.ask);
    assert!(more.listen || !less.listen);
    assert!(more.hidden_setting || !less.hidden_setting);
    assert!(less.custom.iter().all(|name| more.custom.contains(name)));
}
