//! The known word nearest to a misspelt one.

/// The known words, the most similar one first.
pub fn by_nearness<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let mut known: Vec<&str> = known.into_iter().collect();
    known.sort_by_key(|k| strsim::damerau_levenshtein(word, k));
    known
}

/// The known word that a misspelt one probably means.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|k| (strsim::damerau_levenshtein(word, k), k))
        // One mistake for every three letters; a suggestion further away misleads.
        .filter(|(distance, k)| *distance <= (k.chars().count() / 3).min(3))
        .min()
        .map(|(_, k)| k)
}

/// How a sentence about an unknown word ends: with the one that was probably meant, or
/// with what there is.
pub fn suggestion<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    const SHOWN: usize = 12;
    let mut known: Vec<&str> = known.into_iter().collect();
    known.sort_unstable();
    known.dedup();
    if let Some(meant) = nearest(word, known.iter().copied()) {
        return format!("; did you mean {meant:?}?");
    }
    match known.len() {
        0 => "; there is none".to_owned(),
        n if n <= SHOWN => format!("; there are {}", known.join(", ")),
        n => format!(
            "; there are {} and {} more",
            known[..SHOWN].join(", "),
            n - SHOWN
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_recognised_and_another_word_is_not() {
        let known = ["address", "tls", "pool_size", "min_pool_size"];
        assert_eq!(nearest("adress", known), Some("address"));
        assert_eq!(nearest("pool_sise", known), Some("pool_size"));
        assert_eq!(nearest("poolsize", known), Some("pool_size"));
        assert_eq!(nearest("tsl", known), Some("tls"));
        assert_eq!(nearest("certificate", known), None);
        assert_eq!(nearest("", known), None);
    }

    #[test]
    fn a_sentence_ends_with_what_was_meant_or_with_what_there_is() {
        let known = ["orders", "billing"];
        assert_eq!(suggestion("order", known), "; did you mean \"orders\"?");
        assert_eq!(suggestion("x", known), "; there are billing, orders");
        assert_eq!(suggestion("x", []), "; there is none");
        let many: Vec<String> = (10..30).map(|n| format!("number{n}")).collect();
        let said = suggestion("x", many.iter().map(String::as_str));
        assert!(said.ends_with("number21 and 8 more"), "{said}");
    }

    #[test]
    fn the_most_similar_word_comes_first() {
        let known = ["address", "tls", "pool_size"];
        assert_eq!(by_nearness("pool", known), ["tls", "pool_size", "address"]);
    }
}
