//! The view as lines for logs and pipes: one a second, and one for every event.

use super::Picture;
use super::paint::with_thousands;
use crate::cli::words;

#[derive(Default)]
pub struct Plain {
    seconds: u64,
    events: usize,
}

impl Plain {
    /// What is new since the last look.
    pub fn lines(&mut self, picture: &Picture) -> Vec<String> {
        let mut lines: Vec<String> = picture.entries.events[self.events..]
            .iter()
            .map(|(at, what)| format!("{:>6.1} s  {what}", at.as_secs_f64()))
            .collect();
        self.events = picture.entries.events.len();
        let second = picture.elapsed.as_secs();
        if second > self.seconds {
            self.seconds = second;
            lines.push(self.second(picture));
        }
        lines
    }

    fn second(&self, picture: &Picture) -> String {
        let totals = picture.totals;
        let rate = with_thousands(picture.rate_now().round() as u64);
        let mut line = format!(
            "{:>6.1} s  {rate} transactions/s, {} in total, {}",
            picture.elapsed.as_secs_f64(),
            with_thousands(totals.transactions),
            words::count(totals.errors, "error"),
        );
        for database in picture.status.iter().flat_map(|s| &s.databases) {
            line.push_str(&format!("; {}", database.name));
            for generation in &database.generations {
                let number = picture.entries.number(&generation.version);
                let connections = generation.active + generation.idle;
                let drains = if generation.draining_since.is_some() {
                    " draining"
                } else {
                    ""
                };
                line.push_str(&format!(" v{number}{drains} ×{connections}"));
            }
        }
        line
    }
}
