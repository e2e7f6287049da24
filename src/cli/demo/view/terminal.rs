//! The terminal: an alternate screen that is redrawn in place. Afterwards the terminal is as it
//! was.

use std::io::{self, Write};

use super::Paper;
use super::paint::Line;

/// Restores the terminal when dropped, also in a panic.
pub struct Terminal {
    colour: bool,
}

impl Terminal {
    pub fn open() -> Self {
        // Switch to the alternate screen and hide the cursor.
        write("\x1b[?1049h\x1b[?25l");
        Self {
            colour: Paper::here().colour,
        }
    }

    /// Columns and lines that can be drawn on. The last column stays free: clearing the rest of
    /// a full line would take its last character away.
    pub fn size(&self) -> (usize, usize) {
        let (width, height): (usize, usize) = match terminal_size::terminal_size() {
            Some((width, height)) => (width.0.into(), height.0.into()),
            None => (80, 24),
        };
        (width.saturating_sub(1), height)
    }

    pub fn draw(&self, lines: &[Line]) {
        let (width, _) = self.size();
        // Between the two marks a terminal shows nothing half-drawn; those
        // that do not know them ignore them. Each line clears its rest, so
        // that nothing has to be wiped first and nothing flickers.
        let mut out = String::from("\x1b[?2026h\x1b[H");
        for (at, line) in lines.iter().enumerate() {
            if at > 0 {
                out.push_str("\r\n");
            }
            out.push_str(&line.render(width, self.colour));
            out.push_str("\x1b[K");
        }
        out.push_str("\x1b[J\x1b[?2026l");
        write(&out);
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        write("\x1b[?25h\x1b[?1049l");
    }
}

/// Ignores errors: a terminal that has gone away is noticed by its signal.
fn write(text: &str) {
    let mut stdout = io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes());
    let _ = stdout.flush();
}
