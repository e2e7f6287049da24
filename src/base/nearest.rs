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
    fn the_most_similar_word_comes_first() {
        let known = ["address", "tls", "pool_size"];
        assert_eq!(by_nearness("pool", known), ["tls", "pool_size", "address"]);
    }
}
