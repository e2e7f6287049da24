//! Several clients, several server connections, and between them the scanners
//! with the rules of the relay: when a lease begins, and when it ends.

use std::sync::Arc;

use super::messages::{Say, readable};
use super::postgres::Postgres;
use crate::pool::{Facts, Prepared, Profile, Profiles, Settings, Statements, Told};
use crate::session::relay::conversation::Conversation;
use crate::session::relay::findings::Finding;
use crate::session::relay::from_client::{self, FromClient, Verdict};
use crate::session::relay::from_server::{self, Certainty};
use crate::session::relay::replies::{Fencing, Reply};
use crate::upstream::{Fence, Reported};

pub struct World {
    facts: Facts,
    statements: Statements,
    clients: Vec<Client>,
    servers: Vec<Server>,
    next_server: usize,
    /// Statements that a server connection may keep.
    limit: usize,
}

struct Server {
    postgres: Postgres,
    prepared: Prepared,
    reported: Reported,
    /// Answers that have not arrived yet.
    answers: Vec<u8>,
    leased: bool,
}

/// The setting as a login finds it.
const LOGIN: &str = "login";

struct Client {
    session: u64,
    /// What it brought at start-up.
    initial: Arc<Profile>,
    /// What it expects to find set.
    zone: String,
    told: Arc<Told>,
    conversation: Conversation,
    lease: Option<usize>,
    /// Said, but not arrived yet.
    said: Vec<u8>,
    client_input: Vec<u8>,
    server_input: Vec<u8>,
    received: Vec<u8>,
    stalled: bool,
    /// A Postgres of its own, and what it said.
    own: Postgres,
    expected: Vec<u8>,
    /// What follows depends on answers that must all be in.
    waits: bool,
    /// The same, of whatever comes behind the current batch.
    alone: bool,
}

impl Server {
    fn new(limit: usize) -> Self {
        Self {
            postgres: Postgres::new(LOGIN),
            prepared: Prepared::with_limit(limit),
            reported: Reported::from_iter([("zone", LOGIN)]),
            answers: Vec::new(),
            leased: false,
        }
    }
}

impl World {
    pub fn new(clients: usize, servers: usize, limit: usize) -> Self {
        // Every other client brings a setting.
        let zone = |session: u64| match session % 2 {
            0 => LOGIN.to_owned(),
            _ => format!("brought_{session}"),
        };
        let profile = |zone: &str| {
            let settings = Settings::from([("zone".into(), zone.into())]);
            Profiles::default().intern(if zone == LOGIN {
                Settings::new()
            } else {
                settings
            })
        };
        let client = |session| Client {
            session,
            initial: profile(&zone(session)),
            zone: zone(session),
            told: Facts::default().told(&Reported::from_iter([("zone", zone(session).as_str())])),
            conversation: Conversation::default(),
            lease: None,
            said: Vec::new(),
            client_input: Vec::new(),
            server_input: Vec::new(),
            received: Vec::new(),
            stalled: false,
            own: Postgres::new(&zone(session)),
            expected: Vec::new(),
            waits: false,
            alone: false,
        };
        let statements = Statements::default();
        statements.plans.keep_them(true);
        Self {
            facts: Facts::default(),
            statements,
            clients: (1..=clients as u64).map(client).collect(),
            servers: (0..servers).map(|_| Server::new(limit)).collect(),
            next_server: 0,
            limit,
        }
    }

    /// A client says something, to its own Postgres and towards the proxy.
    pub fn say(&mut self, who: usize, message: &Say) {
        let client = &mut self.clients[who];
        let of_copy = matches!(
            message,
            Say::CopyData(_) | Say::CopyDone | Say::CopyFail | Say::Sync | Say::Flush
        );
        if client.own.copying.is_some() && !of_copy {
            return; // Postgres would close the connection
        }
        if client.waits && !of_copy && !self.has_all_answers(who) {
            return;
        }
        if self.clients[who].alone
            && !self.clients[who].own.batch_open
            && !self.has_all_answers(who)
        {
            return;
        }
        let client = &mut self.clients[who];
        client.alone &= client.own.batch_open;
        client.waits &= of_copy;
        if client.own.unnamed_is_old && matches!(message, Say::Bind(_, "", _) | Say::Describe("")) {
            return; // not promised: see `FromClient::undo`
        }
        // Not promised either: what follows a RESET in its batch sees what the
        // login gave, and of a portal bound before nobody remembers the text.
        if client.own.zone.was_reset && *message != Say::Sync {
            return;
        }
        // Which statement a DEALLOCATE means is seen when it is bound.
        if let Say::Execute(portal) = message
            && client.own.finds_otherwise(portal)
        {
            return;
        }
        if let Say::Execute(portal) = message
            && let Some(sql) = client.own.late_reset(portal)
        {
            if !sql.starts_with("RESET") {
                return;
            }
            client.alone = true;
        }
        let bytes = message.bytes();
        client.expected.extend(client.own.feed(&bytes));
        client.said.extend(bytes);
        // Seen in its answer, so what is said behind it must wait for that.
        client.waits |= *message == Say::Query("DEALLOCATE ALL");
        client.waits |= std::mem::take(&mut client.own.copy_failed);
    }

