//! Why clients were denied, for those who run the proxy: a denial has a ref, which its client is
//! shown and the log and the audit record have, and by which the reasons are found here.
//!
//! The last of them are kept, in memory alone. Each is small, whatever its client has sent.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::Mutex;

use crate::access::{Decision, Request};
use crate::audit::ClientRef;
use crate::wire::Reference;

/// How many denials are kept.
const KEPT: usize = 500;

/// How many rules of one denial are kept: those first that come nearest.
const RULES: usize = 20;

/// The longest reason why a rule does not match, in characters.
const LONGEST: usize = 300;

/// A client that was denied, and why.
#[derive(Debug, Clone)]
pub struct Refusal {
    pub at: SystemTime,
    pub client: ClientRef,
    /// The name of the reason in records, and in words.
    pub reason: &'static str,
    pub words: &'static str,
    pub why: Why,
}

/// What the rules had to say.
#[derive(Debug, Clone, Default)]
pub struct Why {
    pub rules: Vec<RuleSays>,
    /// What the client may have meant, in words.
    pub meant: Option<String>,
}

/// Why a rule does not match.
#[derive(Debug, Clone)]
pub struct RuleSays {
    pub number: usize,
    pub name: Arc<str>,
    pub because: String,
}

impl Why {
    /// What a decision says of a client that it does not let in.
    pub fn of(decision: &Decision, request: &Request<'_>) -> Self {
        let mut nearest: Vec<_> = decision.rules.iter().filter(|r| !r.matches()).collect();
        nearest.sort_by_key(|r| r.mismatches.len());
        nearest.truncate(RULES);
        let says = nearest.into_iter().map(|r| RuleSays {
            number: r.rule.number,
            name: r.rule.name.clone(),
            because: r
                .because(request)
                .join("; ")
                .chars()
                .take(LONGEST)
                .collect(),
        });
        Self {
            rules: says.collect(),
            meant: decision.meant(request),
        }
    }
}

/// The last denials.
#[derive(Default)]
pub struct Refusals(Mutex<VecDeque<(Reference, Refusal)>>);

impl Refusals {
    /// Keeps a denial under a ref that no other one has that is still here; `None`: the
    /// operating system has no random numbers.
    pub fn keep(&self, refusal: Refusal) -> Option<Reference> {
        let mut kept = self.0.lock();
        let reference = loop {
            let reference = Reference::random()?;
            if kept.iter().all(|(other, _)| *other != reference) {
                break reference;
            }
        };
        if kept.len() >= KEPT {
            kept.pop_front();
        }
        kept.push_back((reference, refusal));
        Some(reference)
    }

    /// The denial that has this ref.
    pub fn find(&self, reference: &str) -> Option<Refusal> {
        let kept = self.0.lock();
        let found = kept.iter().rev().find(|(r, _)| r.to_string() == reference);
        found.map(|(_, refusal)| refusal.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(reason: &'static str) -> Refusal {
        Refusal {
            at: SystemTime::now(),
            client: ClientRef::default(),
            reason,
            words: "",
            why: Why::default(),
        }
    }

    #[test]
    fn the_last_ones_are_found_by_their_refs() {
        let refusals = Refusals::default();
        let first = refusals.keep(refusal("first")).expect("a ref").to_string();
        assert_eq!(first.len(), 4);
        assert_eq!(refusals.find(&first).expect("kept").reason, "first");
        assert!(refusals.find("").is_none() && refusals.find("xyz").is_none());
        for _ in 0..KEPT {
            refusals.keep(refusal("later"));
        }
        let found = refusals.find(&first);
        assert!(found.is_none_or(|other| other.reason == "later"));
        assert_eq!(refusals.0.lock().len(), KEPT);
    }
}
