//! How many sessions there are of each rule and of each database.

use std::collections::HashMap;
use std::sync::Arc;

/// Sessions counted by a name.
#[derive(Default)]
pub(super) struct Tally(HashMap<Arc<str>, usize>);

impl Tally {
    /// Whether `most` sessions of this name are there; never without a limit.
    pub fn has(&self, name: &str, most: Option<usize>) -> bool {
        most.is_some_and(|most| self.0.get(name).copied().unwrap_or(0) >= most)
    }

    pub fn add(&mut self, name: &Arc<str>) {
        *self.0.entry(name.clone()).or_default() += 1;
    }

    pub fn remove(&mut self, name: &str) {
        if let Some(count) = self.0.get_mut(name) {
            *count -= 1;
            if *count == 0 {
                self.0.remove(name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_counted_and_forgotten() {
        let mut tally = Tally::default();
        let name: Arc<str> = "orders".into();
        assert!(tally.has(&name, Some(0)) && !tally.has(&name, Some(1)));
        tally.add(&name);
        tally.add(&name);
        assert!(tally.has(&name, Some(2)) && !tally.has(&name, Some(3)));
        assert!(!tally.has(&name, None) && !tally.has("billing", Some(1)));
        tally.remove(&name);
        tally.remove(&name);
        tally.remove(&name);
        assert!(tally.0.is_empty());
    }
}
