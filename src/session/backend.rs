//! The server's messages on their way to the client.
//!
//! Only the messages that say where the conversation stands are looked into;
//! rows and COPY data pass by length. Answers to messages of pgvalet's own are
//! left out.

use std::sync::Arc;

use super::frontend::{AtReady, Frontend, Restored, Watch};
use super::replies::{Aftermath, Replies, Reply, Sets};
use crate::pool::{Described, Facts, Prepared, Profile, Statements, Told};
use crate::upstream::Reported;
use crate::wire::message::{self, ErrorFields, read_command_tag, read_parameter_status};
use crate::wire::tag::{backend as tag, status};
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
    /// Commands that were answered: what the server has got done.
    pub answers: u64,
    /// Whether the accounts say which answers are still to come.
    pub certainty: Certainty,
    /// Replication streams in both directions: there is no transaction to
    /// wait for.
    pub streaming: bool,
    /// The server has said why it is about to close the connection.
    pub fatal: bool,
}

/// Whether it is known which answers a server still owes.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Certainty {
    #[default]
    Certain,
    /// One may come that nobody waits for. Before anybody else can have the
    /// connection a fence is asked, and what comes before its answer is the
    /// client's.
    Doubtful,
    /// There was doubt, and a fence has ended it. What is prepared and set there
    /// is not known any more, so that the connection is cleaned.
    Fenced,
}

/// What the scan found.
#[derive(Default)]
pub(super) struct Findings {
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
    /// A role or a database was altered: its defaults may have changed.
    pub altered: bool,
    /// A statement that was known to be there is gone.
    pub statement_lost: bool,
    /// The stream can no longer be understood.
    pub broken: bool,
}

