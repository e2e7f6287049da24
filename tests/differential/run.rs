//! Sends every sequence every way to every side, and compares.

use std::collections::BTreeSet;

use futures_util::{StreamExt, stream};

use super::common::{Cluster, Proxy, new_password};
use super::dsl::{Case, Message, q, s};
use super::render::{Renderer, alike, start_up};
use super::wire::{Client, Silence};

pub const MODES: [&str; 2] = ["transaction", "session"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// All of it in one write.
    Once,
    /// Goes on from a Sync, a Query and the like only when they are answered.
    Stepwise,
    /// Sends all at once, in pieces of a few bytes.
    Chunked,
    /// All of it in one write, for the third time: what is parsed without a name has a plan
    /// that is used again (`reuse_plans`).
    Repeated,
}

const WAYS: [Way; 4] = [Way::Once, Way::Stepwise, Way::Chunked, Way::Repeated];

/// The answers in session mode do not depend on where the steps are.
const SENT: [(&str, Way); 6] = [
    (MODES[0], Way::Once),
    (MODES[0], Way::Stepwise),
    (MODES[0], Way::Chunked),
    (MODES[0], Way::Repeated),
    (MODES[1], Way::Stepwise),
    (MODES[1], Way::Chunked),
];

pub struct Difference {
    pub case: &'static str,
    pub mode: &'static str,
    pub what: String,
}

/// The outcome of all the sequences.
#[derive(Default)]
pub struct Found {
    pub differences: Vec<Difference>,
    /// Types of the messages that Postgres sent.
    pub answered: BTreeSet<char>,
}

impl Found {
    pub fn extend(&mut self, other: Self) {
        self.differences.extend(other.differences);
        self.answered.extend(other.answered);
    }
}

/// The last words of every sequence. Sync ends whatever is being passed over;
/// the error says that all before it is answered, in any transaction state.
const END: &str = "end_of_the_sequence";

fn database(mode: &str, way: Way) -> String {
    format!("{mode}_{way:?}").to_lowercase()
}

pub async fn differences(cluster: &Cluster, cases: &[Case]) -> Found {
    let (user, password) = ("app_user", new_password());
    cluster.create_role(user, &password).await;
    // Many logins, of which only the answers behind them matter here.
    let direct = WAYS.map(|way| database("direct", way));
    cluster.trust_in(&direct).await;
    let mut proxy = Proxy::builder().secret("app", &cluster.secret(user, &password));
    // A database for each side and way: the same names everywhere, no clashes.
    for way in WAYS {
        for mode in ["direct", MODES[0], MODES[1]] {
            let name = database(mode, way);
            cluster
                .execute(&format!("CREATE DATABASE {name} OWNER {user}"))
                .await;
            if mode != "direct" {
                let (size, reuse) = match way {
                    Way::Repeated => (1, true),
                    _ => (4, false),
                };
                let body = format!(
                    "secret = \"app\"\ndbname = \"{name}\"\npool_mode = \"{mode}\"\n\
                     pool_size = {size}\nreuse_plans = {reuse}"
                );
                proxy = proxy.database(&name, &body);
            }
        }
    }
    let proxy = proxy.start().await;
    let (proxied, major) = (proxy.port, cluster.binaries.major);
    let port = cluster.port;
    stream::iter(cases)
        .map(|case| async move {
            let mut found = Found::default();
            for way in [Way::Once, Way::Stepwise, Way::Repeated] {
                let left_out = match way {
                    Way::Stepwise => case.at_once,
                    Way::Repeated => !case.parses_without_name(),
                    _ => false,
                };
                if left_out {
                    continue;
                }
                let direct = run(case, way, "direct", port, 0).await;
                let types = direct.iter().filter(|l| l.get(1..2) == Some(" "));
                found
                    .answered
                    .extend(types.filter_map(|l| l.chars().next()));
                let told = direct.iter().filter(|line| is_notification(line)).count();
                let hung = direct.iter().any(|line| line == "timeout");
                assert!(!hung, "{} {way:?}: {direct:#?}", case.name);
                for (mode, sent) in SENT {
                    // To Postgres it is all the same where a piece ends.
                    if sent != way && (sent, way) != (Way::Chunked, Way::Once) {
                        continue;
                    }
                    let mut answers = run(case, sent, mode, proxied, told).await;
                    let mut direct = direct.clone();
                    if mode == MODES[0] {
                        // They come by another connection, and when they can.
                        answers.sort_by_key(|line| is_notification(line));
                        direct.sort_by_key(|line| is_notification(line));
                    }
                    if let Some(what) = compare(&direct, &answers) {
                        found.differences.push(Difference {
                            case: case.name,
                            mode,
                            what: format!("Postgres {major}, {sent:?}\n{what}"),
                        });
                    }
                }
            }
            found
        })
        .buffer_unordered(8)
        .fold(Found::default(), async |mut all, found| {
            all.extend(found);
            all
        })
        .await
}

