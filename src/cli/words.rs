//! Numbers and lists in sentences for people.

use std::fmt::Display;

/// A whole number of things: `1 secret`, `2 secrets`.
pub(super) fn count(n: impl Display, thing: &str) -> String {
    let n = n.to_string();
    // A day, two days; an entry, two entries.
    let stem = thing.strip_suffix('y');
    match stem.filter(|stem| !stem.ends_with(['a', 'e', 'o', 'u'])) {
        _ if n == "1" => format!("1 {thing}"),
        Some(stem) => format!("{n} {stem}ies"),
        None => format!("{n} {thing}s"),
    }
}

/// A list in words: `1`, `1 and 2`, `1, 2 and 3`.
pub(super) fn list(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// Breaks a text into lines of at most `width` characters, where it has spaces. Each begins
/// with `indent`.
pub(super) fn wrap(text: &str, width: usize, indent: &str) -> Vec<String> {
    let room = width.saturating_sub(indent.chars().count()).max(20);
    let mut lines: Vec<String> = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > room {
            lines.push(format!("{indent}{}", std::mem::take(&mut line)));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(format!("{indent}{line}"));
    lines
}

/// A text of at most `width` characters; what is missing shows.
pub(super) fn shorten(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let kept: String = text.chars().take(width.saturating_sub(1)).collect();
    format!("{kept}…")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_singular() {
        assert_eq!(count(1, "secret"), "1 secret");
        assert_eq!(count(0, "secret"), "0 secrets");
        assert_eq!(count(2, "policy"), "2 policies");
    }

    #[test]
    fn a_text_is_broken_at_spaces() {
        let lines = wrap("one two three four five six", 24, "  ");
        assert_eq!(lines, ["  one two three four", "  five six"]);
        assert_eq!(wrap("", 80, "  "), ["  "]);
        let long = "x".repeat(50);
        assert_eq!(wrap(&long, 24, ""), [long.as_str()]);
        assert_eq!(shorten("orders", 6), "orders");
        assert_eq!(shorten("orders-eu", 6), "order…");
    }

    #[test]
    fn the_last_of_a_list_has_an_and() {
        let list = |n: u32| list(&(1..=n).map(|n| n.to_string()).collect::<Vec<_>>());
        assert_eq!([1, 2, 3].map(list), ["1", "1 and 2", "1, 2 and 3"]);
    }
}
