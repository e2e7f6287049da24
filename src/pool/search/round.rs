//! A round: one pass over the versions that may log in.

use std::sync::Arc;
use std::time::SystemTime;

use crate::secret::{Depth, Standing, VersionId};
use crate::wire::LoginFailure;

/// A version that may be tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::pool) struct Candidate {
    pub standing: Standing,
    pub version: VersionId,
    /// The host, port and database that the version leads to.
    pub place: Arc<str>,
    /// Whether the version leads where the trusted versions lead, as the same user or its
    /// alternate.
    pub akin: bool,
}

/// A version that was tried and does not log in.
#[derive(Debug, Clone)]
pub struct Tried {
    pub version: VersionId,
    pub standing: Standing,
    pub why: Arc<str>,
    pub at: SystemTime,
    /// The host, port and database that the version leads to.
    pub(in crate::pool) place: Arc<str>,
    pub(in crate::pool) verdict: Verdict,
    /// What clients may know of the failure.
    pub(in crate::pool) failure: Option<LoginFailure>,
    /// The number of the round in which the version was tried; 0 outside of one.
    pub(super) round: u64,
}

impl Tried {
    /// A login that has failed at this moment.
    pub(in crate::pool) fn now(
        version: VersionId,
        standing: Standing,
        place: Arc<str>,
        verdict: Verdict,
        why: Arc<str>,
    ) -> Self {
        Self {
            version,
            standing,
            why,
            at: SystemTime::now(),
            place,
            verdict,
            failure: None,
            round: 0,
        }
    }
}

/// What a failed login said about a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::pool) enum Verdict {
    /// The server judged the credential, and it was wrong.
    Refused,
    /// The version does not say where to log in.
    Useless,
    /// The server lets nobody in, which may pass: nobody answers, the server starts, or
    /// it has no room.
    Later,
    /// The server lets nobody in, and something would have to be changed there or here: there is no
    /// such database, or TLS fails.
    Unfit,
}

impl Verdict {
    /// Whether the verdict says nothing about the credential, only about the place.
    pub(super) fn is_of_the_place(self) -> bool {
        matches!(self, Self::Later | Self::Unfit)
    }
}

#[derive(Debug)]
pub(super) struct Round {
    /// The number of the round, from 1, which tells what was tried in this round from the rest.
    number: u64,
    candidates: Vec<Candidate>,
    /// How far the store was looked through, if it was.
    depth: Option<Depth>,
    /// The store may have a version that is not among the candidates.
    more: bool,
    /// The version in force, whose refusal is why there is a search: it need not
    /// be asked twice.
    in_force: Option<VersionId>,
}

impl Round {
    /// `in_force`: the version in force, if it has just been refused.
    pub fn new(number: u64, in_force: Option<VersionId>) -> Self {
        Self {
            number,
            candidates: Vec::new(),
            depth: None,
            more: false,
            in_force,
        }
    }

    pub fn number(&self) -> u64 {
        self.number
    }

    pub fn depth(&self) -> Option<Depth> {
        self.depth
    }

    /// Whether the store may have a version that this round does not know of.
    pub fn may_have_more(&self) -> bool {
        self.more
    }

    pub fn looked_up(&mut self, depth: Depth, candidates: Vec<Candidate>, more: bool) {
        self.depth = Some(depth);
        self.more = more;
        self.candidates = candidates;
    }

    fn own<'a>(&self, tried: &'a [Tried]) -> impl Iterator<Item = &'a Tried> + use<'a> {
        let number = self.number;
        tried.iter().filter(move |t| t.round == number)
    }

    /// Whether a server has judged a credential in this round.
    pub fn has_refusal(&self, tried: &[Tried]) -> bool {
        let mut own = self.own(tried);
        self.in_force.is_some() || own.any(|t| t.verdict == Verdict::Refused)
    }

    /// The versions that were refused in this round.
    pub fn refused(&self, tried: &[Tried]) -> Vec<VersionId> {
        let own = self.own(tried).filter(|t| t.verdict == Verdict::Refused);
        let own = own.map(|t| t.version.clone());
        self.in_force.iter().cloned().chain(own).collect()
    }

    /// The best candidate that was not tried yet and may be.
    pub fn next(&self, tried: &[Tried]) -> Option<&Candidate> {
        let refused = self.has_refusal(tried);
        let was_tried = |version: &VersionId| {
            self.in_force.as_ref() == Some(version)
                || self.own(tried).any(|t| t.version == *version)
        };
        // A place that did not answer is not asked twice in a round.
        let is_silent = |place: &Arc<str>| {
            let mut own = self.own(tried);
            own.any(|t| t.verdict.is_of_the_place() && t.place == *place)
        };
        self.candidates
            .iter()
            .filter(|c| !was_tried(&c.version))
            .filter(|c| match c.standing {
                Standing::Pending | Standing::Unlabelled => refused && c.akin,
                _ => true,
            })
            .filter(|c| !is_silent(&c.place))
            .min_by_key(|c| c.standing)
    }
}
