//! What a scan of the server's bytes finds, beside what goes to the client.

use super::{Halt, Relay};
use crate::pool::Profile;
use crate::wire::ClientError;
use crate::wire::message::ErrorFields;

/// Something that the relay has to act on.
#[derive(Debug, PartialEq)]
pub(super) enum Finding {
    /// The stream can no longer be understood.
    Broken,
    /// Settings that pgvalet made were refused.
    SettingsRefused(ErrorFields),
    /// What the client brought at start-up has been reset, and is to be set anew.
    Reset,
    /// What the client brought at start-up has been set anew.
    Restored,
    /// A role or a database was altered: the defaults of a login may have changed.
    DefaultsAltered,
    /// A statement that was known to be prepared on the connection is gone.
    StatementLost,
    /// A transaction is open after a statement, where that may not be (statement mode).
    TransactionOpen,
    /// A command was run whose effect may stay with the server connection: the server has to
    /// be asked what it is.
    MayStay,
    /// A command was run that may have ended what keeps the client on its connection.
    MayBeFree,
    /// A plan was refused, and the server is ready for the batch again.
    SendAgain,
    /// DISCARD ALL: settings are what the login gave.
    Discarded,
}

/// Findings in the order in which they were made, each kind once. Mostly there are none, and the
/// list then takes no memory.
#[derive(Debug, Default)]
pub(super) struct Findings(Vec<Finding>);

impl Findings {
    pub fn add(&mut self, finding: Finding) {
        if !self.contains(&finding) {
            self.0.push(finding);
        }
    }

    pub fn contains(&self, finding: &Finding) -> bool {
        self.0.contains(finding)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl IntoIterator for Findings {
    type Item = Finding;
    type IntoIter = std::vec::IntoIter<Finding>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl Relay {
    /// Acts on what a scan has found.
    ///
    /// # Errors
    /// The relay comes to a halt.
    pub(super) fn act_on(&mut self, findings: Findings) -> Result<(), Halt> {
        findings.into_iter().try_for_each(|f| self.act_on_one(f))
    }

    fn act_on_one(&mut self, finding: Finding) -> Result<(), Halt> {
        let changes = self.holding.may_change();
        match finding {
            Finding::Broken => return Err(Halt::ServerGone),
            Finding::SettingsRefused(fields) => return Err(Halt::SettingsRefused(fields)),
            Finding::TransactionOpen => {
                return Err(Halt::Violation(ClientError::TransactionBlock));
            }
            Finding::Reset => self.restore(),
            Finding::DefaultsAltered => self.handle.pool.defaults_may_have_changed(),
            Finding::StatementLost => {
                if let Some(lease) = self.holding.lease_mut() {
                    lease.untidy = true;
                }
            }
            Finding::SendAgain => {
                let batch = self.conversation.from_client.take_batch();
                self.client.input().keep_in_front(batch);
                self.client.look_again();
            }
            Finding::MayStay if changes => self.holding.ask_if(true),
            Finding::MayBeFree if changes => {
                let kept = !self.conversation.from_client.listens.shared.is_empty();
                let pinned = self.holding.pinned().is_some();
                self.holding.ask_if(kept || pinned);
            }
            Finding::Discarded if changes => {
                self.stop_listening();
                self.holding.discards();
                self.expected.discard();
                if let Some(lease) = self.holding.lease_mut() {
                    lease.profile = Profile::initial();
                }
            }
            Finding::Restored if changes => {
                if self.holding.is_discarding()
                    && let Some(lease) = self.holding.lease_mut()
                {
                    lease.profile = self.expected.initial().clone();
                }
            }
            Finding::MayStay | Finding::MayBeFree | Finding::Discarded | Finding::Restored => {}
        }
        Ok(())
    }

    /// Sends the settings that the client brought at start-up, so that they are in force
    /// again before it is told that the server is ready.
    fn restore(&mut self) {
        let name = self.handle.pool.statements.server_name(0); // nobody else's
        let out = self.server.buffer();
        self.conversation
            .from_client
            .write_restore(self.expected.initial(), &name, out);
    }
}
