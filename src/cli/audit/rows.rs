//! Records as the rows of a table that is written while the log is read, so that its columns
//! cannot be as wide as what comes.

use std::io::{self, Write};

use crate::cli::table;

/// A column: its title, its width, and when it is left out, the lowest number first; 0: never.
struct Column {
    title: &'static str,
    width: usize,
    leaves: u8,
}

const fn column(title: &'static str, width: usize, leaves: u8) -> Column {
    Column {
        title,
        width,
        leaves,
    }
}

/// In the order of [`table_row`](crate::audit::table_row).
const COLUMNS: [Column; 9] = [
    column("TIME", 23, 0),
    column("EVENT", 15, 0),
    column("CLIENT", 16, 0),
    column("SOURCE", 21, 2),
    column("DATABASE", 14, 3),
    column("SECRET", 20, 4),
    column("VERSION", 8, 0),
    column("USER", 12, 1),
    // What is said in addition.
    column("", 20, 0),
];
const TIME: usize = 0;
const REMARKS: usize = COLUMNS.len() - 1;

/// A time without the year and the fraction of its second: `01-31 12:00:00`.
const SHORT_TIME: std::ops::Range<usize> = 5..19;

const GAP: usize = 2;

/// The columns for which there is room.
pub(super) struct Rows {
    /// Each with its place in a record's row.
    columns: Vec<(usize, usize)>,
    room: usize,
    short_time: bool,
}

impl Rows {
    /// For the terminal. Where no person looks, nothing is left out and nothing is broken.
    pub fn new() -> Self {
        Self::within(table::width())
    }

    fn within(room: usize) -> Self {
        let columns = COLUMNS.iter().enumerate();
        let mut rows = Self {
            columns: columns.map(|(at, column)| (at, column.width)).collect(),
            room,
            short_time: false,
        };
        if rows.total() > room {
            rows.short_time = true;
            rows.columns[TIME].1 = SHORT_TIME.len();
        }
        for turn in 1.. {
            let last = COLUMNS.iter().all(|column| column.leaves < turn);
            if rows.total() <= room || last {
                break;
            }
            rows.columns.retain(|(at, _)| COLUMNS[*at].leaves != turn);
        }
        // Remarks have what is left, or as much as can be read.
        let others = rows.total() - COLUMNS[REMARKS].width;
        if let Some(remarks) = rows.columns.last_mut() {
            remarks.1 = room.saturating_sub(others).max(12);
        }
        rows
    }

    fn total(&self) -> usize {
        let widths = self.columns.iter().map(|(_, width)| width + GAP);
        widths.sum::<usize>() - GAP
    }

    pub fn head(&self, out: &mut dyn Write) -> io::Result<()> {
        self.write(&COLUMNS.map(|column| column.title.to_owned()), out)
    }

    /// Writes a row, on several lines where a cell is longer than its column.
    pub fn row(&self, mut cells: [String; 9], out: &mut dyn Write) -> io::Result<()> {
        if self.short_time
            && let Some(short) = cells[TIME].get(SHORT_TIME)
        {
            cells[TIME] = short.to_owned();
        }
        for cell in cells.iter_mut().take(REMARKS).filter(|c| c.is_empty()) {
            "-".clone_into(cell);
        }
        self.write(&cells, out)
    }

    fn write(&self, cells: &[String; 9], out: &mut dyn Write) -> io::Result<()> {
        let broken = |(at, width): &(usize, usize)| match self.room {
            usize::MAX => vec![cells[*at].clone()],
            _ if *at == REMARKS => remarks(&cells[REMARKS], *width),
            _ => table::wrapped(&cells[*at], *width),
        };
        let cells: Vec<Vec<String>> = self.columns.iter().map(broken).collect();
        let lines = cells.iter().map(Vec::len).max().unwrap_or(0);
        for n in 0..lines {
            let mut line = String::new();
            for ((at, width), cell) in self.columns.iter().zip(&cells) {
                let part = cell.get(n).map_or("", String::as_str);
                match *at {
                    REMARKS => line.push_str(part),
                    _ => line.push_str(&format!("{part:<width$}  ")),
                }
            }
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// A space at which no line ends.
const FIRM: &str = "\u{a0}";

/// The lines of remarks, which end between two of them where those fit.
fn remarks(text: &str, width: usize) -> Vec<String> {
    let parts = text
        .split(", ")
        .map(|part| match part.chars().count() < width {
            true => part.replace(' ', FIRM),
            false => part.to_owned(),
        });
    let parts: Vec<String> = parts.collect();
    let lines = table::wrapped(&parts.join(", "), width);
    lines.iter().map(|line| line.replace(FIRM, " ")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(room: usize) -> String {
        let rows = Rows::within(room);
        let mut out = Vec::new();
        rows.head(&mut out).expect("written");
        let cells = [
            "2026-01-02 03:04:05.678",
            "session.end",
            "orders-api-of-the-second-team",
            "10.0.0.9:4711",
            "orders",
            "prod/team/orders",
            "0a1b2c3d",
            "",
            "failed, idle_timeout, 57P05, 12 transactions, 1 m 22 s",
        ];
        let cells = cells.map(ToOwned::to_owned);
        rows.row(cells, &mut out).expect("written");
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn a_terminal_has_what_fits_and_the_rest_is_broken_by_meaning() {
        let more = |client: &str, remarks: &str| format!("{:33}{client:28}{remarks}\n", "");
        let expected = [
            "TIME            EVENT            CLIENT            VERSION\n".to_owned(),
            "01-02 03:04:05  session.end      orders-api-of-    0a1b2c3d  failed,\n".to_owned(),
            more("the-second-team", "idle_timeout,"),
            more("", "57P05,"),
            more("", "12 transactions,"),
            more("", "1 m 22 s"),
        ];
        assert_eq!(shown(80), expected.concat());
        let wide = shown(120);
        assert!(
            wide.contains("DATABASE") && wide.contains("prod/team/orders"),
            "{wide}"
        );
        assert!(!wide.contains("SOURCE") && !wide.contains("USER"), "{wide}");
        for room in [60, 80, 100, 120, 140, 160, 200] {
            let text = shown(room);
            let longest = text.lines().map(|line| line.chars().count()).max();
            assert!(longest <= Some(room.max(75)), "{room}: {text}");
        }
    }

    #[test]
    fn a_program_reads_whole_lines() {
        let text = shown(usize::MAX);
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(
            text.contains("2026-01-02 03:04:05.678  session.end"),
            "{text}"
        );
        assert!(text.contains("orders-api-of-the-second-team"), "{text}");
        let end = format!("0a1b2c3d  {:12}  failed, idle_timeout, 57P05,", "-");
        assert!(text.contains(&end), "{text}");
    }
}
