//! Every state that a small model can come to, and what holds in all of them.
//!
//! What is asked is more than whether something is always or never so: from every state there
//! has to be a way to a good one, by actions of a chosen kind alone. That shows waiters that are
//! lost and work that stands still, also where other things go on.

use std::collections::HashMap;
use std::fmt::Debug;
use std::hash::Hash;

pub trait Model {
    type State: Clone + Eq + Hash + Debug;
    type Action: Clone + Debug;

    fn first(&self) -> Self::State;

    /// What may happen next.
    fn actions(&self, state: &Self::State) -> Vec<Self::Action>;

    fn next(&self, state: &Self::State, action: &Self::Action) -> Self::State;
}

/// All states, each with what may happen there and what that leads to.
pub struct Explored<M: Model> {
    pub states: Vec<M::State>,
    edges: Vec<Vec<(M::Action, usize)>>,
    /// How each was found.
    from: Vec<Option<(usize, M::Action)>>,
}

impl<M: Model> Explored<M> {
    /// Breadth first, so that a trace is the shortest one.
    ///
    /// # Panics
    /// `check` finds something wrong with a state; the way there is told.
    pub fn explore(model: &M, check: impl Fn(&M::State) -> Result<(), String>) -> Self {
        let first = model.first();
        let mut known = HashMap::from([(first.clone(), 0)]);
        let mut all = Self {
            states: vec![first],
            edges: Vec::new(),
            from: vec![None],
        };
        while all.edges.len() < all.states.len() {
            let at = all.edges.len();
            if let Err(wrong) = check(&all.states[at]) {
                panic!("{wrong}\n{}", all.way_to(at));
            }
            let mut edges = Vec::new();
            for action in model.actions(&all.states[at]) {
                let next = model.next(&all.states[at], &action);
                let to = *known.entry(next).or_insert_with_key(|next| {
                    all.states.push(next.clone());
                    all.from.push(Some((at, action.clone())));
                    all.states.len() - 1
                });
                edges.push((action, to));
            }
            all.edges.push(edges);
        }
        all
    }

    /// Checks that from every state a good one can be reached by these actions.
    ///
    /// # Panics
    /// There is one from which there is no way; the way there is told.
    pub fn reach(
        &self,
        what: &str,
        good: impl Fn(&M::State) -> bool,
        by: impl Fn(&M::Action) -> bool,
    ) {
        let mut back = vec![Vec::new(); self.states.len()];
        for (from, edges) in self.edges.iter().enumerate() {
            for (_, to) in edges.iter().filter(|(action, _)| by(action)) {
                back[*to].push(from);
            }
        }
        let mut reaches: Vec<bool> = self.states.iter().map(good).collect();
        let all = reaches.iter().enumerate();
        let mut next: Vec<usize> = all.filter(|(_, good)| **good).map(|(at, _)| at).collect();
        while let Some(at) = next.pop() {
            for &from in &back[at] {
                if !std::mem::replace(&mut reaches[from], true) {
                    next.push(from);
                }
            }
        }
        if let Some(at) = reaches.iter().position(|reaches| !reaches) {
            panic!("{what}: no way\n{}", self.way_to(at));
        }
    }

    fn way_to(&self, mut at: usize) -> String {
        let mut lines = Vec::new();
        while let Some((before, action)) = &self.from[at] {
            lines.push(format!("  {action:?}\n    {:?}", self.states[at]));
            at = *before;
        }
        lines.push(format!("    {:?}", self.states[at]));
        lines.reverse();
        lines.join("\n")
    }
}
