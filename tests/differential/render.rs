//! Messages as lines of text, without what cannot be alike in two runs:
//!
//! * pid and key (but for its length) in BackendKeyData, the pid in NotificationResponse
//! * OIDs of objects made by the test (from 16384 on): numbered in the order in
//!   which they turn up
//! * the order of ParameterStatus at start-up
//! * file, line and routine (F, L, R) of an error that pgvalet answers itself:
//!   it has none, see [`alike`]

use std::collections::HashMap;
use std::fmt::Write;

use super::wire::Received;

#[derive(Default)]
pub struct Renderer {
    oids: HashMap<u32, usize>,
}

impl Renderer {
    fn oid(&mut self, bytes: &[u8]) -> String {
        let oid = u32::from_be_bytes(bytes.try_into().expect("four bytes"));
        if oid < 16384 {
            return oid.to_string();
        }
        let next = self.oids.len() + 1;
        format!("new{}", self.oids.entry(oid).or_insert(next))
    }

    pub fn line(&mut self, received: &Received) -> String {
        let (tag, body) = (received.tag as char, received.body.as_slice());
        let content = match tag {
            'K' => format!("pid and {} bytes", body.len() - 4),
            'E' | 'N' => fields(body),
            'T' => self.columns(body),
            't' => body[2..].chunks(4).map(|oid| self.oid(oid) + " ").collect(),
            'A' => body[4..].escape_ascii().to_string(),
            // A long one differs early or in length, if at all.
            _ if body.len() > 400 => {
                let sum = body.iter().fold(0_u64, |sum, byte| {
                    sum.wrapping_mul(31).wrapping_add(u64::from(*byte))
                });
                format!("{} bytes, checksum {sum:x}", body.len())
            }
            _ => body.escape_ascii().to_string(),
        };
        format!("{tag} {content}")
    }

    fn columns(&mut self, body: &[u8]) -> String {
        let mut out = String::new();
        let mut rest = &body[2..];
        while !rest.is_empty() {
            let end = rest.iter().position(|b| *b == 0).expect("a name");
            let (name, fixed) = (rest[..end].escape_ascii(), &rest[end + 1..]);
            let (table, kind) = (self.oid(&fixed[..4]), self.oid(&fixed[6..10]));
            let (column, more) = (&fixed[4..6], &fixed[10..18]);
            let _ = write!(out, "[{name} {table} {column:?} {kind} {more:?}]");
            rest = &fixed[18..];
        }
        out
    }
}

fn fields(body: &[u8]) -> String {
    body.split(|b| *b == 0)
        .filter_map(|field| {
            let (&kind, value) = field.split_first()?;
            Some(format!("{}={} | ", kind as char, value.escape_ascii()))
        })
        .collect()
}

/// ParameterStatus is sorted: its order has no meaning.
pub fn start_up(seen: &[Received]) -> Vec<String> {
    let mut renderer = Renderer::default();
    let mut lines: Vec<String> = seen.iter().map(|m| renderer.line(m)).collect();
    lines.sort_by_key(|line| {
        if line.starts_with('S') {
            line.clone()
        } else {
            String::new()
        }
    });
    lines
}

/// Whether two lines say the same.
pub fn alike(postgres: &str, pgvalet: &str) -> bool {
    postgres == pgvalet
        || (postgres.starts_with("E ")
            && !pgvalet.contains("| R=")
            && without_source(postgres) == pgvalet)
}

fn without_source(line: &str) -> String {
    line.split_inclusive(" | ")
        .filter(|field| !matches!(field.get(..2), Some("F=" | "L=" | "R=")))
        .collect()
}
