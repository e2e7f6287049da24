//! The known word nearest to a misspelt one.

/// The known words, the most similar one first.
pub fn by_nearness<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let mut known: Vec<&str> = known.into_iter().collect();
    known.sort_by_key(|k| strsim::damerau_levenshtein(word, k));
    known
}

/// The known word that a misspelt one probably means.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let length = word.chars().count();
    known
        .into_iter()
        // One mistake for every three letters; a suggestion further away misleads.
        .map(|k| (k, k.chars().count(), (k.chars().count() / 3).min(3)))
        // Lengths that differ by more are that many mistakes. A stranger chooses the word, and
        // to compare ten thousand letters takes a processor very long.
        .filter(|(_, known, most)| length.abs_diff(*known) <= *most)
        .map(|(k, _, most)| (strsim::damerau_levenshtein(word, k), most, k))
        .filter(|(distance, most, _)| distance <= most)
        .min_by_key(|(distance, _, k)| (*distance, *k))
        .map(|(_, _, k)| k)
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

    proptest::proptest! {
        #[test]
        fn lengths_decide_nothing_else(word in "[ab]{0,8}", known in proptest::collection::vec("[ab]{0,8}", 0..6)) {
            let all = known.iter().map(|k| (strsim::damerau_levenshtein(&word, k), &**k));
            let near = all.filter(|(distance, k)| *distance <= (k.len() / 3).min(3)).min();
            proptest::prop_assert_eq!(nearest(&word, known.iter().map(|k| &**k)), near.map(|(_, k)| k));
        }
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
