//! Tables on a terminal.

use std::io::{self, IsTerminal, Write};

use super::words::wrap;
use crate::audit::printable;

/// Between two columns.
const GAP: usize = 2;

/// A column that is wrapped is not made narrower than this.
const NARROWEST: usize = 12;

/// Whether a person looks at standard output.
pub(super) fn is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// How many columns there are to write in; what a program reads is never broken.
pub(super) fn width() -> usize {
    let size = terminal_size::terminal_size().filter(|_| is_terminal());
    size.map_or(usize::MAX, |(width, _)| width.0.into())
}

/// Writes a text that begins with `head`, broken between words within the width of the terminal,
/// with the other lines under the text.
pub(super) fn paragraph(out: &mut dyn Write, head: &str, text: &str) -> io::Result<()> {
    let indent = " ".repeat(head.chars().count());
    let lines = wrap(text, width(), &indent);
    let first = lines.first().map_or("", |line| line.trim_start());
    writeln!(out, "{head}{first}")?;
    for line in lines.iter().skip(1) {
        writeln!(out, "{line}")?;
    }
    Ok(())
}

/// Writes columns as wide as they need to be, within the width of the terminal. A title that
/// begins with `>` aligns its column to the right. Where there is no room, the ids of a column
/// whose title has `#` are shortened to their beginning, by which every command knows them; then
/// the columns with `?` are left out, the last first; and then the widest are wrapped.
pub(super) fn write(out: &mut dyn Write, head: &[&str], rows: &[Vec<String>]) -> io::Result<()> {
    write_within(out, head, rows, width())
}

/// [`write`], in so many columns of a terminal.
fn write_within(
    out: &mut dyn Write,
    head: &[&str],
    rows: &[Vec<String>],
    room: usize,
) -> io::Result<()> {
    let mut columns: Vec<Column> = (head.iter().enumerate())
        .map(|(at, title)| Column::new(at, title, rows))
        .collect();
    shorten_ids(&mut columns, room);
    drop_some(&mut columns, room);
    narrow(&mut columns, room);
    let titles: Vec<String> = head.iter().map(|title| plain(title).to_owned()).collect();
    line(out, &columns, &titles, |_| usize::MAX)?;
    let most = |column: &Column| column.most;
    rows.iter()
        .try_for_each(|row| line(out, &columns, row, most))
}

struct Column {
    /// Its place in a row.
    at: usize,
    width: usize,
    /// The width of its title.
    title: usize,
    /// Numbers, as a rule: it is not wrapped.
    right: bool,
    optional: bool,
    /// It has ids, of which the beginning is enough.
    ids: bool,
    /// The most characters of a cell that are shown.
    most: usize,
}

impl Column {
    fn new(at: usize, title: &str, rows: &[Vec<String>]) -> Self {
        let cells = rows.iter().filter_map(|row| row.get(at));
        let widest = cells.map(|cell| cell.chars().count()).max();
        Self {
            at,
            width: widest.unwrap_or(0).max(plain(title).chars().count()),
            title: plain(title).chars().count(),
            right: title.contains('>'),
            optional: title.contains('?'),
            ids: title.contains('#'),
            most: usize::MAX,
        }
    }
}

/// A title without its marks.
fn plain(title: &str) -> &str {
    title.trim_start_matches(['>', '?', '#'])
}

fn total(columns: &[Column]) -> usize {
    let widths: usize = columns.iter().map(|c| c.width).sum();
    widths + GAP * columns.len().saturating_sub(1)
}

/// As much of an id as tells it from others.
const ID: usize = 8;

fn shorten_ids(columns: &mut [Column], room: usize) {
    if total(columns) <= room {
        return;
    }
    for column in columns.iter_mut().filter(|c| c.ids) {
        column.most = ID;
        column.width = column.title.max(ID).min(column.width);
    }
}

/// Leaves out what there is no room for and what nobody needs first.
fn drop_some(columns: &mut Vec<Column>, room: usize) {
    while total(columns) > room {
        let Some(last) = columns.iter().rposition(|c| c.optional) else {
            return;
        };
        columns.remove(last);
    }
}

/// Makes the widest columns narrower, which wraps their cells.
fn narrow(columns: &mut [Column], room: usize) {
    loop {
        let excess = total(columns).saturating_sub(room);
        let wraps = columns.iter_mut().filter(|c| !c.right);
        match wraps.max_by_key(|c| c.width) {
            Some(widest) if excess > 0 && widest.width > NARROWEST => widest.width -= 1,
            _ => return,
        }
    }
}

