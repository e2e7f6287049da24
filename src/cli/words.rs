//! Numbers and lists in sentences for people.

use std::fmt::Display;

/// A whole number of things: `1 secret`, `2 secrets`.
pub(super) fn count(n: impl Display, thing: &str) -> String {
    let n = n.to_string();
    match thing.strip_suffix('y') {
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
    fn the_last_of_a_list_has_an_and() {
        let list = |n: u32| list(&(1..=n).map(|n| n.to_string()).collect::<Vec<_>>());
        assert_eq!([1, 2, 3].map(list), ["1", "1 and 2", "1, 2 and 3"]);
    }
}
