//! The statements of a client, named and unnamed.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::FromClient;
use super::deallocate::Bound;
use super::multiplex::MAX_TEXT;
use crate::pool::{ParseSettings, Prepared, Statement};
use crate::session::relay::replies::{Named, Replies, Reply};
use crate::wire::sql::{Resets, Suspicion};

/// The making of a copy of a statement, on another server connection than the one on which the
/// client has parsed it. The copy has to have the same columns, or the client would take values
/// of one type for values of another.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Copying {
    #[default]
    No,
    /// A copy of the statement with this id was asked for.
    Asked(u64),
    /// The copy is what the statement was.
    Same(u64),
    /// The copy is something else. Postgres would report the same for an outdated plan.
    Changed(u64),
}

/// An unnamed statement, to be parsed again on other server connections.
#[derive(Default)]
pub(super) struct Unnamed {
    pub body: Vec<u8>,
    /// The settings under which the statement was parsed, if they are known.
    pub settings: Option<ParseSettings>,
    /// What running the statement may do.
    pub suspicion: Option<Box<Suspicion>>,
}

/// Statements that reset or deallocate something, which few clients have.
#[derive(Default)]
pub(super) struct Special {
    /// What running the unnamed statement may do.
    pub unnamed: Option<Box<Suspicion>>,
    /// Statements by name, in session mode; in other modes [`Statement`] has this.
    pub resetting: BTreeMap<Box<[u8]>, Resets>,
    /// Portals to which a DEALLOCATE is bound.
    pub deallocating: BTreeMap<Box<[u8]>, Bound>,
}

impl FromClient {
    /// Remembers what the unnamed statement does, if it resets or deallocates something.
    pub(super) fn suspect_unnamed(&mut self, suspicion: Option<Box<Suspicion>>) {
        let unnamed = suspicion.filter(|s| s.resets.is_some() || s.deallocates.is_some());
        if unnamed.is_some() || self.special.is_some() {
            self.special.get_or_insert_default().unnamed = unnamed;
        }
    }

    pub(super) fn drop_unnamed(&mut self) {
        self.unnamed = None;
        self.end_reuse();
        self.suspect_unnamed(None);
        self.unnamed_turn += 1;
    }

    /// Replaces the statement behind a name by another that was found to be the same.
    pub fn replace_statement(
        &mut self,
        name: &[u8],
        parsed: &Arc<Statement>,
        same: &Arc<Statement>,
    ) {
        self.names.replace_statement(name, parsed, same);
    }

    /// The client's name for a statement, if it is still known and easily found.
    pub fn name_of(&self, id: u64) -> Option<&[u8]> {
        self.names.name_of(id)
    }

    /// Notes that a copy was made. `same`: it has the columns that the client knows.
    pub fn note_verified(&mut self, same: bool) {
        if let Copying::Asked(id) = self.copying {
            self.copying = match same {
                true => Copying::Same(id),
                false => Copying::Changed(id),
            };
        }
    }

    /// The memory that the client's statements take, in bytes: those with a name, and a long
    /// unnamed one. (A short one is not worth a count after each transaction.)
    pub fn kept(&self) -> u64 {
        let unnamed = self
            .unnamed
            .as_ref()
            .map_or(0, |unnamed| unnamed.body.len());
        let long = if unnamed > MAX_TEXT { unnamed } else { 0 };
        self.names.bytes() + long as u64
    }

    /// Notes the settings that were in force when statements were parsed, for those of which
    /// this was not known.
    pub fn note_parse_settings(&self, settings: &ParseSettings) {
        for statement in self.names.statements() {
            statement.settings.get_or_init(|| settings.clone());
        }
    }

    /// Gives a name another meaning.
    pub(super) fn rename(&mut self, name: Box<[u8]>, meaning: Option<Named>) {
        match meaning {
            Some(named) => self.names.insert(name, named),
            None => self.names.remove(&name),
        };
    }

    /// Handles DISCARD ALL and DEALLOCATE ALL: no statement is left but those that the messages
    /// behind it make.
    pub fn forget_statements(&mut self, replies: &mut Replies, prepared: &mut Prepared) {
        self.names.clear();
        prepared.clear();
        if !replies.has_changes() {
            return;
        }
        for reply in replies.iter_mut() {
            match reply {
                Reply::Parse(change) | Reply::Close(Some(change)) => {
                    change.before = None;
                    self.rename(change.name.clone(), change.after.clone());
                }
                Reply::Deallocate(d) => {
                    d.change.before = None;
                    self.names.remove(&d.change.name);
                }
                Reply::HiddenClose(copy) => *copy = None,
                _ => {}
            }
            match reply {
                Reply::Parse(change) => {
                    if let Some(after) = &change.after {
                        prepared.insert(after.statement.id, after.since);
                    }
                }
                Reply::HiddenParse(copy) => prepared.insert(copy.id, copy.number),
                _ => {}
            }
        }
    }
}
