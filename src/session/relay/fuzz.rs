//! The scanners of both directions, on bytes of any kind, offered in pieces: for tests and for
//! the fuzzers.

use std::sync::Arc;

use super::conversation::Conversation;
use super::findings::{Finding, Findings};
use super::from_client::{self, Verdict};
use super::from_server;
use super::replies::{Replies, Reply};
use crate::fuzz::Input;
use crate::pool::{Facts, Prepared, Profile, Profiles, Statements, Told};
use crate::session::arrive::settings::settings as read_settings;
use crate::upstream::Reported;
use crate::wire::Frame;
use crate::wire::startup::Startup;

/// Scans bytes of a client: it makes no difference in which pieces they arrive, and what goes to
/// the server ends where a message ends.
pub fn client(data: &[u8]) {
    let mut data = Input(data);
    let (flags, cuts) = (data.byte(), data.cuts());
    let (leased, failed) = (flags & 1 == 0, flags & 2 != 0);
    let say = |cuts: &Cuts| {
        let mut session = Session::with(flags & 4 == 0);
        let sent = session.client_says(data.0, cuts, leased, failed);
        assert_eq!(is_cut(&sent), session.said.from_client.is_in_message());
        (readable(&sent), session.seen())
    };
    let whole = say(&Cuts::Nowhere);
    assert_eq!(say(&cuts), whole);
    assert_eq!(say(&Cuts::Everywhere), whole);
}

/// Scans bytes of a server, to which a client has said something.
pub fn server(data: &[u8]) {
    let mut data = Input(data);
    let cuts = data.cuts();
    let (asked, answered) = data.halves();
    let say = |cuts: &Cuts| {
        let mut session = Session::default();
        session.client_says(asked, &Cuts::Nowhere, true, false);
        let sent = session.server_says(answered, cuts);
        if session.said.from_server.is_at_boundary() {
            assert!(!is_cut(&sent));
        }
        (readable(&sent), session.seen())
    };
    let whole = say(&Cuts::Nowhere);
    assert_eq!(say(&cuts), whole);
    assert_eq!(say(&Cuts::Everywhere), whole);
}

/// Reads the settings in a start-up packet, those inside `options` too: none of them changes who
/// the client is, whatever it is made of, and the statement that sets them does nothing else.
pub fn settings(startup: &Startup) {
    let Ok(settings) = read_settings(startup) else {
        return;
    };
    for name in settings.keys() {
        assert!(!matches!(&**name, "role" | "session_authorization"));
        let letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_.".contains(&b);
        assert!(!name.is_empty() && name.bytes().all(letter), "{name}");
    }
    let count = settings.len();
    let profile = Profiles::default().intern(settings);
    let sql = profile.change_from(&Profile::initial());
    assert_eq!(sql.map_or(0, |sql| statements(&sql)), count);
}

/// Counts the semicolons that end a statement, as Postgres would.
fn statements(sql: &str) -> usize {
    let (mut count, mut bytes) = (0, sql.bytes().peekable());
    while let Some(byte) = bytes.next() {
        match byte {
            b';' => count += 1,
            b'"' => while bytes.next().is_some_and(|b| b != b'"') {},
            // A literal with backslashes has an E in front of it.
            b'E' if bytes.next_if_eq(&b'\'').is_some() => {
                while let Some(b) = bytes.next() {
                    match b {
                        b'\\' => drop(bytes.next()),
                        b'\'' if bytes.next_if_eq(&b'\'').is_none() => break,
                        _ => {}
                    }
                }
            }
            b'\'' => while bytes.next().is_some_and(|b| b != b'\'') {},
            _ => {}
        }
    }
    count
}

/// Whether the last of these messages is not complete.
fn is_cut(mut bytes: &[u8]) -> bool {
    while let Ok(Some(frame)) = Frame::read(bytes) {
        match bytes.get(frame.len..) {
            Some(rest) => bytes = rest,
            None => return true,
        }
    }
    !bytes.is_empty()
}

pub(super) struct Session {
    /// What the client brought at start-up.
    initial: Arc<Profile>,
    statements: Statements,
    prepared: Prepared,
    said: Conversation,
    reported: Reported,
    facts: Facts,
    told: Arc<Told>,
    /// Names are the client's own, as in transaction mode.
    multiplex: bool,
    /// What can be seen from outside.
    seen: Vec<String>,
}

impl Default for Session {
    fn default() -> Self {
        Self::with(true)
    }
}

impl Session {
    pub(super) fn with(multiplex: bool) -> Self {
        let settings = [("timezone".into(), "UTC".into())].into();
        Self {
            initial: Profiles::default().intern(settings),
            // Two sessions are compared.
            statements: Statements::named("test"),
            prepared: Prepared::default(),
            said: Conversation::default(),
            reported: Reported::default(),
            told: Facts::default().told(&Reported::default()),
            facts: Facts::default(),
            multiplex,
            seen: Vec::new(),
        }
    }
}

#[derive(Debug, Clone)]
pub(super) enum Cuts {
    Nowhere,
    Everywhere,
    At(Vec<usize>),
}

impl Input<'_> {
    fn cuts(&mut self) -> Cuts {
        let count = self.byte() % 8;
        let place = |_| usize::from(u16::from_be_bytes([self.byte(), self.byte()]));
        Cuts::At((0..count).map(place).collect())
    }
}

