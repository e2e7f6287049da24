//! How the demo went, at its end, and whether it went well.

use std::path::Path;
use std::time::Duration;

use super::DemoError;
use super::journal::{Entries, Rotation, millis};
use super::ledger::Ledger;
use super::sample;
use super::tally::{Latency, Tally};
use super::view::{Ink, Line, Paper, with_thousands};
use crate::cli::words;

pub struct Summary<'a> {
    pub worked: Duration,
    pub entries: Entries,
    pub tally: &'a Tally,
    pub ledger: Ledger,
    /// The audit log, complete by now.
    pub audit: &'a Path,
    pub kept: Option<&'a Path>,
}

impl Summary<'_> {
    pub fn text(&self) -> String {
        let mut lines = vec![Line::new()];
        lines.extend(self.numbers());
        let errors = self.tally.first_errors();
        if !errors.is_empty() {
            lines.push(Line::new());
            lines.push(Line::new().add(Ink::Bad, "The first errors"));
            lines.extend(
                errors
                    .into_iter()
                    .map(|e| Line::new().add(Ink::Plain, format!("  {e}"))),
            );
        }
        lines.push(Line::new());
        lines.extend(sample::lines(self.audit, &self.entries));
        lines.push(Line::new());
        lines.extend(self.next());
        let paper = Paper::here();
        lines
            .iter()
            .map(|line| line.render(paper.width, paper.colour).trim_end().to_owned() + "\n")
            .collect()
    }

    /// # Errors
    /// [`DemoError::Failed`] with what went wrong.
    pub fn verdict(&self) -> Result<(), DemoError> {
        match self.complaint() {
            None => Ok(()),
            Some(complaint) => Err(DemoError::Failed(complaint)),
        }
    }

    fn complaint(&self) -> Option<String> {
        let errors = self.tally.totals().errors;
        if errors > 0 {
            let first = self.tally.first_errors().into_iter().next();
            let first = first.unwrap_or_default();
            return Some(format!(
                "{}, the first at {first}",
                words::count(errors, "error")
            ));
        }
        if let Some(disagreement) = self.ledger.disagrees(self.tally.totals().transfers) {
            return Some(disagreement);
        }
        if self.entries.adoptions().next().is_none() {
            return Some(
                "the demo ended before a rotation was complete; give it more --seconds".to_owned(),
            );
        }
        None
    }

    fn numbers(&self) -> Vec<Line> {
        let totals = self.tally.totals();
        let adopted: Vec<Duration> = self.entries.adoptions().collect();
        let row = |name: &str, value: String, about: String| {
            Line::new()
                .add(Ink::Faint, format!("{name:<15}"))
                .add(Ink::Strong, value)
                .add(Ink::Faint, about)
        };
        let seconds = self.worked.as_secs_f64();
        let rate = with_thousands((totals.transactions as f64 / seconds).round() as u64);
        let mut lines = vec![row(
            "transactions",
            with_thousands(totals.transactions),
            format!("  in {seconds:.1} s, {rate} a second"),
        )];
        let errors = Line::new().add(Ink::Faint, format!("{:<15}", "errors"));
        lines.push(match totals.errors {
            0 => errors.add(Ink::Good, "0"),
            n => errors.add(Ink::Bad, with_thousands(n)),
        });
        lines.push(row(
            "connections",
            with_thousands(totals.connections),
            "  opened by clients, none with a password".to_owned(),
        ));
        let versions = adopted.len() + 1;
        lines.push(row(
            "rotations",
            adopted.len().to_string(),
            format!("  so that {versions} versions of one secret were in use"),
        ));
        let rotations = &self.entries.rotations;
        let slowest = rotations.iter().filter_map(Rotation::adoption).max();
        lines.extend(slowest.map(|t| {
            let about = "  at most, counted from the second step".to_owned();
            row("adopted in", millis(t), about)
        }));
        let slowest = rotations.iter().filter_map(Rotation::drain).max();
        lines.extend(slowest.map(|t| {
            let about = "  at most, until no connection of the old version was left".to_owned();
            row("drained in", millis(t), about)
        }));
        let (near, quiet) = self.tally.latency_around(&adopted);
        lines.extend(near.map(|l| {
            let about = "  in the second around an adoption".to_owned();
            row("latency", latency(l), about)
        }));
        lines.extend(quiet.map(|l| row("", latency(l), "  otherwise".to_owned())));
        lines.push(self.ledger_line(totals.transfers));
        lines
    }

    fn ledger_line(&self, transfers: u64) -> Line {
        let line = Line::new().add(Ink::Faint, format!("{:<15}", "ledger"));
        match self.ledger.disagrees(transfers) {
            None => line.add(Ink::Strong, with_thousands(transfers)).add(
                Ink::Faint,
                "  transfers, each of them in Postgres exactly once",
            ),
            Some(complaint) => line.add(Ink::Bad, complaint),
        }
    }

    fn next(&self) -> Vec<Line> {
        let mut lines = Vec::new();
        if let Some(kept) = self.kept {
            lines.push(Line::new().add(Ink::Plain, format!("Kept: {}", kept.display())));
        }
        lines.push(
            Line::new()
                .add(Ink::Strong, "Next: ")
                .add(Ink::Plain, "docker compose up --build")
                .add(Ink::Faint, "  and then, without a password,"),
        );
        let psql = "      psql -h 127.0.0.1 -p 6432 -U anyone app";
        lines.push(Line::new().add(Ink::Plain, psql));
        lines
    }
}

fn latency(latency: Latency) -> String {
    let ms = |time: Duration| format!("{:.1}", time.as_secs_f64() * 1e3);
    format!("p50 {:>4}  p99 {:>5} ms", ms(latency.p50), ms(latency.p99))
}
