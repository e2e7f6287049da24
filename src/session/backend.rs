//! The server's messages on their way to the client.
//!
//! Only the messages that say where the conversation stands are looked into;
//! rows and COPY data pass by length. Answers to messages of pgvalet's own are
//! left out.

use std::collections::BTreeMap;

use super::frontend::{AtReady, Frontend, Restored, Watch};
use super::replies::{Aftermath, Replies, Reply};
use crate::pool::{Prepared, Profile, Statements};
use crate::wire::message::{self, ErrorFields, read_command_tag, read_parameter_status};
use crate::wire::{Frame, HEADER};

/// Messages that are looked into are small; of a larger one, this much is.
const MAX_READ: usize = 1 << 16;

#[derive(Default)]
pub(super) struct Backend {
    /// Bytes of the current message that are still to come.
    rest: usize,
    rest_is_dropped: bool,
    /// Transaction status of the last ReadyForQuery: `I`, `T`, `E`; 0 before.
    pub status: u8,
    pub transactions: u64,
    /// There may come a ReadyForQuery that nothing waits for. Nobody else can
    /// have the connection before pgvalet has asked an empty query, and seen
    /// what comes before the answer to that.
    pub doubtful: bool,
    /// Replication streams in both directions: there is no transaction to
    /// wait for.
    pub streaming: bool,
    /// The server has said why it is about to close the connection.
    pub fatal: bool,
}

/// What the scan found.
#[derive(Default)]
pub(super) struct Findings {
    /// Settings that the server reported to this client.
    pub reported: Vec<(Box<str>, Box<str>)>,
    /// A command was run whose effect may stay with the server connection:
    /// the server has to be asked what it is.
    pub ask: bool,
    /// Something was given up that may have kept the client where it is.
    pub freed: bool,
    /// DISCARD ALL: settings are back at what the login gave.
    pub discarded: bool,
    /// A transaction is open after a statement, where that may not be.
    pub transaction: bool,
    /// pgvalet's own settings were refused.
    pub own_failed: Option<ErrorFields>,
    /// What the client brought at start-up has been reset: it is to be set anew.
    pub restore: bool,
    /// That has been done.
    pub restored: bool,
    /// The stream can no longer be understood.
    pub broken: bool,
}

/// What is known of the server connection that is scanned.
pub(super) struct Server<'a> {
    pub statements: &'a Statements,
    pub prepared: &'a mut Prepared,
    /// The values of ParameterStatus, as last reported.
    pub reported: &'a mut BTreeMap<Box<str>, Box<str>>,
    /// Transactions of more than one statement are refused (statement mode).
    pub one_statement: bool,
    /// What the client brought at start-up.
    pub initial: &'a Profile,
}

pub(super) struct Progress {
    pub consumed: usize,
    /// As in the other direction: what follows the buffer.
    pub run: usize,
    pub findings: Option<Box<Findings>>,
}

impl Backend {
    /// At a message boundary.
    pub fn is_at_boundary(&self) -> bool {
        self.rest == 0
    }

    /// At a message boundary, and no transaction open.
    pub fn is_idle(&self) -> bool {
        self.rest == 0 && self.status == b'I'
    }

    /// For a new lease: the connection comes from the pool, so it is idle.
    pub fn begin(&mut self) {
        *self = Self {
            status: b'I',
            transactions: self.transactions,
            ..Self::default()
        };
    }

    /// Writes the answers that pgvalet gives itself and whose turn has come;
    /// not into the middle of a message of the server's.
    pub fn answer_known(&self, replies: &mut Replies, out: &mut Vec<u8>) {
        if self.is_at_boundary() {
            replies.answer_known(out);
        }
    }