/// Cuts `bytes` at the given places and offers them as a relay does: what was not dealt with comes
/// again, with the next piece behind it.
fn pieces(bytes: &[u8], cuts: &Cuts, mut offer: impl FnMut(&[u8]) -> usize) -> usize {
    let mut cuts: Vec<usize> = match cuts {
        Cuts::Nowhere => Vec::new(),
        Cuts::Everywhere => (0..bytes.len().min(5000)).collect(),
        Cuts::At(places) => places.iter().map(|at| at % (bytes.len() + 1)).collect(),
    };
    cuts.push(bytes.len());
    cuts.sort_unstable();
    let mut waiting = Vec::new();
    let mut from = 0;
    for cut in cuts {
        waiting.extend_from_slice(&bytes[from..cut]);
        from = cut;
        let consumed = offer(&waiting);
        waiting.drain(..consumed);
    }
    waiting.len()
}

impl Session {
    pub(super) fn client_says(
        &mut self,
        bytes: &[u8],
        cuts: &Cuts,
        leased: bool,
        failed: bool,
    ) -> Vec<u8> {
        let mut sent = Vec::new();
        let mut verdict = "";
        self.said.from_server.status = if failed { b'E' } else { b'I' };
        let rest = pieces(bytes, cuts, |input| {
            let mut out = Vec::new();
            let view = from_client::View {
                session: 7,
                statements: &self.statements,
                multiplex: self.multiplex,
                initial: &self.initial,
                profile: &self.initial,
                defaults: 0,
                limits: false,
                pinned: false,
            };
            let prepared = leased.then_some(&mut self.prepared);
            let progress = self.said.client_says(input, &mut out, prepared, view);
            sent.extend(out);
            sent.extend(&input[progress.run..progress.consumed]);
            verdict = match progress.verdict {
                Verdict::More => "more",
                Verdict::NeedServer => "server",
                Verdict::NeedAnswers => "answers",
                Verdict::Vacate(_) => "vacate",
                Verdict::Terminate => "terminate",
                Verdict::Violation(_) => "violation",
            };
            progress.consumed
        });
        self.seen.push(format!("{verdict}, {rest} left"));
        sent
    }

    pub(super) fn server_says(&mut self, bytes: &[u8], cuts: &Cuts) -> Vec<u8> {
        let mut sent = Vec::new();
        let mut findings = Findings::default();
        let rest = pieces(bytes, cuts, |input| {
            if findings.contains(&Finding::Broken) {
                return 0; // the session ends
            }
            let view = from_server::View {
                statements: &self.statements,
                prepared: &mut self.prepared,
                reported: &mut self.reported,
                told: &mut self.told,
                facts: &self.facts,
                one_statement: false,
                initial: &self.initial,
                activity: None,
            };
            let mut out = Vec::new();
            let progress = self.said.server_says(input, &mut out, view);
            sent.extend(out);
            sent.extend(&input[progress.run..progress.consumed]);
            for finding in progress.findings {
                findings.add(finding);
            }
            progress.consumed
        });
        let from_server = &self.said.from_server;
        let seen = [
            format!("{rest} left, {:?}", Vec::from_iter(&self.reported)),
            format!("{findings:?}"),
            format!("{:?} {}", from_server.certainty, from_server.fatal),
            format!("{} {}", from_server.status, from_server.transactions),
            format!("{:?}", self.prepared.numbers()),
        ];
        self.seen.extend(seen);
        sent
    }

    pub(super) fn seen(mut self) -> Vec<String> {
        let batch = self.said.from_client.batch_open;
        self.seen.push(format!("batch open: {batch}"));
        self.seen.extend(drain(&mut self.said.replies));
        self.seen
    }
}

/// Shows bytes as frames that a person can read.
pub(super) fn readable(mut bytes: &[u8]) -> Vec<String> {
    let mut frames = Vec::new();
    while let Ok(Some(Frame { tag, len })) = Frame::read(bytes) {
        let Some((whole, rest)) = bytes.split_at_checked(len) else {
            break;
        };
        let body = String::from_utf8_lossy(&whole[5..]).replace('\0', "·");
        frames.push(format!("{} {body}", tag as char));
        bytes = rest;
    }
    if !bytes.is_empty() {
        frames.push(format!("{bytes:?}"));
    }
    frames
}

/// Empties a queue into text that can be compared.
fn drain(replies: &mut Replies) -> Vec<String> {
    std::iter::from_fn(|| replies.pop())
        .map(|reply| match reply {
            Reply::Parse(c) => format!("Parse {:?}", c.name),
            Reply::ParseTaken(t) => format!("ParseTaken {:?}", t.client_name),
            Reply::Refused(refusal) => format!("Refused: {}", refusal.text),
            Reply::HiddenParse(copy) => format!("HiddenParse {copy:?}"),
            Reply::HiddenDescribe(d) => format!("HiddenDescribe {:?} {}", d.name, d.number),
            Reply::HiddenStatement => "HiddenStatement".into(),
            Reply::Fence(_) => "Fence".into(),
            Reply::Bind(number) => format!("Bind {number:?}"),
            Reply::Query(sets) => format!("Query {sets:?}"),
            Reply::Function => "Function".into(),
            Reply::Sync => "Sync".into(),
            Reply::ParseUnnamed => "ParseUnnamed".into(),
            Reply::HiddenParseUnnamed => "HiddenParseUnnamed".into(),
            Reply::Describe(number) => format!("Describe {number}"),
            Reply::Execute(sets) => format!("Execute {sets:?}"),
            Reply::Close(c) => format!("Close {:?}", c.map(|c| c.name)),
            Reply::HiddenClose(copy) => format!("HiddenClose {copy:?}"),
            Reply::HiddenCloseUnnamed => "HiddenCloseUnnamed".into(),
            Reply::HiddenQuery => "HiddenQuery".into(),
            Reply::Restore => "Restore".into(),
            Reply::Deallocate(d) => format!("Deallocate {:?}", d.change.name),
            Reply::CopyEnd => "CopyEnd".into(),
            Reply::Reused => "Reused".into(),
        })
        .collect()
}