/// What is known of the server connection that is scanned.
pub(super) struct Server<'a> {
    pub statements: &'a Statements,
    pub prepared: &'a mut Prepared,
    pub reported: &'a mut Reported,
    /// What the client was told of that.
    pub told: &'a mut Arc<Told>,
    pub facts: &'a Facts,
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
        self.rest == 0 && self.status == status::IDLE
    }

    /// For a new lease: the connection comes from the pool, so it is idle.
    pub fn begin(&mut self) {
        *self = Self {
            status: status::IDLE,
            transactions: self.transactions,
            answers: self.answers,
            ..Self::default()
        };
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
            // The length does not depend on how much has arrived so far.
            let looked_into = match frame.tag {
                tag::READY_FOR_QUERY
                | tag::ERROR_RESPONSE
                | tag::PARAMETER_STATUS
                | tag::COMMAND_COMPLETE => true,
                tag::ROW_DESCRIPTION | tag::PARAMETER_DESCRIPTION => matches!(
                    replies.front(),
                    Some(Reply::HiddenDescribe(_) | Reply::Fence(_))
                ),
                tag::NOTIFICATION_RESPONSE => !front.listens.shared.is_empty(),
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
            self.answers += u64::from(matches!(
                frame.tag,
                tag::COMMAND_COMPLETE
                    | tag::EMPTY_QUERY_RESPONSE
                    | tag::PORTAL_SUSPENDED
                    | tag::ERROR_RESPONSE
            ));
            if replies.fencing().is_some() {
                match self.at_fence(frame.tag, whole, replies, &mut server) {
                    Ok(keep) => {
                        self.rest = frame.len;
                        self.rest_is_dropped = !keep;
                        continue;
                    }
                    Err(Unfenced) => {
                        findings.get_or_insert_default().broken = true;
                        break;
                    }
                }
            }
            let keep = match frame.tag {
                tag::READY_FOR_QUERY => {
                    let ready = self.ready(whole, replies, front);
                    // Settings were brought up to date: the client is told what
                    // is otherwise here than where it was before.
                    if own && ready.is_none() && !server.told.is(server.reported) {
                        out.extend_from_slice(&input[run..at]);
                        run = at;
                        server.told.write_changes(server.reported, out);
                        *server.told = server.facts.told(server.reported);
                    }
                    if server.one_statement && self.status != status::IDLE {
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
                tag::ERROR_RESPONSE => {
                    let mut own_failed = None;
                    if replies.is_empty() {
                        self.certainty = Certainty::Doubtful;
                    }
                    match replies.aftermath() {
                        Aftermath::Known => {}
                        Aftermath::Doubtful => self.certainty = Certainty::Doubtful,
                        Aftermath::Lost => {
                            findings.get_or_insert_default().broken = true;
                            break;
                        }
                    }
                    let replaced = self.error(
                        whole,
                        replies,
                        front,
                        &mut server,
                        &mut own_failed,
                        &mut findings,
                    );
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
                tag::PARAMETER_STATUS => {
                    let mut kept_back = false;
                    if let Some((name, value)) = read_parameter_status(whole) {
                        let before = server.reported.set(name, value);
                        kept_back = front.keeps_report(name, before.as_deref());
                    }
                    !own && !kept_back
                }
                tag::COMMAND_COMPLETE => {
                    let tag = read_command_tag(whole);
                    if own || is_of_stand_in(tag, replies) {
                        false
                    } else if matches!(replies.front(), Some(Reply::HiddenStatement)) {
                        replies.pop();
                        false
                    } else {
                        self.expects(replies, |r| {
                            matches!(
                                r,
                                Reply::Query(_) | Reply::Execute(_) | Reply::Deallocate(_)
                            )
                        });
                        note_command(tag, replies, front, &mut server, &mut findings);
                        complete(replies, server.prepared);
                        true
                    }
                }
                tag::EMPTY_QUERY_RESPONSE | tag::PORTAL_SUSPENDED => {
                    pop_if(replies, |r| matches!(r, Reply::Execute(_)));
                    !own
                }
                tag::PARSE_COMPLETE | tag::BIND_COMPLETE | tag::CLOSE_COMPLETE if own => false,
                tag::PARSE_COMPLETE | tag::BIND_COMPLETE | tag::DATA_ROW
                    if matches!(replies.front(), Some(Reply::HiddenStatement)) =>
                {
                    false
                }
                tag::PARSE_COMPLETE => self.parse_complete(replies),
                tag::BIND_COMPLETE => {
                    self.expects(replies, |r| matches!(r, Reply::Bind(_)));
                    pop_if(replies, |r| matches!(r, Reply::Bind(_)));
                    true
                }
                tag::CLOSE_COMPLETE => match replies.front() {
                    Some(Reply::HiddenClose(_) | Reply::HiddenCloseUnnamed) => {
                        replies.pop();
                        false
                    }
                    _ => {
                        pop_if(replies, |r| matches!(r, Reply::Close(_)));
                        true
                    }
                },
                tag::PARAMETER_DESCRIPTION
                    if matches!(replies.front(), Some(Reply::HiddenDescribe(_))) =>
                {
                    if let Some(Reply::HiddenDescribe(describing)) = replies.front_mut() {
                        describing.parameters = whole.get(HEADER..).map(Into::into);
                    }
                    false
                }
                tag::ROW_DESCRIPTION | tag::NO_DATA
                    if matches!(replies.front(), Some(Reply::HiddenDescribe(_))) =>
                {
                    described(whole, replies, front, &mut server);
                    false
                }
                tag::ROW_DESCRIPTION | tag::NO_DATA => {
                    pop_if(replies, |r| matches!(r, Reply::Describe(_)));
                    !own
                }
                tag::COPY_BOTH_RESPONSE => {
                    self.streaming = true;
                    true
                }
                tag::COPY_IN_RESPONSE => {
                    // Of a COPY that was taken for the data of an earlier one.
                    if replies.is_empty() {
                        self.certainty = Certainty::Doubtful;
                        replies.push(Reply::Query(Sets::Maybe));
                    }
                    front.batch_open |= replies.copy_in();
                    true
                }
                // Asynchronous, and never an answer to anything of ours; but the
                // listening connection may have heard it too.
                tag::NOTIFICATION_RESPONSE => !message::read_notification(whole)
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
        if !replies.ready() {
            self.certainty = Certainty::Doubtful;
            front.resume(replies.is_empty());
        }
        let status = message.get(HEADER).copied().unwrap_or(status::IDLE);
        if !own && !restored && status == status::IDLE {
            self.transactions += 1;
        }
        self.status = status;
        self.streaming = false;
        (!own).then(|| front.restore_at_ready(status, replies.is_empty(), restored))
    }

    /// Notes an answer that nobody waits for.
    fn expects(&mut self, replies: &Replies, such: impl Fn(&Reply) -> bool) {
        if !replies.front().is_some_and(such) {
            self.certainty = Certainty::Doubtful;
        }
    }

    fn parse_complete(&mut self, replies: &mut Replies) -> bool {
        match replies.front() {
            Some(Reply::HiddenParse(_) | Reply::HiddenParseUnnamed) => {
                replies.pop();
                false
            }
            Some(
                Reply::Parse(_) | Reply::ParseUnnamed | Reply::ParseTaken(_) | Reply::Refused(_),
            ) => {
                replies.pop();
                true
            }
            _ => {
                self.certainty = Certainty::Doubtful;
                true
            }
        }
    }

    /// A message that comes while a fence is awaited: whether it is the client's.
    ///
    /// # Errors
    /// The fence cannot be answered any more.
    fn at_fence(
        &mut self,
        tag: u8,
        message: &[u8],
        replies: &mut Replies,
        server: &mut Server<'_>,
    ) -> Result<bool, Unfenced> {
        let Some(fencing) = replies.fencing() else {
            return Ok(true);
        };
        match tag {
            tag::PARAMETER_STATUS => {
                if let Some((name, value)) = read_parameter_status(message) {
                    server.reported.set(name, value);
                }
                Ok(true)
            }
            tag::NOTIFICATION_RESPONSE | tag::NOTICE_RESPONSE => Ok(true),
            tag::ROW_DESCRIPTION if !fencing.begun && fencing.fence.is_answered_by(message) => {
                fencing.begun = true;
                Ok(false)
            }
            tag::DATA_ROW | tag::COMMAND_COMPLETE if fencing.begun => Ok(false),
            tag::READY_FOR_QUERY => {
                let begun = fencing.begun;
                self.status = message.get(HEADER).copied().unwrap_or(status::IDLE);
                if begun {
                    replies.pop();
                    self.certainty = Certainty::Fenced;
                } else if self.status == status::IDLE {
                    self.transactions += 1;
                }
                Ok(!begun)
            }
            _ if fencing.begun => Err(Unfenced),
            // The question itself was taken for something else, or refused.
            tag::COPY_IN_RESPONSE | tag::COPY_BOTH_RESPONSE => Err(Unfenced),
            tag::ERROR_RESPONSE => {
                let fields = ErrorFields::read(message);
                self.fatal |= fields.is_fatal();
                match fields.sqlstate.as_str() {
                    "25P02" | "08P01" => Err(Unfenced),
                    _ => Ok(true),
                }
            }
            _ => Ok(true),
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
        findings: &mut Option<Box<Findings>>,
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
                let from = server.statements.server_name(of.stand_in);
                replacement = Some(message::rename(message, from.as_bytes(), &of.change.name));
            }
            // Or the server had another reason, and says so.
            Some(Reply::Refused(refusal)) if fields.sqlstate == "42601" => {
                let hint = (!refusal.hint.is_empty()).then_some(refusal.hint);
                let mut error = Vec::new();
                message::error_response(&mut error, "ERROR", refusal.sqlstate, refusal.text, hint);
                replacement = Some(error);
            }
            // Somebody has deallocated it behind everybody's back (DO, a
            // function). It is prepared anew when it is needed next.
            Some(Reply::Bind(Some(number)) | Reply::Describe(number))
                if fields.sqlstate == "26000" =>
            {
                server.prepared.remove_number(*number);
                findings.get_or_insert_default().statement_lost = true;
            }
            // What pgvalet put in is not what the client has to hear of, but
            // that its batch has failed it must.
            _ => {}
        }
        front.undo(failed, no_sync, replies, server.prepared);
        replacement
    }
}

/// Why a fence cannot be waited for.
struct Unfenced;

/// The server has said what a statement is that a client has parsed: it may be
/// one that others have as well.
fn described(message: &[u8], replies: &mut Replies, front: &mut Frontend, server: &mut Server<'_>) {
    let Some(Reply::HiddenDescribe(describing)) = replies.pop() else {
        return;
    };
    let described = Described {
        parameters: describing.parameters.unwrap_or_else(|| [0, 0].into()),
        columns: server.statements.digest(message),
    };
    let parsed = &describing.statement;
    if describing.again {
        front.is_verified(server.statements.is_still(parsed, &described));
        return;
    }
    let same = server.statements.described(parsed, described);
    if Arc::ptr_eq(&same, parsed) {
        return;
    }
    front.is_same(&describing.name, parsed, &same);
    let number = describing.number;
    server.prepared.is_of(number, parsed.id, same.id);
}

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
    if !matches!(
        replies.front(),
        Some(Reply::Execute(_) | Reply::Deallocate(_))
    ) {
        return;
    }
    if let Some(Reply::Deallocate(of)) = replies.pop() {
        prepared.remove_number(of.stand_in);
        replies.forget_eviction(of.stand_in);
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
        Some(b'A' | b'S' | b'R' | b'D' | b'L' | b'P' | b'U' | b'C')
    ) || tag.starts_with(b"SELECT")
    {
        return;
    }
    if matches!(tag, b"SET" | b"RESET" | b"DISCARD ALL") {
        front.watch.touched = true;
        front.was_reset(tag, server.initial);
    }
    match tag {
        b"SET" if sets_locally(replies) => {}
        b"SET" | b"RESET" | b"LISTEN" | b"PREPARE" | b"DO" | b"CALL" => {
            findings.get_or_insert_default().ask = true;
        }
        b"ALTER ROLE" | b"ALTER DATABASE" => findings.get_or_insert_default().altered = true,
        // What pinned the client may be gone.
        // Of a statement that is not the client's: it is looked what is left.
        b"DEALLOCATE" if !matches!(replies.front(), Some(Reply::Deallocate(_))) => {
            let findings = findings.get_or_insert_default();
            (findings.freed, findings.ask) = (true, true);
        }
        b"UNLISTEN" | b"DEALLOCATE" | b"CLOSE CURSOR" | b"CLOSE CURSOR ALL" | b"DROP TABLE"
        | b"DROP VIEW" | b"DISCARD TEMP" => findings.get_or_insert_default().freed = true,
        b"ROLLBACK" if front.listens.restored == Restored::InTransaction => {
            front.listens.restored = Restored::No;
        }
        b"DISCARD ALL" => {
            front.forget_statements(replies, server.prepared);
            front.watch = Watch {
                touched: true,
                ..Watch::default()
            };
            findings.get_or_insert_default().discarded = true;
        }
        b"DEALLOCATE ALL" => front.forget_statements(replies, server.prepared),
        _ => {}
    }
}

/// Whether no SET of the text that is being answered outlasts its transaction.
fn sets_locally(replies: &Replies) -> bool {
    matches!(
        replies.front(),
        Some(Reply::Query(Sets::Locally) | Reply::Execute(Sets::Locally))
    )
}