    pub fn scan(
        &mut self,
        input: &[u8],
        out: &mut Vec<u8>,
        replies: &mut Replies,
        front: &mut Frontend,
        mut server: Server<'_>,
    ) -> Progress {
        let mut at = 0;
        let mut run = 0;
        let mut findings: Option<Box<Findings>> = None;
        loop {
            if self.rest > 0 {
                let n = self.rest.min(input.len() - at);
                if self.rest_is_dropped {
                    out.extend_from_slice(&input[run..at]);
                    run = at + n;
                }
                at += n;
                self.rest -= n;
                if self.rest > 0 {
                    break;
                }
                self.rest_is_dropped = false;
            }
            let bytes = &input[at..];
            let frame = match Frame::read(bytes) {
                Ok(Some(frame)) => frame,
                Ok(None) => break,
                Err(_) => {
                    findings.get_or_insert_default().broken = true;
                    break;
                }
            };
            // Answers that pgvalet gives itself come before the next one of
            // the server, but not before notices that belong to what is behind.
            if replies.front_is_known() {
                out.extend_from_slice(&input[run..at]);
                run = at;
                replies.answer_known(out);
            }
            // The length does not depend on how much has arrived so far.
            let looked_into = match frame.tag {
                b'Z' | b'E' | b'S' | b'C' => true,
                b'A' => !front.listens.shared.is_empty(),
                _ => false,
            };
            let whole = if looked_into {
                match bytes.get(..frame.len.min(MAX_READ)) {
                    Some(whole) => whole,
                    None => break,
                }
            } else {
                &[]
            };
            let own = replies.front_is_own();
            let keep = match frame.tag {
                b'Z' => {
                    let ready = self.ready(whole, replies, front);
                    if server.one_statement && self.status != b'I' {
                        // The last word is that it is refused; what was sent
                        // behind it would run in the transaction.
                        findings.get_or_insert_default().transaction = true;
                        out.extend_from_slice(&input[run..at]);
                        at += frame.len;
                        run = at;
                        break;
                    }
                    match ready {
                        None => {}
                        Some(AtReady::Pass) => {}
                        Some(AtReady::HoldBack) => {
                            replies.push(Reply::Restore);
                            findings.get_or_insert_default().restore = true;
                        }
                        Some(AtReady::Tell) => {
                            out.extend_from_slice(&input[run..at]);
                            run = at;
                            if front.tell(server.reported, out) {
                                findings.get_or_insert_default().restored = true;
                            }
                        }
                    }
                    matches!(ready, Some(AtReady::Pass | AtReady::Tell))
                }
                b'E' => {
                    let mut own_failed = None;
                    // Whoever reads data has read the Sync before it.
                    let reading = ErrorFields::read(whole).is_in_copy_data();
                    match replies.aftermath() {
                        Aftermath::Known => {}
                        _ if reading => {}
                        Aftermath::Doubtful => self.doubtful = true,
                        Aftermath::Lost => {
                            findings.get_or_insert_default().broken = true;
                            break;
                        }
                    }
                    let replaced = self.error(whole, replies, front, &mut server, &mut own_failed);
                    if own_failed.is_some() {
                        findings.get_or_insert_default().own_failed = own_failed;
                    }
                    if let Some(replacement) = replaced
                        && whole.len() == frame.len
                    {
                        out.extend_from_slice(&input[run..at]);
                        run = at;
                        out.extend(replacement);
                        false
                    } else {
                        !own
                    }
                }
                b'S' => {
                    let mut kept_back = false;
                    if let Some((name, value)) = read_parameter_status(whole) {
                        let before = server.reported.insert(name.into(), value.into());
                        kept_back = front.keeps_report(name, before.as_deref());
                        if !own && !kept_back {
                            let f = findings.get_or_insert_default();
                            f.reported.push((name.into(), value.into()));
                        }
                    }
                    !own && !kept_back
                }
                b'C' => {
                    let tag = read_command_tag(whole);
                    if own || is_of_stand_in(tag, replies) {
                        false
                    } else {
                        note_command(tag, replies, front, &mut server, &mut findings);
                        complete(replies, server.prepared);
                        true
                    }
                }
                b'I' if own => {
                    self.doubtful = false;
                    false
                }
                b'I' | b's' => {
                    pop_if(replies, |r| matches!(r, Reply::Execute));
                    !own
                }
                b'1' | b'2' | b'3' if own => false,
                b'1' => self.parse_complete(replies),
                b'2' => {
                    pop_if(replies, |r| matches!(r, Reply::Bind(_)));
                    true
                }
                b'3' => match replies.front() {
                    Some(Reply::HiddenClose(_) | Reply::HiddenCloseUnnamed) => {
                        replies.pop();
                        false
                    }
                    _ => {
                        pop_if(replies, |r| matches!(r, Reply::Close));
                        true
                    }
                },
                b'T' | b'n' => {
                    pop_if(replies, |r| matches!(r, Reply::Describe));
                    !own
                }
                b'W' => {
                    self.streaming = true;
                    true
                }
                b'G' => {
                    front.batch_open |= replies.copy_in();
                    true
                }
                // Asynchronous, and never an answer to anything of ours; but the
                // listening connection may have heard it too.
                b'A' => !message::read_notification(whole)
                    .is_some_and(|(channel, _)| front.listens.shared.contains(channel)),
                _ => !own,
            };
            self.rest = frame.len;
            self.rest_is_dropped = !keep;
        }
        Progress {
            consumed: at,
            run: run.min(at),
            findings,
        }
    }

