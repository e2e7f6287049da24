//! Where pgvalet is known to answer otherwise than Postgres, and why. An entry
//! that is no longer true fails the test, as does a difference without one.

use std::collections::BTreeSet;

use super::run::{Difference, MODES};

/// Sequence, modes, reason.
const DIFFERENCES: &[(&str, &[&str], &str)] = &[];

pub fn judge(names: &BTreeSet<&str>, found: &[Difference]) {
    let mut complaints = Vec::new();
    for difference in found {
        let known = DIFFERENCES
            .iter()
            .any(|(case, modes, _)| *case == difference.case && modes.contains(&difference.mode));
        if !known {
            let Difference { case, mode, what } = difference;
            complaints.push(format!("{case}, {mode} mode, {what}"));
        }
    }
    for (case, modes, reason) in DIFFERENCES {
        assert!(names.contains(case), "no sequence is called {case}");
        for mode in *modes {
            assert!(MODES.contains(mode), "{case}: no mode is called {mode}");
            if !found.iter().any(|d| d.case == *case && d.mode == *mode) {
                complaints.push(format!("{case}, {mode} mode: no longer true: {reason}"));
            }
        }
    }
    complaints.sort();
    assert!(
        complaints.is_empty(),
        "{} differences\n{}",
        complaints.len(),
        complaints.join("\n")
    );
}
