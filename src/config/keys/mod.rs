//! Every key of the configuration, defined once: its name, what may be written, its default,
//! what it means, and an example.
//!
//! Reading takes the defaults and the limits from here ([`Section`](super::section::Section)),
//! an unknown key is compared with these names, and docs/CONFIGURATION.md and the JSON Schema of
//! the file are printed from them ([`reference`](super::reference), [`schema`](super::schema)).

mod audit;
mod client;
mod database;
mod fleet;
mod listen;
mod rotation;
mod runtime;
mod store;

use std::time::Duration;

/// What may be written for a key.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// Text in quotes; the words say what the text is.
    Text(&'static str),
    /// A text or a list of texts; the words say what the texts are.
    List(&'static str),
    /// A table whose values are texts; the words say what the texts are.
    Texts(&'static str),
    Boolean,
    /// `true`, `false` or one of these words.
    BooleanOr(&'static [&'static str]),
    /// A whole number, both ends included.
    Number(u64, u64),
    /// A duration of at least this, and of at most a year.
    Duration(Duration),
    /// A word out of these.
    Words(&'static [&'static str]),
    /// The name of a user or group in quotes, or its number without.
    User,
    /// A number without quotes, or a text; the words say what the text is.
    NumberOr(&'static str),
    /// `[key]`, or `key = { … }` inside another table.
    Table(&'static Table),
    /// `[key.NAME]`, any number of them.
    Named(&'static Table),
    /// `[key]`, `[key.NAME]`, or both.
    TableAndNamed(&'static Table),
    /// `[[key]]`, any number of them.
    Array(&'static Table),
}

/// What holds where a key is not written.
#[derive(Debug, Clone, Copy)]
pub(super) enum Default {
    /// The file is wrong without the key.
    Required,
    /// The value as it would stand in the file.
    Value(&'static str),
    /// No value; the words say what happens then.
    Absent(&'static str),
}

/// When a change of a key takes effect in a running proxy that reloads its configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// The change holds from the next use of the value on, also for sessions and server connections
    /// that there are.
    AtOnce,
    /// The change holds for sessions that begin after the reload; the others go on as they began.
    NewSessions,
    /// The change holds for server connections that log in after the reload, once one of them has
    /// proved that it works; the others drain.
    Drain,
    /// The change holds when pgvalet is started again.
    Restart,
}

impl Effect {
    pub const ALL: [Self; 4] = [Self::AtOnce, Self::NewSessions, Self::Drain, Self::Restart];

    /// The effect as the column of docs/CONFIGURATION.md says it.
    pub fn words(self) -> &'static str {
        match self {
            Self::AtOnce => "at once",
            Self::NewSessions => "new sessions",
            Self::Drain => "drain",
            Self::Restart => "restart",
        }
    }
}

/// One key of one table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) default: Default,
    pub(super) effect: Effect,
    /// Markdown: one sentence, or a few.
    pub(super) meaning: &'static str,
    /// A value as it stands in the file, where the default does not show the form.
    pub(super) example: Option<&'static str>,
}

impl Key {
    const fn new(
        name: &'static str,
        kind: Kind,
        default: Default,
        effect: Effect,
        meaning: &'static str,
    ) -> Self {
        Self {
            name,
            kind,
            default,
            effect,
            meaning,
            example: None,
        }
    }

    const fn like(mut self, example: &'static str) -> Self {
        self.example = Some(example);
        self
    }
}

/// A table of the file.
#[derive(Debug)]
pub(super) struct Table {
    /// How the table is written, such as `[database.NAME]`.
    pub(super) title: &'static str,
    /// Markdown: what the table is for.
    pub(super) about: &'static str,
    pub(super) keys: &'static [Key],
    /// Keys that people write here and that belong elsewhere, with what to do instead.
    pub(super) elsewhere: &'static [(&'static str, &'static str)],
}

impl Table {
    pub(super) fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }

    /// Whether `[key]` is meant, below which there may be tables with names beside its own keys: it
    /// says something itself, or nothing at all is said there.
    pub(super) fn is_meant(&self, written: &[&str]) -> bool {
        written.is_empty() || written.iter().any(|name| self.key(name).is_some())
    }

    /// The tables that keys of this one lead to.
    pub(super) fn below(&self) -> impl Iterator<Item = &'static Table> {
        self.keys.iter().filter_map(|key| match key.kind {
            Kind::Table(table)
            | Kind::Named(table)
            | Kind::TableAndNamed(table)
            | Kind::Array(table) => Some(table),
            _ => None,
        })
    }
}

/// The file as a whole.
pub(super) static DOCUMENT: Table = Table {
    title: "",
    about: "",
    keys: &[
        section("listen", Kind::Table(&listen::LISTEN)),
        section("admin", Kind::Table(&listen::ADMIN)),
        section("store", Kind::TableAndNamed(&store::STORE)),
        section("audit", Kind::Table(&audit::AUDIT)),
        section("database", Kind::Named(&database::DATABASE)),
        section("client", Kind::Array(&client::CLIENT)),
        section("secret", Kind::Named(&store::SECRET)),
        section("rotation", Kind::Table(&store::ROTATION)),
        section("fleet", Kind::Table(&fleet::FLEET)),
        section("runtime", Kind::Table(&runtime::RUNTIME)),
    ],
    elsewhere: &[],
};

const fn section(name: &'static str, kind: Kind) -> Key {
    Key::new(name, kind, Default::Absent(""), Effect::AtOnce, "")
}

/// Durations that may be zero.
const NONE: Kind = Kind::Duration(Duration::ZERO);
/// Durations that may not be zero: anything shorter is a slip.
const SOME: Kind = Kind::Duration(Duration::from_millis(1));
const SECONDS: Kind = Kind::Duration(Duration::from_secs(1));

/// Numbers of clients, sessions and records.
const COUNT: Kind = Kind::Number(1, 1_000_000);
/// Numbers of server connections.
const CONNECTIONS: Kind = Kind::Number(1, 100_000);
const ANY_CONNECTIONS: Kind = Kind::Number(0, 100_000);

const FILE: Kind = Kind::Text("file");
const PATTERN: Kind = Kind::Text("text; `*` stands for any characters");
