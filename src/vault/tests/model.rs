//! Any sequence of operations against a model of the label rules.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::secret::{AWSCURRENT, AWSPENDING, AWSPREVIOUS};

const LABELS: [&str; 4] = [AWSCURRENT, AWSPENDING, AWSPREVIOUS, "blue"];

#[derive(Debug, Clone)]
pub(super) enum Step {
    Create {
        token: u32,
    },
    Put {
        token: u32,
        value: u8,
        stages: Vec<usize>,
    },
    Stage {
        label: usize,
        to: Option<u32>,
        from: Option<u32>,
    },
    /// A move that names the right version to take the label from.
    Move {
        label: usize,
        to: u32,
    },
    Reserve {
        token: u32,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let n = 0u32..6;
    let label = 0..LABELS.len();
    prop_oneof![
        1 => n.clone().prop_map(|token| Step::Create { token }),
        4 => (n.clone(), 0u8..2, proptest::collection::vec(label.clone(), 0..3))
            .prop_map(|(token, value, stages)| Step::Put { token, value, stages }),
        2 => (label.clone(), proptest::option::of(n.clone()), proptest::option::of(n.clone()))
            .prop_map(|(label, to, from)| Step::Stage { label, to, from }),
        4 => (label, n.clone()).prop_map(|(label, to)| Step::Move { label, to }),
        1 => n.prop_map(|token| Step::Reserve { token }),
    ]
}

/// Label to version, and what AWSPREVIOUS must be: where AWSCURRENT came from
/// the last time it moved, unless somebody moved AWSPREVIOUS by hand since.
#[derive(Debug, Default, Clone, PartialEq)]
struct Model {
    labels: BTreeMap<String, u32>,
}

impl Model {
    fn attach(&mut self, label: &str, version: u32) {
        let from = self.labels.insert(label.to_owned(), version);
        if label == AWSCURRENT
            && from != Some(version)
            && let Some(from) = from
        {
            self.labels.insert(AWSPREVIOUS.to_owned(), from);
            if self.labels.get(AWSPENDING) == Some(&from) {
                self.labels.remove(AWSPENDING);
            }
        }
    }

    /// What a step that succeeded must have done to the labels. `known` tells
    /// whether the version had its value before.
    fn apply(&mut self, step: &Step, known: bool) {
        match step {
            Step::Create { token } if !known => self.attach(AWSCURRENT, *token),
            Step::Put { token, stages, .. } if !known => {
                let stages: Vec<&str> = stages.iter().map(|&l| LABELS[l]).collect();
                if stages.is_empty() || stages.contains(&AWSCURRENT) {
                    self.attach(AWSCURRENT, *token);
                }
                for label in stages.into_iter().filter(|&l| l != AWSCURRENT) {
                    self.attach(label, *token);
                }
            }
            Step::Stage {
                label,
                to: Some(to),
                ..
            }
            | Step::Move { label, to } => {
                self.attach(LABELS[*label], *to);
            }
            Step::Stage {
                label, to: None, ..
            } => {
                self.labels.remove(LABELS[*label]);
            }
            Step::Reserve { token } => self.attach(AWSPENDING, *token),
            Step::Create { .. } | Step::Put { .. } => {}
        }
    }
}

fn labels_of(memory: &mut Memory) -> BTreeMap<String, u32> {
    let Ok(description) = memory.describe("a") else {
        return BTreeMap::new();
    };
    let mut labels = BTreeMap::new();
    for (version, names) in description.versions {
        for name in names {
            let n = version.as_str().parse().unwrap();
            assert!(labels.insert(name, n).is_none(), "a label on two versions");
        }
    }
    labels
}

fn has_value(memory: &mut Memory, n: u32) -> bool {
    memory
        .tx(|tx| get(tx, "a", Some(&token(n)), None).map(|_| ()))
        .is_ok()
}

proptest! {
    #[test]
    fn label_rules_hold_whatever_happens(steps in steps()) {
        label_rules_hold(steps)?;
    }
}

pub(super) fn steps() -> impl Strategy<Value = Vec<Step>> {
    proptest::collection::vec(step(), 1..40)
}

pub(super) fn label_rules_hold(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let mut memory = Memory::new();
    let mut model = Model::default();
    let mut values: BTreeMap<u32, String> = BTreeMap::new();
    for step in steps {
        let target = match step {
            Step::Create { token } | Step::Put { token, .. } | Step::Reserve { token } => token,
            Step::Stage { to, .. } => to.unwrap_or(0),
            Step::Move { to, .. } => to,
        };
        let known = has_value(&mut memory, target);
        let before = labels_of(&mut memory);
        let result = match &step {
            Step::Create { token: n } => memory.create("a", "v0", *n).map(|_| ()),
            Step::Put {
                token: n,
                value,
                stages,
            } => {
                let stages: Vec<&str> = stages.iter().map(|&l| LABELS[l]).collect();
                memory
                    .put("a", &format!("v{value}"), &stages, *n)
                    .map(|_| ())
            }
            Step::Stage { label, to, from } => memory.stage("a", LABELS[*label], *to, *from),
            Step::Move { label, to } => {
                let from = before.get(LABELS[*label]).copied();
                memory.stage("a", LABELS[*label], Some(*to), from)
            }
            Step::Reserve { token: n } => memory
                .tx(|tx| versions::reserve(tx, "a", Some(&token(*n))))
                .map(|_| ()),
        };
        let after = labels_of(&mut memory);
        match result {
            Ok(()) => model.apply(&step, known),
            Err(e) => {
                prop_assert!(
                    !matches!(e, VaultError::Internal(_) | VaultError::Busy(_)),
                    "{}",
                    e
                );
                prop_assert_eq!(&after, &before, "a refused step changes nothing");
            }
        }
        prop_assert_eq!(&after, &model.labels, "after {:?}", step);

        // Once there is a current version there always is one, and it can be read.
        if before.contains_key(AWSCURRENT) {
            prop_assert!(after.contains_key(AWSCURRENT));
        }
        if after.contains_key(AWSCURRENT) {
            prop_assert!(memory.get("a", AWSCURRENT).is_ok());
        }
        // AWSPREVIOUS is where AWSCURRENT came from.
        if let (Some(was), Some(is)) = (before.get(AWSCURRENT), after.get(AWSCURRENT)) {
            let by_hand = matches!(&step, Step::Put { stages, .. }
                    if stages.iter().any(|&l| LABELS[l] == AWSPREVIOUS));
            if was != is && !by_hand {
                prop_assert_eq!(after.get(AWSPREVIOUS), Some(was));
            }
        }
        // The value of a version never changes.
        for n in 0..6 {
            let Ok(version) = memory.tx(|tx| get(tx, "a", Some(&token(n)), None)) else {
                prop_assert!(!values.contains_key(&n));
                continue;
            };
            let Value::Text(value) = version.value else {
                unreachable!()
            };
            let first = values.entry(n).or_insert_with(|| value.to_string());
            prop_assert_eq!(first.as_str(), value.as_str());
        }
    }
    Ok(())
}