fn is_notification(line: &str) -> bool {
    line.starts_with("A ")
}

/// The first lines that are not alike, with what came before them.
fn compare(postgres: &[String], pgvalet: &[String]) -> Option<String> {
    let end = "nothing more".to_owned();
    let length = postgres.len().max(pgvalet.len());
    let at = (0..length).find(|at| {
        let (a, b) = (postgres.get(*at), pgvalet.get(*at));
        !a.zip(b).is_some_and(|(a, b)| alike(a, b))
    })?;
    let before = postgres[at.saturating_sub(4)..at].join("\n      ");
    let (a, b) = (postgres.get(at), pgvalet.get(at));
    let (a, b) = (a.unwrap_or(&end), b.unwrap_or(&end));
    Some(format!("      {before}\n    - {a}\n    + {b}"))
}

/// The answers, those of the last time if the case is repeated. Waits for as many
/// notifications as `told` says.
async fn run(case: &Case, way: Way, mode: &str, port: u16, told: usize) -> Vec<String> {
    if way == Way::Repeated {
        for _ in 0..2 {
            run_once(case, way, mode, port, told).await;
        }
    }
    run_once(case, way, mode, port, told).await
}

async fn run_once(case: &Case, way: Way, mode: &str, port: u16, told: usize) -> Vec<String> {
    let mut messages = case.messages.clone();
    messages.extend([s(), q(END)]);
    let chunk = match way {
        Way::Chunked if messages.concat().len() < 4000 => 7,
        Way::Chunked => 1021,
        _ => usize::MAX,
    };
    let mut client = Client::connect(port, chunk).await;
    let database = database(mode, way);
    let mut parameters = vec![("user", "app_user"), ("database", database.as_str())];
    // pgvalet gives a client without a name its own.
    if !case.nameless {
        parameters.push(("application_name", "test"));
    }
    parameters.extend(&case.parameters);
    client.start(case.version, &parameters);
    let (seen, silence) = client.greeting().await;
    let mut lines = start_up(&seen);
    if let Some(silence) = silence {
        // Postgres reads the settings after the login, pgvalet has none.
        lines.retain(|line| !line.starts_with("R "));
        lines.push(word(silence).to_owned());
        return lines;
    }
    let mut reader = Reader::default();
    if way == Way::Stepwise {
        step_by_step(&mut client, &messages, &mut reader).await;
    } else {
        client.send(messages.concat());
        while reader.read(&mut client).await.is_some() {}
    }
    reader.listen(&mut client, told).await;
    lines.extend(reader.lines);
    lines
}

fn word(silence: Silence) -> &'static str {
    match silence {
        Silence::Closed => "closed",
        Silence::Timeout => "timeout",
    }
}

#[derive(Default)]
struct Reader {
    renderer: Renderer,
    lines: Vec<String>,
    ended: bool,
    over: bool,
}

impl Reader {
    /// The tag of the next message; `None` when the sequence is over.
    async fn read(&mut self, client: &mut Client) -> Option<u8> {
        if self.over {
            return None;
        }
        match client.next().await {
            Ok(received) => {
                let line = self.renderer.line(&received);
                self.ended |= received.tag == b'E' && line.contains(END);
                self.over = self.ended && received.tag == b'Z';
                self.lines.push(line);
                Some(received.tag)
            }
            Err(silence) => {
                self.lines.push(word(silence).to_owned());
                self.over = true;
                None
            }
        }
    }
}

impl Reader {
    /// Notifications behind the end of the sequence, where there are to be so
    /// many in all.
    async fn listen(&mut self, client: &mut Client, told: usize) {
        while self.lines.iter().filter(|l| is_notification(l)).count() < told {
            match client.next().await {
                Ok(received) => self.lines.push(self.renderer.line(&received)),
                Err(silence) => return self.lines.push(word(silence).to_owned()),
            }
        }
    }
}

/// The activity of the server, as far as it decides which message is answered.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Copying {
    No,
    Simple,
    /// Sync is passed over until the data ends.
    Extended,
}

async fn step_by_step(client: &mut Client, messages: &[Message], reader: &mut Reader) {
    let mut copying = Copying::No;
    let mut step = Vec::new();
    for message in messages {
        step.extend_from_slice(message);
        let tag = message.first().copied();
        let simple = copying == Copying::Simple;
        let answered = match tag {
            Some(b'Q' | b'F') => true,
            Some(b'S') => copying == Copying::No,
            Some(b'c' | b'f') => {
                copying = Copying::No;
                simple
            }
            _ => false,
        };
        if !answered {
            continue;
        }
        client.send(std::mem::take(&mut step));
        copying = loop {
            match reader.read(client).await {
                None => return,
                Some(b'Z') => break Copying::No,
                Some(b'G') if tag == Some(b'Q') => break Copying::Simple,
                Some(b'G') => break Copying::Extended,
                Some(_) => {}
            }
        };
    }
    client.send(step);
    while reader.read(client).await.is_some() {}
}