/// A row, on as many lines as its longest cell needs. `most`: the characters of a cell that are
/// shown.
fn line(
    out: &mut dyn Write,
    columns: &[Column],
    row: &[String],
    most: impl Fn(&Column) -> usize,
) -> io::Result<()> {
    let cell = |c: &Column| {
        let cell = row.get(c.at).map_or("", String::as_str);
        let text: String = printable(cell).chars().take(most(c)).collect();
        wrapped(&text, c.width)
    };
    let cells: Vec<Vec<String>> = columns.iter().map(cell).collect();
    let lines = cells.iter().map(Vec::len).max().unwrap_or(0);
    for n in 0..lines {
        let mut line = String::new();
        for (column, cell) in columns.iter().zip(&cells) {
            let (part, width) = (cell.get(n).map_or("", String::as_str), column.width);
            line.push_str(&match column.right {
                true => format!("{part:>width$}  "),
                false => format!("{part:<width$}  "),
            });
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

/// The lines of a cell: broken between words, or else behind a mark that divides a name, such as
/// the slash of a path.
pub(super) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for piece in pieces(text, width) {
        let used = lines.last().map_or(0, |line| line.chars().count());
        if used > 0 && used + piece.trim_end().chars().count() > width {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            line.push_str(&piece);
        }
    }
    for line in &mut lines {
        line.truncate(line.trim_end().len());
    }
    lines
}

/// What may stand on lines of its own: words, and parts of words that are longer than a line.
fn pieces(text: &str, width: usize) -> Vec<String> {
    let mut pieces = Vec::new();
    for word in text.split_inclusive(' ') {
        if word.trim_end().chars().count() <= width {
            pieces.push(word.to_owned());
            continue;
        }
        for part in word.split_inclusive(['/', ':', '-', '.', ',', '_', '@']) {
            let characters: Vec<char> = part.chars().collect();
            pieces.extend(characters.chunks(width.max(1)).map(|c| c.iter().collect()));
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(head: &[&str], rows: &[&[&str]], room: usize) -> String {
        let cells = |row: &&[&str]| row.iter().map(ToString::to_string).collect();
        let rows: Vec<Vec<String>> = rows.iter().map(cells).collect();
        let mut out = Vec::new();
        write_within(&mut out, head, &rows, room).expect("written");
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn columns_line_up() {
        let rows: &[&[&str]] = &[&["orders", "7", "a b"], &["o", "1234567", "\u{1b}"]];
        assert_eq!(
            shown(&["NAME", ">SIZE", "?REST"], rows, usize::MAX),
            "NAME       SIZE  REST\norders        7  a b\no       1234567  \u{fffd}\n"
        );
    }

    #[test]
    fn what_is_optional_is_left_out_first_and_from_the_end() {
        let rows: &[&[&str]] = &[&["orders", "10.0.0.1:4711", "psql", "idle"]];
        let head = ["NAME", "?FROM", "?PROGRAM", "STATE"];
        let first = |room| shown(&head, rows, room).lines().next().map(str::to_owned);
        let line = |text: &str| Some(text.to_owned());
        assert_eq!(first(80), line("NAME    FROM           PROGRAM  STATE"));
        assert_eq!(first(30), line("NAME    FROM           STATE"));
        assert_eq!(first(20), line("NAME    STATE"));
    }

    #[test]
    fn an_id_is_shortened_before_anything_is_left_out() {
        let id = "ecfe8358-e16f-4b86-af1c-7a9e0f5fd36e";
        let rows: &[&[&str]] = &[&["orders", id, "app"]];
        let head = ["NAME", "#VERSION", "?USER"];
        let text = shown(&head, rows, 40);
        assert_eq!(text, "NAME    VERSION   USER\norders  ecfe8358  app\n");
        let text = shown(&["#FAILED VERSIONS"], &[&[id]], 20);
        assert_eq!(text, "FAILED VERSIONS\necfe8358\n");
        assert!(shown(&head, rows, 80).contains(id));
    }

    #[test]
    fn the_rest_is_wrapped_where_it_has_a_joint() {
        let rows: &[&[&str]] = &[
            &[
                "1",
                "its address is not in 10.0.0.0/8; it asks for another user",
            ],
            &["2", "production/eu-central-1/orders-of-the-shop"],
        ];
        let text = shown(&[">RULE", "BECAUSE"], rows, 30);
        assert_eq!(
            text,
            "RULE  BECAUSE\n   1  its address is not in\n      10.0.0.0/8; it asks for\n      another user\n   \
             2  production/eu-central-1/\n      orders-of-the-shop\n"
        );
        let all = "x".repeat(40);
        let text = shown(&["A"], &[&[&all]], 15);
        assert!(text.lines().all(|l| l.len() <= 15), "{text}");
    }

    #[test]
    fn no_width_is_too_small_to_write_in() {
        let text = shown(&["A", ">B", "?C"], &[&["a b c", "123456", "x"]], 1);
        assert!(text.contains("123456"), "{text}");
    }
}