    /// ReadyForQuery; `None`: the client does not get to see it.
    fn ready(
        &mut self,
        message: &[u8],
        replies: &mut Replies,
        front: &mut Frontend,
    ) -> Option<AtReady> {
        let own = matches!(replies.front(), Some(Reply::HiddenQuery));
        let restored = matches!(replies.front(), Some(Reply::Restore));
        if own && self.doubtful {
            return Some(AtReady::Pass); // here it is
        }
        if !replies.ready() {
            front.resume();
        }
        let status = message.get(HEADER).copied().unwrap_or(b'I');
        if !own && !restored && status == b'I' {
            self.transactions += 1;
        }
        self.status = status;
        self.streaming = false;
        (!own).then(|| front.restore_at_ready(status, replies.is_empty(), restored))
    }

    fn parse_complete(&self, replies: &mut Replies) -> bool {
        match replies.front() {
            Some(Reply::HiddenParse(_) | Reply::HiddenParseUnnamed) => {
                replies.pop();
                false
            }
            Some(
                Reply::Parse(_)
                | Reply::ParseUnnamed
                | Reply::ParseTaken(_)
                | Reply::ParseTooLong
                | Reply::ParseTooMuch,
            ) => {
                replies.pop();
                true
            }
            _ => true,
        }
    }

    /// ErrorResponse; what the client sees instead, if it is not the message
    /// itself.
    fn error(
        &mut self,
        message: &[u8],
        replies: &mut Replies,
        front: &mut Frontend,
        server: &mut Server<'_>,
        own_failed: &mut Option<ErrorFields>,
    ) -> Option<Vec<u8>> {
        let fields = ErrorFields::read(message);
        self.fatal |= fields.is_fatal();
        match replies.front() {
            // A cancel of the client's came a little late, but has to be told: it
            // may have ended a transaction.
            Some(Reply::Restore) if fields.sqlstate == "57014" => {
                front.restore_failed();
                return Some(message.to_vec());
            }
            Some(Reply::HiddenQuery | Reply::Restore) => {
                *own_failed = Some(fields);
                return None;
            }
            _ => {}
        }
        let (failed, no_sync) = replies.fail();
        let mut replacement = None;
        match failed.last() {
            Some(Reply::ParseTaken(taken)) => {
                replacement = Some(message::rename(
                    message,
                    taken.server_name.as_bytes(),
                    &taken.client_name,
                ));
            }
            Some(Reply::Deallocate(of)) => {
                let (from, to) = (of.stand_in.name.as_bytes(), &of.change.name);
                replacement = Some(message::rename(message, from, to));
            }
            // Or the server had another reason, and says so.
            Some(Reply::ParseTooLong) if fields.sqlstate == "42601" => {
                replacement = Some(limit_exceeded(TOO_LONG, TOO_LONG_HINT));
            }
            Some(Reply::ParseTooMuch) if fields.sqlstate == "42601" => {
                replacement = Some(limit_exceeded(TOO_MUCH, TOO_MUCH_HINT));
            }
            // "cached plan must not change result type": whoever parses this
            // text afresh gets a new plan.
            Some(Reply::Bind(Some(statement))) if fields.sqlstate == "0A000" => {
                server.statements.forget(statement);
            }
            _ => {}
        }
        front.undo(failed, no_sync, replies, server.prepared);
        replacement
    }
}

