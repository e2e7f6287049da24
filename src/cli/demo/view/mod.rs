//! What the demo shows: a live view on a terminal, lines elsewhere.

mod chart;
mod frame;
mod paint;
mod plain;
mod pools;
mod terminal;

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::time::Duration;

use super::journal::{Entries, Journal};
use super::proxy::Endpoints;
use super::tally::{Tally, Totals};
use crate::admin::Status;
use crate::server::Proxy;
use plain::Plain;
use terminal::Terminal;

pub use paint::{Ink, Line, with_thousands};

/// How things stood at one moment.
pub struct Picture {
    pub elapsed: Duration,
    pub length: Duration,
    pub totals: Totals,
    pub first_error: Option<String>,
    /// Since the start, in order.
    pub history: Vec<Mark>,
    pub status: Option<Status>,
    pub entries: Entries,
    pub port: u16,
    pub admin_port: u16,
}

/// One point of the history.
#[derive(Debug, Clone, Copy)]
pub struct Mark {
    pub at: Duration,
    pub transactions: u64,
}

/// The picture, and where it comes from.
pub struct Scene {
    picture: Picture,
    journal: Arc<Journal>,
    tally: Arc<Tally>,
    proxy: Arc<Proxy>,
}

impl Scene {
    pub fn new(
        length: Duration,
        endpoints: &Endpoints,
        journal: &Arc<Journal>,
        tally: &Arc<Tally>,
        proxy: &Arc<Proxy>,
    ) -> Self {
        Self {
            picture: Picture {
                elapsed: Duration::ZERO,
                length,
                totals: Totals::default(),
                first_error: None,
                history: Vec::new(),
                status: None,
                entries: Entries::default(),
                port: endpoints.port,
                admin_port: endpoints.admin_port,
            },
            journal: journal.clone(),
            tally: tally.clone(),
            proxy: proxy.clone(),
        }
    }

    pub fn look(&mut self) {
        let picture = &mut self.picture;
        picture.elapsed = self.tally.elapsed();
        picture.totals = self.tally.totals();
        picture.first_error = self.tally.first_errors().into_iter().next();
        picture.status = Some(self.proxy.status());
        picture.entries = self.journal.read().clone();
        picture.history.push(Mark {
            at: picture.elapsed,
            transactions: picture.totals.transactions,
        });
    }
}

impl Picture {
    /// Transactions so far at a moment of the past, between two marks as if
    /// they had come evenly.
    fn transactions_at(&self, at: Duration) -> f64 {
        let after = self.history.partition_point(|m| m.at < at);
        let left = match after.checked_sub(1).and_then(|n| self.history.get(n)) {
            Some(left) => (left.at.as_secs_f64(), left.transactions as f64),
            None => (0.0, 0.0),
        };
        let Some(right) = self.history.get(after) else {
            return left.1;
        };
        let (at, right_at) = (at.as_secs_f64(), right.at.as_secs_f64());
        let part = (at - left.0) / (right_at - left.0).max(f64::EPSILON);
        left.1 + (right.transactions as f64 - left.1) * part.clamp(0.0, 1.0)
    }

    /// Transactions a second, on average, between two moments.
    fn rate(&self, from: Duration, to: Duration) -> f64 {
        let seconds = to.saturating_sub(from).as_secs_f64();
        if seconds <= 0.0 {
            return 0.0;
        }
        (self.transactions_at(to) - self.transactions_at(from)) / seconds
    }

    fn rate_now(&self) -> f64 {
        let second = Duration::from_secs(1);
        self.rate(self.elapsed.saturating_sub(second), self.elapsed)
    }
}

/// The time between two looks at the scene.
pub const INTERVAL: Duration = Duration::from_millis(200);

pub enum View {
    Live(Terminal),
    Plain(Plain),
}

impl View {
    pub fn open(plain: bool) -> Self {
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        if plain || dumb || !io::stdout().is_terminal() {
            Self::Plain(Plain::default())
        } else {
            Self::Live(Terminal::open())
        }
    }

    pub fn show(&mut self, scene: &Scene) {
        match self {
            Self::Live(terminal) => {
                let (width, height) = terminal.size();
                terminal.draw(&frame::frame(&scene.picture, width, height));
            }
            Self::Plain(plain) => {
                for line in plain.lines(&scene.picture) {
                    say(&line);
                }
            }
        }
    }

    /// Back to where the terminal was.
    pub fn close(self) {}
}

/// The width of standard output, and whether it has colours.
pub struct Paper {
    /// In columns; without limit where it is no terminal.
    pub width: usize,
    pub colour: bool,
}

impl Paper {
    pub fn here() -> Self {
        let terminal = io::stdout().is_terminal();
        let size = terminal_size::terminal_size().filter(|_| terminal);
        // See no-color.org.
        let refused = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
        Self {
            width: size.map_or(usize::MAX, |(width, _)| width.0.into()),
            colour: terminal && !refused,
        }
    }
}

/// Prints a line, if anybody still reads: a closed pipe is no reason to leave
/// anything running behind.
pub fn say(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}