    fn has_all_answers(&self, who: usize) -> bool {
        let client = &self.clients[who];
        client.received.len() >= client.expected.len()
    }

    /// Up to `n` bytes of what a client said arrive.
    pub fn hear(&mut self, who: usize, n: usize) {
        let client = &mut self.clients[who];
        let n = n.min(client.said.len());
        client.client_input.extend(client.said.drain(..n));
        if !client.stalled {
            self.forward(who);
        }
    }

    fn forward(&mut self, who: usize) {
        loop {
            let client = &mut self.clients[who];
            let mut server = client.lease.map(|at| &mut self.servers[at]);
            let mut out = Vec::new();
            let prepared = server.as_deref_mut().map(|s| &mut s.prepared);
            let view = from_client::View {
                session: client.session,
                statements: &self.statements,
                multiplex: true,
                initial: &client.initial,
                profile: &client.initial,
                defaults: 0,
                limits: false,
                pinned: false,
            };
            let said = &client.client_input;
            let conversation = &mut client.conversation;
            let progress = conversation.client_says(said, &mut out, prepared, view);
            out.extend(&client.client_input[progress.run..progress.consumed]);
            if let Some(server) = server {
                server.answers.extend(server.postgres.feed(&out));
            } else {
                assert!(out.is_empty(), "bytes for a server without a lease");
            }
            client.client_input.drain(..progress.consumed);
            match progress.verdict {
                Verdict::More => {
                    if client.client_input.is_empty() {
                        self.release_at_rest(who);
                    }
                    return;
                }
                Verdict::NeedAnswers => {
                    client.stalled = true;
                    return;
                }
                Verdict::NeedServer => {
                    if !self.lease(who) {
                        return;
                    }
                }
                Verdict::Vacate(_) => client.conversation.from_client.vacated = true,
                Verdict::Terminate | Verdict::Violation(_) => {
                    panic!("nothing of the kind was said")
                }
            }
        }
    }

    fn lease(&mut self, who: usize) -> bool {
        self.next_server += 1;
        let n = self.servers.len();
        let free = (0..n)
            .map(|i| (i + self.next_server) % n)
            .find(|at| !self.servers[*at].leased);
        let Some(at) = free else { return false };
        let (client, server) = (&mut self.clients[who], &mut self.servers[at]);
        server.leased = true;
        client.lease = Some(at);
        client.conversation.from_server.begin();
        if server.postgres.zone.value != client.zone {
            let sql = format!("SET zone {}", client.zone);
            let mut query = Vec::new();
            FromClient::ask(
                &sql,
                &mut query,
                &mut client.conversation.replies,
                &mut server.prepared,
            );
            server.answers.extend(server.postgres.feed(&query));
        }
        true
    }

