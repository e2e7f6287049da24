//! Patterns with `*`.
//!
//! They are no regular expressions or globs: in access rules only `*` may be special.

/// A text in which `*` stands for any number of characters, also none.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pattern(String);

impl Pattern {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the pattern describes the whole of `text`.
    pub fn matches(&self, text: &str) -> bool {
        let Some((head, rest)) = self.0.split_once('*') else {
            return self.0 == text;
        };
        let Some(mut text) = text.strip_prefix(head) else {
            return false;
        };
        let mut pieces: Vec<&str> = rest.split('*').collect();
        let tail = pieces.pop().unwrap_or("");
        for piece in pieces {
            // The earliest match leaves the most text for the other pieces.
            match text.find(piece) {
                Some(at) => text = &text[at + piece.len()..],
                None => return false,
            }
        }
        text.ends_with(tail)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_star_stands_for_anything_and_the_rest_for_itself() {
        for (pattern, text, holds) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("*", "", true),
            ("a*", "a", true),
            ("a*", "ba", false),
            ("*a", "ba", true),
            ("*a", "ab", false),
            (
                "system:serviceaccount:shop:*",
                "system:serviceaccount:shop:api",
                true,
            ),
            (
                "system:serviceaccount:shop:*",
                "system:serviceaccount:shopx:api",
                false,
            ),
            ("a*b*c", "a__b__c", true),
            ("a*b*c", "a__c__b", false),
            ("a*a", "a", false),
            ("ab*ba", "aba", false),
            (
                "repo:org/*:ref:refs/heads/main",
                "repo:org/x:ref:refs/heads/main",
                true,
            ),
            (
                "repo:org/*:ref:refs/heads/main",
                "repo:org/x:ref:refs/heads/main2",
                false,
            ),
        ] {
            assert_eq!(
                Pattern::new(pattern).matches(text),
                holds,
                "{pattern} {text}"
            );
        }
    }

    proptest! {
        /// Compares with the equivalent regular expression.
        #[test]
        fn patterns_are_what_they_say(pattern in "[ab*]{0,8}", text in "[ab]{0,8}") {
            let expression: String = pattern.split('*').map(regex::escape).collect::<Vec<_>>().join(".*");
            let expected = regex::Regex::new(&format!("^(?s:{expression})$")).unwrap().is_match(&text);
            prop_assert_eq!(Pattern::new(pattern).matches(&text), expected);
        }
    }
}
