//! A model of one Postgres backend: prepared statements, portals, and the
//! state of the transaction; as `tcop/postgres.c` has it.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::messages::frame;
use super::zone::{Zone, resets};
use crate::wire::frame::cstr;
use crate::wire::{Frame, message};

type Name = Vec<u8>;
type Sql = String;

pub struct Postgres {
    pub named: BTreeMap<Name, Sql>,
    pub unnamed: Option<Sql>,
    portals: BTreeMap<Name, Portal>,
    batch: usize,
    pub zone: Zone,
    /// `I`, `T` or `E`.
    pub status: u8,
    /// Since the last ReadyForQuery it was asked something.
    pub batch_open: bool,
    /// Passes over everything up to Sync.
    pub skipping: bool,
    /// Takes COPY data, within a simple query (`Q`) or not (`E`).
    pub copying: Option<u8>,
    /// A COPY has failed, which may hide how much of what followed was read.
    pub copy_failed: bool,
    /// Something that changes the unnamed statement was passed over: which
    /// one there is depends on what came long before.
    pub unnamed_is_old: bool,
    input: Vec<u8>,
}

#[derive(Clone)]
struct Portal {
    sql: Sql,
    /// The one that bound it.
    batch: usize,
    /// It was run, and has nothing more to give.
    done: bool,
    /// Whether there was what it deallocates.
    found: bool,
}

impl Postgres {
    /// A session with this for its setting.
    pub fn new(zone: &str) -> Self {
        Self {
            batch: 0,
            zone: Zone::new(zone),
            named: BTreeMap::new(),
            unnamed: None,
            portals: BTreeMap::new(),
            status: b'I',
            batch_open: false,
            skipping: false,
            copying: None,
            copy_failed: false,
            unnamed_is_old: false,
            input: Vec::new(),
        }
    }
}

