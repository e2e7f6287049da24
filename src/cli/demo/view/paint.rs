//! Lines of coloured text that know how wide they are.

use std::fmt::Write;

/// What a piece of text is, rather than what colour it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ink {
    Plain,
    Strong,
    Faint,
    Good,
    Bad,
    /// The colour of a version, by its number.
    Version(usize),
}

/// Colours (of 256) of which neighbours differ clearly on dark and on light ground.
const VERSIONS: [u8; 6] = [39, 214, 170, 43, 105, 185];

impl Ink {
    /// SGR parameters; empty for none.
    fn code(self) -> String {
        match self {
            Self::Plain => String::new(),
            Self::Strong => "1".to_owned(),
            Self::Faint => "2".to_owned(),
            Self::Good => "32".to_owned(),
            Self::Bad => "1;31".to_owned(),
            Self::Version(number) => format!("38;5;{}", VERSIONS[number % VERSIONS.len()]),
        }
    }
}

/// One line. Every character in it is one column wide.
#[derive(Debug, Clone, Default)]
pub struct Line(Vec<(Ink, String)>);

impl Line {
    pub fn new() -> Self {
        Self::default()
    }

    #[must_use]
    pub fn add(mut self, ink: Ink, text: impl Into<String>) -> Self {
        self.0.push((ink, text.into()));
        self
    }

    /// Adds text, unless the line would be wider than `width` with it.
    #[must_use]
    pub fn add_if_it_fits(self, width: usize, ink: Ink, text: &str) -> Self {
        match self.width() + text.chars().count() <= width {
            true => self.add(ink, text),
            false => self,
        }
    }

    /// Adds spaces up to a column, at least one.
    #[must_use]
    pub fn to(self, column: usize) -> Self {
        let spaces = column.saturating_sub(self.width()).max(1);
        self.add(Ink::Plain, " ".repeat(spaces))
    }

    #[must_use]
    pub fn join(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    pub fn width(&self) -> usize {
        self.0.iter().map(|(_, text)| text.chars().count()).sum()
    }

    /// The line as text of at most `width` columns, in colours if asked for.
    pub fn render(&self, width: usize, colour: bool) -> String {
        let mut out = String::new();
        let mut room = width;
        for (ink, text) in &self.0 {
            let text: String = text.chars().take(room).collect();
            room -= text.chars().count();
            let code = ink.code();
            if colour && !code.is_empty() && !text.is_empty() {
                let _ = write!(out, "\x1b[{code}m{text}\x1b[0m");
            } else {
                out.push_str(&text);
            }
        }
        out
    }
}

/// Writes `12,345` for 12345.
pub fn with_thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn thousands() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (1234567, "1,234,567"),
        ] {
            assert_eq!(with_thousands(number), text);
        }
    }

    #[test]
    fn a_cut_line_ends_its_colour() {
        let line = Line::new().add(Ink::Bad, "abcdef").add(Ink::Good, "x");
        assert_eq!(line.render(3, true), "\x1b[1;31mabc\x1b[0m");
        assert_eq!(line.render(3, false), "abc");
    }

    proptest! {
        #[test]
        fn a_line_is_never_wider_than_allowed(
            texts in proptest::collection::vec("[a-z▁█·é]{0,12}", 0..8), width in 0usize..40,
        ) {
            let line = texts.iter().fold(Line::new(), |l, t| l.add(Ink::Strong, t.as_str()));
            let rendered = line.render(width, false);
            prop_assert_eq!(rendered.chars().count(), width.min(line.width()));
        }
    }
}
