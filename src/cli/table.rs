//! Tables on a terminal.

use std::io::{self, IsTerminal, Write};

use crate::audit::printable;

/// Whether a person looks at standard output.
pub(super) fn is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// How many columns there are to write in; what a program reads is never broken.
pub(super) fn width() -> usize {
    let size = terminal_size::terminal_size().filter(|_| is_terminal());
    size.map_or(usize::MAX, |(width, _)| width.0.into())
}

/// Writes columns as wide as they need to be. A title that begins with `>` aligns its column to
/// the right.
pub(super) fn write(out: &mut dyn Write, head: &[&str], rows: &[Vec<String>]) -> io::Result<()> {
    let titles: Vec<String> = head
        .iter()
        .map(|h| h.trim_start_matches('>').to_owned())
        .collect();
    let width = |column: usize| {
        std::iter::once(&titles)
            .chain(rows)
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    for row in std::iter::once(&titles).chain(rows) {
        let mut line = String::new();
        for ((cell, width), title) in row.iter().zip(&widths).zip(head) {
            let cell = printable(cell);
            if title.starts_with('>') {
                line.push_str(&format!("{cell:>width$}  "));
            } else {
                line.push_str(&format!("{cell:<width$}  "));
            }
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = vec![
            vec!["orders".to_owned(), "7".to_owned(), "a b".to_owned()],
            vec!["o".to_owned(), "1234567".to_owned(), "\u{1b}".to_owned()],
        ];
        let mut out = Vec::new();
        write(&mut out, &["NAME", ">SIZE", "REST"], &rows).expect("written");
        assert_eq!(
            String::from_utf8(out).expect("UTF-8"),
            "NAME       SIZE  REST\norders        7  a b\no       1234567  \u{fffd}\n"
        );
    }
}