/// SQLSTATE and text.
type Failure = (&'static str, String);

/// RowDescription of one column.
fn columns(name: &str) -> Vec<u8> {
    [&1u16.to_be_bytes(), name.as_bytes(), &[0; 19]].concat()
}

fn ends_transaction(sql: &str) -> bool {
    matches!(sql, "ROLLBACK" | "COMMIT")
}

fn has_rows(sql: &str) -> bool {
    sql.starts_with("SELECT") || sql.starts_with("SHOW")
}

impl Postgres {
    /// Takes bytes in pieces of any size; what it answers at once.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.input.extend(bytes);
        let mut out = Vec::new();
        let mut at = 0;
        while let Some(frame) = Frame::read(&self.input[at..]).expect("valid frames") {
            let Some(whole) = self.input.get(at..at + frame.len) else {
                break;
            };
            let body = whole[5..].to_vec();
            at += frame.len;
            self.message(frame.tag, &body, &mut out);
        }
        self.input.drain(..at);
        out
    }

    /// Executes a portal that an earlier batch has bound, and that resets: by
    /// what statement.
    pub fn late_reset(&self, portal: &str) -> Option<&str> {
        let portal = self.portals.get(portal.as_bytes())?;
        let late = resets(&portal.sql) && portal.batch < self.batch && !portal.done;
        late.then_some(&portal.sql)
    }

    fn finds(&self, deallocate: &str) -> bool {
        let name = deallocate.strip_prefix("DEALLOCATE ");
        name.is_some_and(|name| self.named.contains_key(name.as_bytes()))
    }

    /// What a portal deallocates has come or gone since it was bound.
    pub fn finds_otherwise(&self, portal: &str) -> bool {
        let portal = self.portals.get(portal.as_bytes());
        portal.is_some_and(|portal| portal.found != self.finds(&portal.sql))
    }

    pub fn is_mid_message(&self) -> bool {
        !self.input.is_empty()
    }

    fn message(&mut self, tag: u8, body: &[u8], out: &mut Vec<u8>) {
        if let Some(protocol) = self.copying {
            return self.copy(protocol, tag, body, out);
        }
        if self.skipping && tag != b'S' {
            let first = body.first();
            self.unnamed_is_old |= tag == b'Q'
                || (tag == b'P' && first == Some(&0))
                || (tag == b'C' && body == b"S\0");
            return;
        }
        self.batch_open |= b"PBDEC".contains(&tag);
        let result = match tag {
            b'S' => {
                self.skipping = false;
                self.ready(out);
                return;
            }
            b'Q' => {
                self.unnamed = None;
                self.unnamed_is_old = false;
                let sql = text(body);
                if let Err(failure) = self.run(&sql, tag, out) {
                    self.fail(&failure, out);
                }
                if self.copying.is_none() {
                    self.ready(out);
                }
                return;
            }
            b'P' => self.parse(body, out),
            b'B' => self.bind(body, out),
            b'D' => self.describe(body, out),
            b'E' => self.execute(&name(body), out),
            b'C' => {
                match (body[0], name(&body[1..])) {
                    (b'S', name) if name.is_empty() => self.unnamed = None,
                    (b'S', name) => drop(self.named.remove(&name)),
                    (_, name) => drop(self.portals.remove(&name)),
                }
                out.extend(frame(b'3', &[]));
                Ok(())
            }
            b'H' | b'd' | b'c' | b'f' => Ok(()), // left over from a COPY that failed
            other => panic!("message {} is not in the model", other as char),
        };
        if let Err(failure) = result {
            self.fail(&failure, out);
            self.skipping = true;
        }
    }

    fn copy(&mut self, protocol: u8, tag: u8, body: &[u8], out: &mut Vec<u8>) {
        match tag {
            b'd' if body.len() < 20 => return,
            b'S' | b'H' => return,
            _ => self.copying = None,
        }
        if tag == b'c' {
            out.extend(frame(b'C', b"COPY 1\0"));
        } else {
            self.copy_failed = true;
            self.fail(&("57014", "COPY failed".into()), out);
            self.skipping = protocol == b'E';
        }
        if protocol == b'Q' {
            self.ready(out);
        }
    }

    fn ready(&mut self, out: &mut Vec<u8>) {
        if self.status == b'I' {
            self.portals.clear();
            self.zone.commit();
        }
        self.batch += 1;
        self.batch_open = false;
        if let Some(value) = self.zone.report() {
            message::parameter_status(out, "zone", value);
        }
        message::ready_for_query(out, self.status);
    }

    fn fail(&mut self, (sqlstate, text): &Failure, out: &mut Vec<u8>) {
        message::error_response(out, "ERROR", sqlstate, text, None);
        self.portals.clear();
        self.zone.roll_back();
        if self.status == b'T' {
            self.status = b'E';
        }
    }

    fn check(&self, sql: &str) -> Result<(), Failure> {
        if sql == "SYNTAX" {
            return Err(("42601", "syntax error".into()));
        }
        if self.status == b'E' && !ends_transaction(sql) && !sql.is_empty() {
            return Err(("25P02", "current transaction is aborted".into()));
        }
        Ok(())
    }

    fn run(&mut self, sql: &str, protocol: u8, out: &mut Vec<u8>) -> Result<(), Failure> {
        if let Some((first, then)) = sql.split_once("; ") {
            self.run(first, protocol, out)?;
            return self.run(then, protocol, out);
        }
        self.check(sql)?;
        let words: Vec<&str> = sql.split(' ').collect();
        match words[..] {
            ["PREPARE", name, ..] => drop(self.named.insert(name.into(), sql.into())),
            ["DEALLOCATE", name]
                if name != "ALL" && self.named.remove(name.as_bytes()).is_none() =>
            {
                return Err(no_statement(name.as_bytes()));
            }
            _ => {}
        }
        let done = self.zone.run(sql);
        match sql {
            "FAIL" => return Err(("22012", "division by zero".into())),
            "BEGIN" => self.status = b'T',
            "ROLLBACK" | "COMMIT" => {
                if sql == "ROLLBACK" || self.status == b'E' {
                    self.zone.roll_back();
                }
                self.zone.commit();
                self.status = b'I';
                self.portals.clear();
            }
            "COPY" => {
                out.extend(frame(b'G', &[0; 3]));
                self.copying = Some(protocol);
                return Ok(());
            }
            "COPY REFUSED" => {
                out.extend(frame(b'G', &[0; 3]));
                self.copy_failed = true;
                return Err(("P0001", "no rows today".into()));
            }
            "DEALLOCATE ALL" => self.named.clear(),
            _ => {}
        }
        if sql.is_empty() {
            out.extend(frame(b'I', &[]));
            return Ok(());
        }
        if has_rows(sql) {
            if protocol == b'Q' {
                let name = sql.rsplit(' ').next().unwrap_or_default();
                out.extend(frame(b'T', &columns(name)));
            }
            let row = done.as_ref().and_then(|done| done.row.as_deref());
            out.extend(frame(b'D', row.unwrap_or(sql).as_bytes()));
        }
        let tag = match sql.split_once(' ') {
            Some((tag @ ("PREPARE" | "DEALLOCATE"), rest)) if rest != "ALL" => tag,
            _ => done.map_or(sql, |done| done.tag),
        };
        out.extend(frame(b'C', &[tag.as_bytes(), &[0]].concat()));
        Ok(())
    }

    fn parse(&mut self, body: &[u8], out: &mut Vec<u8>) -> Result<(), Failure> {
        let name = name(body);
        let sql = text(&body[name.len() + 1..]);
        if name.is_empty() {
            self.unnamed = None;
            self.unnamed_is_old = false;
        }
        self.check(&sql)?;
        if name.is_empty() {
            self.unnamed = Some(sql);
        } else if let Entry::Vacant(free) = self.named.entry(name.clone()) {
            free.insert(sql);
        } else {
            let name = String::from_utf8_lossy(&name);
            let text = format!("prepared statement \"{name}\" already exists");
            return Err(("42P05", text));
        }
        out.extend(frame(b'1', &[]));
        Ok(())
    }

    fn statement(&self, name: &[u8]) -> Result<Sql, Failure> {
        let found = if name.is_empty() {
            self.unnamed.as_ref()
        } else {
            self.named.get(name)
        };
        found.cloned().ok_or_else(|| no_statement(name))
    }

    fn bind(&mut self, body: &[u8], out: &mut Vec<u8>) -> Result<(), Failure> {
        let portal = name(body);
        let sql = self.statement(&name(&body[portal.len() + 1..]))?;
        self.check(&sql)?;
        if !portal.is_empty() && self.portals.contains_key(&portal) {
            return Err(("42P03", "cursor already exists".into()));
        }
        let (batch, done, found) = (self.batch, false, self.finds(&sql));
        let bound = Portal {
            sql,
            batch,
            done,
            found,
        };
        self.portals.insert(portal, bound);
        out.extend(frame(b'2', &[]));
        Ok(())
    }

    fn execute(&mut self, name: &[u8], out: &mut Vec<u8>) -> Result<(), Failure> {
        let portal = self.portals.get_mut(name).ok_or_else(|| no_portal(name))?;
        let sql = portal.sql.clone();
        let again = std::mem::replace(&mut portal.done, !has_rows(&sql) && !sql.is_empty());
        if again && self.status != b'E' {
            return Err(("55000", "portal cannot be run".into()));
        }
        self.run(&sql, b'E', out)
    }

    fn describe(&mut self, body: &[u8], out: &mut Vec<u8>) -> Result<(), Failure> {
        let name = name(&body[1..]);
        let sql = if body[0] == b'S' {
            self.statement(&name)?
        } else {
            let portal = self.portals.get(&name).cloned();
            portal.ok_or_else(|| no_portal(&name))?.sql
        };
        if has_rows(&sql) {
            self.check(&sql)?;
        }
        if body[0] == b'S' {
            out.extend(frame(b't', &[0, 0]));
        }
        if has_rows(&sql) {
            out.extend(frame(b'T', &columns(&sql)));
        } else {
            out.extend(frame(b'n', &[]));
        }
        Ok(())
    }
}

fn no_statement(name: &[u8]) -> Failure {
    let name = String::from_utf8_lossy(name);
    let text = format!("prepared statement \"{name}\" does not exist");
    ("26000", text)
}

fn no_portal(name: &[u8]) -> Failure {
    let name = String::from_utf8_lossy(name);
    ("34000", format!("portal \"{name}\" does not exist"))
}

fn name(bytes: &[u8]) -> Name {
    cstr(bytes).expect("a terminated name").to_vec()
}

fn text(bytes: &[u8]) -> Sql {
    String::from_utf8(name(bytes)).expect("text")
}
