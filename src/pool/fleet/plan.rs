//! How large the share of a replica should be: computed by each replica from what all of them
//! have and want, and the same by all.
//!
//! Where the ceiling is enough for everybody, each has what it wants, and keeps what it does not
//! need until somebody else does. Where it is not, nobody has more than the *level*: the largest
//! number such that all could have as much, or what they want if that is less.

/// Another replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// The connections that it may have, or has if these are more.
    pub load: usize,
    /// Those that it would have use for.
    pub want: usize,
}

/// The largest number such that everybody can have what they want up to it.
pub fn level(of: usize, wants: impl Iterator<Item = usize> + Clone) -> usize {
    let needed = |level: usize| {
        wants
            .clone()
            .map(|want| want.min(level))
            .fold(0, usize::saturating_add)
    };
    if needed(usize::MAX) <= of {
        return usize::MAX;
    }
    // `needed` grows with the level: `low` is always possible, `high` never.
    let (mut low, mut high) = (0, of + 1);
    while high - low > 1 {
        let middle = usize::midpoint(low, high);
        match needed(middle) <= of {
            true => low = middle,
            false => high = middle,
        }
    }
    low
}

/// The share that a replica is to have next. What it gets beyond `share` is limited by what is
/// free. `left`: connections that are nobody's, which leave less for all.
pub fn target(of: usize, left: usize, share: usize, demand: usize, others: &[Member]) -> usize {
    let wants = others.iter().map(|other| other.want);
    let level = level(of.saturating_sub(left), wants.chain([demand]));
    let somebody_lacks = others.iter().any(|o| o.load < o.want.min(level));
    match somebody_lacks {
        true => demand.min(level),
        false => share.max(demand),
    }
    .min(of)
}

/// How a replica stands.
#[derive(Debug, Clone, Copy)]
pub struct Standing {
    /// The ceiling of all replicas.
    pub of: usize,
    /// What it has locked.
    pub share: usize,
    /// The connections that it has.
    pub used: usize,
    pub demand: usize,
    /// Connections that stand in no ledger.
    pub left: usize,
    /// What it could have had when it last asked. What has become free since may be the share of
    /// a replica that lost its ledger and does not know it yet.
    pub free: Option<usize>,
}

/// What a replica does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// It opens connections no further than to `limit`, and locks no more than `share`.
    Shrink { limit: usize, share: usize },
    /// It takes what is free, up to this.
    Grow { upto: usize },
}

/// What a replica does next, beside others that stand like this.
pub fn step(standing: &Standing, others: &[Member]) -> Step {
    let Standing {
        of,
        share,
        used,
        demand,
        left,
        free,
    } = *standing;
    let target = target(of, left, share, demand, others);
    match target < share {
        true => Step::Shrink {
            limit: target,
            share: target.max(used).min(share),
        },
        false => Step::Grow {
            upto: target.min(share.max(free.unwrap_or(0))),
        },
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn member(load: usize, want: usize) -> Member {
        Member { load, want }
    }

    #[test]
    fn one_that_is_busy_has_nearly_all_and_gives_back_on_demand() {
        // Alone.
        assert_eq!(target(20, 0, 0, 30, &[]), 20);
        // The others are idle, and keep one each.
        let idle = [member(1, 1), member(1, 1)];
        assert_eq!(target(20, 0, 0, 30, &idle), 18 + 2, "what is free decides");
        // Another one becomes busy: each is to have the half of what the third one leaves.
        let busy = [member(1, 30), member(1, 1)];
        assert_eq!(target(20, 0, 18, 30, &busy), 9);
        assert_eq!(target(20, 0, 1, 30, &[member(18, 30), member(1, 1)]), 20);
        assert_eq!(target(20, 0, 1, 30, &[member(9, 30), member(1, 1)]), 20);
        // It wants less: it keeps what it has while nobody needs it.
        assert_eq!(target(20, 0, 18, 2, &idle), 18);
        assert_eq!(target(20, 0, 18, 2, &[member(1, 5), member(1, 1)]), 2);
        // A dead replica has left three of six: the others share the rest.
        assert_eq!(target(6, 3, 3, 10, &[member(0, 1)]), 2);
        // More replicas than connections.
        assert_eq!(target(2, 0, 1, 1, &[member(1, 1), member(0, 1)]), 1);
    }

    proptest! {
        #[test]
        fn a_level_fits_and_a_higher_one_does_not(
            of in 0..500usize,
            wants in proptest::collection::vec(0..300usize, 0..20),
        ) {
            let level = level(of, wants.iter().copied());
            let sum = |level: usize| wants.iter().map(|w| (*w).min(level)).sum::<usize>();
            prop_assert!(sum(level) <= of);
            if level < usize::MAX {
                prop_assert!(sum(level + 1) > of);
            }
        }
    }
}