/// SQLSTATE 54000, program_limit_exceeded.
fn limit_exceeded(text: &str, hint: &str) -> Vec<u8> {
    let mut error = Vec::new();
    message::error_response(&mut error, "ERROR", "54000", text, Some(hint));
    error
}

const TOO_MUCH: &str = "the prepared statements with a name of one client may take at most 64 MB here, and be at most 65536";
const TOO_MUCH_HINT: &str = "Close those that are not used any more, or set pool_mode = session.";
const TOO_LONG: &str = "the text of a prepared statement with a name may have at most 16 MB here";
const TOO_LONG_HINT: &str =
    "Send it without a name, or use a database of pgvalet with pool_mode = session.";

fn pop_if(replies: &mut Replies, is: impl Fn(&Reply) -> bool) {
    if replies.front().is_some_and(is) {
        replies.pop();
    }
}

/// The PREPARE in front of a DEALLOCATE, which the client has not sent.
fn is_of_stand_in(tag: &[u8], replies: &Replies) -> bool {
    let of_it = |reply: &Reply| matches!(reply, Reply::Deallocate(of) if of.simple);
    tag == b"PREPARE" && replies.front().is_some_and(of_it)
}

/// CommandComplete has taken its place.
fn complete(replies: &mut Replies, prepared: &mut Prepared) {
    if !matches!(replies.front(), Some(Reply::Execute | Reply::Deallocate(_))) {
        return;
    }
    if let Some(Reply::Deallocate(of)) = replies.pop() {
        prepared.remove(of.stand_in.id);
        replies.forget_eviction(of.stand_in.id);
    }
}

/// Commands whose effect outlives their transaction.
fn note_command(
    tag: &[u8],
    replies: &mut Replies,
    front: &mut Frontend,
    server: &mut Server<'_>,
    findings: &mut Option<Box<Findings>>,
) {
    // The tags of everyday statements differ in the first letter.
    if !matches!(
        tag.first(),
        Some(b'S' | b'R' | b'D' | b'L' | b'P' | b'U' | b'C')
    ) || tag.starts_with(b"SELECT")
    {
        return;
    }
    if matches!(tag, b"SET" | b"RESET" | b"DISCARD ALL") {
        front.was_reset(tag, server.initial);
    }
    match tag {
        b"SET" if front.watch.local_sets > 0 => front.watch.local_sets -= 1,
        b"SET" | b"RESET" | b"LISTEN" | b"PREPARE" | b"DO" => {
            findings.get_or_insert_default().ask = true;
        }
        // What pinned the client may be gone.
        b"UNLISTEN" | b"DEALLOCATE" | b"CLOSE CURSOR" | b"CLOSE CURSOR ALL" | b"DROP TABLE"
        | b"DROP VIEW" | b"DISCARD TEMP" => findings.get_or_insert_default().freed = true,
        b"ROLLBACK" if front.listens.restored == Restored::InTransaction => {
            front.listens.restored = Restored::No;
        }
        b"DISCARD ALL" => {
            front.forget_statements(replies, server.prepared);
            front.watch = Watch::default();
            findings.get_or_insert_default().discarded = true;
        }
        b"DEALLOCATE ALL" => front.forget_statements(replies, server.prepared),
        _ => {}
    }
}

/// Settings that a client may carry from one connection to another; the other
/// reported ones are facts about the server, or privileges.
pub(super) fn is_portable(name: &str) -> bool {
    !matches!(
        name,
        "server_version"
            | "server_encoding"
            | "integer_datetimes"
            | "in_hot_standby"
            | "is_superuser"
            | "session_authorization"
    )
}