    /// Up to `n` bytes of a server's answers arrive at its client.
    pub fn answer(&mut self, who: usize, n: usize) {
        let client = &mut self.clients[who];
        let Some(at) = client.lease else { return };
        let server = &mut self.servers[at];
        let n = n.min(server.answers.len());
        if n == 0 {
            return;
        }
        client.server_input.extend(server.answers.drain(..n));
        let mut out = Vec::new();
        let view = from_server::View {
            statements: &self.statements,
            prepared: &mut server.prepared,
            reported: &mut server.reported,
            told: &mut client.told,
            facts: &self.facts,
            one_statement: false,
            initial: &client.initial,
            activity: None,
        };
        let said = &client.server_input;
        let progress = client.conversation.server_says(said, &mut out, view);
        out.extend(&client.server_input[progress.run..progress.consumed]);
        client.received.extend(out);
        client.server_input.drain(..progress.consumed);
        for finding in progress.findings {
            assert_ne!(finding, Finding::Broken, "the stream is lost");
            assert!(
                !matches!(finding, Finding::SettingsRefused(_)),
                "{finding:?}"
            );
            if finding == Finding::SendAgain {
                let batch = client.conversation.from_client.take_batch();
                client.client_input.splice(0..0, batch);
                client.stalled = true;
            }
            if finding == Finding::Reset {
                let mut out = Vec::new();
                let name = self.statements.server_name(0);
                let from_client = &client.conversation.from_client;
                from_client.write_restore(&client.initial, &name, &mut out);
                server.answers.extend(server.postgres.feed(&out));
            }
        }
        let client = &mut self.clients[who];
        if client.server_input.is_empty() {
            self.release_at_rest(who);
        }
        if std::mem::take(&mut self.clients[who].stalled) {
            self.forward(who);
        }
    }

    fn release_at_rest(&mut self, who: usize) {
        let client = &mut self.clients[who];
        let Some(at) = client.lease else { return };
        if !client.conversation.is_at_rest() {
            return;
        }
        if client.conversation.from_server.certainty == Certainty::Doubtful {
            let server = &mut self.servers[at];
            let (fence, mut query) = (Fence::new(), Vec::new());
            server.prepared.query(&fence.sql(), &mut query);
            let begun = false;
            let fence = Reply::Fence(Box::new(Fencing { fence, begun }));
            client.conversation.replies.push(fence);
            server.answers.extend(server.postgres.feed(&query));
            return;
        }
        client.lease = None;
        client.conversation.from_client.lease_ends();
        let server = &mut self.servers[at];
        if client.conversation.from_server.certainty == Certainty::Fenced {
            // It is cleaned.
            server.prepared = Prepared::with_limit(self.limit);
            server.postgres.named.clear();
            server.postgres.unnamed = None;
        }
        // What it is told at its next lease is not what this is about.
        client.told = self.facts.told(&server.reported);
        server.leased = false;
        let postgres = &server.postgres;
        // The server is asked.
        client.zone.clone_from(&postgres.zone.value);
        assert!(server.answers.is_empty(), "released with answers to come");
        assert!(!postgres.is_mid_message(), "released within a message");
        assert!(!postgres.skipping, "released while it waits for Sync");
        assert_eq!(postgres.copying, None, "released in a COPY");
        assert!(!postgres.batch_open, "released before its Sync");
        assert_eq!(postgres.status, b'I', "released in a transaction");
        assert_eq!(server.prepared.len(), postgres.named.len(), "lost count");
        for number in server.prepared.numbers() {
            let name = self.statements.server_name(number);
            assert!(postgres.named.contains_key(name.as_bytes()), "{name}");
        }
    }

    /// Lets everything arrive that was said.
    pub fn settle(&mut self) {
        loop {
            let before = self.under_way();
            for who in 0..self.clients.len() {
                self.hear(who, usize::MAX);
                self.answer(who, usize::MAX);
            }
            if self.under_way() == before {
                return;
            }
        }
    }

    /// Bytes under way, place by place.
    fn under_way(&self) -> Vec<usize> {
        let mut places = Vec::new();
        for c in &self.clients {
            places.extend([c.said.len(), c.client_input.len(), c.server_input.len()]);
        }
        places.extend(self.servers.iter().map(|s| s.answers.len()));
        places
    }

    /// Ends all transactions, and compares what clients saw with what they
    /// would have seen.
    pub fn finish(&mut self) {
        let mut left: Vec<usize> = (0..self.clients.len()).collect();
        while !left.is_empty() {
            self.settle();
            // Some wait for a connection that others still hold.
            let Some(at) = left.iter().position(|who| self.has_all_answers(*who)) else {
                break;
            };
            let who = left.remove(at);
            self.clients[who].waits = false;
            self.say(who, &Say::CopyDone);
            self.say(who, &Say::Sync);
            self.settle();
            self.say(who, &Say::Query("ROLLBACK"));
        }
        self.settle();
        for client in &self.clients {
            let (saw, expected) = (readable(&client.received), readable(&client.expected));
            assert_eq!(saw, expected, "client {} (left: saw)", client.session);
            assert!(client.lease.is_none(), "client {} holds on", client.session);
        }
        let under_way: usize = self.under_way().iter().sum();
        assert_eq!(under_way, 0, "something never arrived");
    }
}
